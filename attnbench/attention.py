"""Score + scope + mask → context and weights."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.cell import Component
from attnbench.errors import did_you_mean, fail
from attnbench.products import weighted_sums
from attnbench.scopes.masking import valid_positions


class Source(NamedTuple):
    """What attention reads, computed once per source.

    Shapes: keys (B,S,D) as the score prepared them; values (B,S,D); mask (B,1,S), or None where every position is
    valid; lengths (B,).
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None
    lengths: Tensor


@dataclass(frozen=True)
class Attended:
    """What was read: context (B,T,D), the weights (B,T,S) of the sum, and the logits (B,T,S) they came from.

    Without attention (scope `none`) the weights and logits are 0: no position was weighed.
    """

    context: Tensor
    weights: Tensor
    logits: Tensor


class Attention(nn.Module):
    """Attends to a source with one score function under one scope.

    `score` and `scope` are names, or mappings with a name and options: `{"name": "local-p", "window": 3}`. Further
    keyword arguments are options of the one that declares them. The two modules are `.score` (None where the scope
    is `none`) and `.scope`.

    A scope is a module with `forward(logits, mask, query, lengths, step) -> weights`: logits (B,T,S); mask (B,1,S)
    bool, or None where all positions are valid; query (B,T,D); lengths (B,) of the sources; step, the index of the
    first of the T queries.

    Raises:
        AttnbenchError: for an unknown name or option, or an option with an impossible value.
    """

    def __init__(
        self,
        score: str | dict[str, Any] | Component | None,
        scope: str | dict[str, Any] | Component = "global",
        *,
        width: int,
        max_source_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        scope_part = _component(scope)
        score_part = None if score is None or scope_part.name == "none" else _component(score)
        parts = [(r, p) for r, p in ((registry.score, score_part), (registry.scope, scope_part)) if p is not None]
        for key, value in options.items():
            _assign(key, value, parts)
        if score_part is None and scope_part.name != "none":
            raise fail(f"scope {scope_part.name!r} needs a score", hint="only the scope 'none' goes without")
        self.score = None if score_part is None else _build_score(score_part, width, max_source_length)
        options = registry.scope.entry(scope_part.name).resolve(scope_part.options)
        self.scope = registry.scope.build(scope_part.name, options, width=width)

    def prepare(self, keys: Tensor, values: Tensor, source_lengths: Tensor | None) -> Source:
        """Computes what depends on the source alone.

        Args:
            keys: (B,S,D).
            values: (B,S,D).
            source_lengths: (B,), or None where every sentence has all S positions.
        """
        mask, valid = None, valid_positions(source_lengths, keys.shape[-2])
        if source_lengths is None or valid is None:
            source_lengths = torch.full(keys.shape[:1], keys.shape[-2], device=keys.device)
        else:
            mask = valid.unsqueeze(-2)
            # 0 · NaN is NaN: a weight of 0 alone would not keep padding out of sums and gradients.
            keys = keys.masked_fill(~valid.unsqueeze(-1), 0)
            values = values.masked_fill(~valid.unsqueeze(-1), 0)
        prepare = getattr(self.score, "prepare", None)
        return Source(prepare(keys) if prepare else keys, values, mask, source_lengths)

    def extend(self, source: Source | None, keys: Tensor, values: Tensor) -> Source:
        """A source with these keys and values (B,n,D) after those it has: the past that a model looks back on."""
        new = self.prepare(keys, values, None)
        if source is None:
            return new
        assert source.mask is None
        return Source(
            torch.cat([source.keys, new.keys], dim=-2),
            torch.cat([source.values, new.values], dim=-2),
            None,
            source.lengths + new.lengths,
        )

    def compare(self, query: Tensor, source: Source) -> Tensor:
        """The score's logits (B,T,S) of queries (B,T,D), before any scope."""
        assert self.score is not None
        logits: Tensor = getattr(self.score, "compare", self.score)(query, source.keys)
        return logits

    def read(self, query: Tensor, source: Source, step: int = 0, bias: Tensor | None = None) -> Attended:
        """Attends with queries (B,T,D), the first of which is of step `step`; `bias` (B,T,S) is added to the logits."""
        if self.score is None:
            context = self.scope.context(source.values, source.lengths)
            nothing = source.values.new_zeros(*query.shape[:-1], source.values.shape[-2])
            return Attended(context.expand_as(query), nothing, nothing)
        logits = self.compare(query, source)
        logits = logits if bias is None else logits + bias
        weights = self.scope(logits, source.mask, query, source.lengths, step)
        return Attended(weighted_sums(weights, source.values), weights, logits)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, source_lengths: Tensor | None = None, step: int = 0
    ) -> Attended:
        """Attends with queries (B,T,D) to keys and values (B,S,D) of the given lengths (B,).

        Raises:
            ValueError: when the shapes do not fit together; the message gives the expected and the found one.
        """
        batch, source_length = keys.shape[0], keys.shape[1]
        like_keys = (batch, query.shape[1], keys.shape[-1])
        if query.shape != like_keys or values.shape[:2] != keys.shape[:2]:
            raise ValueError(
                "expected query (B,T,D), keys (B,S,D) and values (B,S,D), "
                f"found {tuple(query.shape)}, {tuple(keys.shape)} and {tuple(values.shape)}"
            )
        if source_lengths is not None and (source_lengths.shape != (batch,) or source_lengths.max() > source_length):
            raise ValueError(
                f"expected source_lengths ({batch},) of at most {source_length}, "
                f"found {tuple(source_lengths.shape)} with maximum {int(source_lengths.max())}"
            )
        return self.read(query, self.prepare(keys, values, source_lengths), step)

    def objective(
        self, log_likelihood: Tensor, logits: Tensor, weights: Tensor, mask: Tensor | None, target_mask: Tensor
    ) -> Tensor:
        """The training loss (): the scope's own if it has one, else the mean negative log-likelihood per word.

        Args:
            log_likelihood: (B,T) of the target words.
            logits: (B,T,S).
            weights: (B,T,S).
            mask: (B,1,S) or None.
            target_mask: (B,T), True on target words.
        """
        own = getattr(self.scope, "objective", None)
        if own is not None:
            return own(log_likelihood, logits, weights, mask, target_mask)
        return -(log_likelihood * target_mask).sum() / target_mask.sum()


