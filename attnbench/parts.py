"""Builds scores, scopes and normalisers from a registered name and options."""

from typing import Any

from torch import nn

from attnbench import registry
from attnbench.cell import Component
from attnbench.errors import did_you_mean, fail


def build_score(
    name: str | dict[str, Any] | Component, width: int, max_source_length: int | None = None, **options: Any
) -> nn.Module:
    """Builds a score function by name: a module that maps (B,T,D) and (B,S,D) to logits (B,T,S).

    Args:
        name: a registered name, or a mapping with a name and options.
        width: D, the width of queries and keys.
        max_source_length: the longest source, for scores with a parameter per position.
        options: options of the score; they take precedence over those in the mapping.

    Raises:
        AttnbenchError: if the name or an option is unknown, an option has an invalid value, or max_source_length is
            required and missing.
    """
    part = component_of(name)
    options = _resolved(registry.score, part.name, part.options | options, max_source_length)
    score: nn.Module = registry.score.build(part.name, options, width=width, max_source_length=max_source_length)
    return score


def build_normaliser(
    name: str | dict[str, Any] | Component, max_source_length: int | None = None, **options: Any
) -> nn.Module:
    """Builds a normaliser by name: a module that maps logits (B,T,S) and a mask (B,1,S), or None, to weights (B,T,S).

    Args:
        name: a registered name, or a mapping with a name and options.
        max_source_length: the longest source, for `ssmax`.
        options: options of the normaliser; they take precedence over those in the mapping.

    Raises:
        AttnbenchError: if the name or an option is unknown, an option has an invalid value, or max_source_length is
            required and missing.
    """
    part = component_of(name)
    options = _resolved(registry.normaliser, part.name, part.options | options, max_source_length)
    normaliser: nn.Module = registry.normaliser.build(part.name, options, max_source_length=max_source_length)
    return normaliser


def build_scope(
    scope: Component, normaliser: Component | None, width: int, max_source_length: int | None = None
) -> nn.Module:
    """Builds a scope with its normaliser; `normaliser` is None for a scope that uses none."""
    built = None if normaliser is None else build_normaliser(normaliser, max_source_length)
    options = registry.scope.entry(scope.name).resolve(scope.options)
    module: nn.Module = registry.scope.build(scope.name, options, width=width, normaliser=built)
    return module


def normaliser_under(scope: Component, normaliser: str | dict[str, Any] | Component | None) -> Component | None:
    """Returns the normaliser under a scope: the given one, by default the softmax; None if the scope uses none.

    Raises:
        AttnbenchError: if a normaliser is given and the scope uses none.
    """
    if registry.scope.entry(scope.name).takes("normaliser"):
        return component_of("softmax" if normaliser is None else normaliser)
    if normaliser is not None:
        raise fail(f"the scope {scope.name!r} uses no normaliser", hint="leave out the argument normaliser")
    return None


def component_of(value: str | dict[str, Any] | Component) -> Component:
    """Converts a name or a mapping to a Component with options that may be modified.

    Raises:
        AttnbenchError: if a mapping has no name.
    """
    if isinstance(value, Component):
        # A copy: assign_option adds to the options, and the component may belong to the caller.
        return Component(name=value.name, options=dict(value.options))
    if isinstance(value, str):
        return Component(name=value, options={})
    if "name" not in value:
        raise fail(f"a mapping needs a name, found {value!r}", hint='write it as {"name": "cosine", "strength": 1.0}')
    return Component(name=value["name"], options={k: v for k, v in value.items() if k != "name"})


def assign_option(key: str, value: Any, parts: list[tuple[registry.Registry, Component]]) -> None:
    """Adds a keyword argument to the options of the one component that declares it.

    Raises:
        AttnbenchError: if no component declares it, or several do.
    """
    options = {part.name: [o.name for o in reg.entry(part.name).options] for reg, part in parts}
    declaring = [part for _, part in parts if key in options[part.name]]
    if not declaring:
        known = [name for names in options.values() for name in names]
        raise fail(f"no part of this attention has an option {key!r}", hint=did_you_mean(key, known))
    if len(declaring) > 1:
        names = " and ".join(repr(part.name) for part in declaring)
        raise fail(f"{names} both have an option {key!r}", hint="set it in the mapping of one of them")
    declaring[0].options[key] = value


def _resolved(
    kind: registry.Registry, name: str, options: dict[str, Any], max_source_length: int | None
) -> dict[str, Any]:
    """Returns the options of a component with its defaults, if it has the max_source_length that it may need."""
    entry = kind.entry(name)
    resolved = entry.resolve(options)
    if entry.takes("max_source_length") and max_source_length is None and "max_source_length" not in resolved:
        hint = "pass max_source_length, the length of the longest source"
        raise fail(f"{kind.kind} {name!r} needs max_source_length", hint=hint)
    return resolved