def build_score(
    name: str | dict[str, Any] | Component, width: int, max_source_length: int | None = None, **options: Any
) -> nn.Module:
    """A score function by name: a module (B,T,D), (B,S,D) → (B,T,S) logits.

    Args:
        name: a registered name, or a mapping with a name and options.
        width: D, of queries and keys.
        max_source_length: the longest source, for scores with a parameter per position.
        options: the score's own.

    Raises:
        AttnbenchError: for an unknown name or option, or a missing max_source_length.
    """
    part = _component(name)
    return _build_score(Component(name=part.name, options=part.options | options), width, max_source_length)


def _build_score(part: Component, width: int, max_source_length: int | None) -> nn.Module:
    entry = registry.score.entry(part.name)
    options = entry.resolve(part.options)
    if entry.takes("max_source_length") and max_source_length is None and "max_source_length" not in options:
        raise fail(f"score {part.name!r} needs max_source_length", hint="it has a parameter per source position")
    return registry.score.build(part.name, options, width=width, max_source_length=max_source_length)


def _component(value: str | dict[str, Any] | Component) -> Component:
    if isinstance(value, Component):
        return Component(name=value.name, options=dict(value.options))
    if isinstance(value, str):
        return Component(name=value, options={})
    if "name" not in value:
        raise fail(f"a mapping needs a name, found {value!r}", hint='write it as {"name": "cosine", "strength": 1.0}')
    return Component(name=value["name"], options={k: v for k, v in value.items() if k != "name"})


def _assign(key: str, value: Any, parts: list[tuple[registry.Registry, Component]]) -> None:
    """Hands a keyword argument to the one component that declares it."""
    options = {part.name: [o.name for o in reg.entry(part.name).options] for reg, part in parts}
    declaring = [part for _, part in parts if key in options[part.name]]
    if not declaring:
        known = [name for names in options.values() for name in names]
        raise fail(f"neither the score nor the scope has an option {key!r}", hint=did_you_mean(key, known))
    if len(declaring) > 1:
        names = " and ".join(repr(part.name) for part in declaring)
        raise fail(f"{names} both have an option {key!r}", hint="give it in the mapping of the one that is meant")
    declaring[0].options[key] = value
