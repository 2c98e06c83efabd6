"""Attention: combines a score, a scope, a normaliser and a mask into context vectors and weights."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.cell import Component
from attnbench.errors import did_you_mean, fail
from attnbench.masking import valid_positions
from attnbench.products import weighted_sums

# What an attention carries from one step to the next: that of its score and that of its scope, each a tensor, a
# (nested) tuple of tensors, or () for a part that carries nothing. An attention that carries nothing has the state ().
State = Any


class Source(NamedTuple):
    """Keys and values of a batch of sources, prepared once and used at every step.

    Attributes:
        keys: (B,S,…), the result of the score's `prepare`; the keys (B,S,D) themselves for a score without it.
        values: (B,S,D).
        mask: (B,1,S) bool, True on valid positions; None if every position is valid.
        lengths: (B,), the number of valid positions of each source.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None
    lengths: Tensor


@dataclass(frozen=True)
class Attended:
    """The result of attention.

    Attributes:
        context: (B,T,D), the sums of the values weighted by `weights`.
        weights: (B,T,S).
        logits: (B,T,S), from which the weights were computed.
        state: what the attention carries to the next step; () if it carries nothing.

    Under the scope `none`, which uses no score, the weights and logits are all 0.
    """

    context: Tensor
    weights: Tensor
    logits: Tensor
    state: State = ()


class Attention(nn.Module):
    """Attention with one score function under one scope.

    The modules are available as `.score` (None under the scope `none`), `.scope` and `.normaliser` (None under a scope
    that uses none). A scope is a module with `forward(logits, mask, query, lengths, step) -> weights`. Its arguments
    are the logits (B,T,S), the mask (B,1,S) of valid positions (bool; None if all are valid), the query (B,T,D), the
    source lengths (B,) and the index of the first of the T queries; it returns the weights (B,T,S). Its constructor
    takes the `normaliser`, a module with `forward(logits, mask) -> weights`, if it uses one. A scope may also have a
    method `log_weights` with the arguments of `forward`, which returns the logarithms of the weights, −∞ for excluded
    positions (see `Attention.log_weights`).

    A score or a scope that has a method `start` carries something from one step to the next, such as the last weights:
    `attention.stateful` is True. `start` and `read` describe how.

    Args:
        score: a registered name, or a mapping with a name and options, such as `{"name": "cosine", "strength": 1.0}`.
        scope: likewise, such as `{"name": "local-p", "window": 3}`.
        normaliser: likewise, such as `{"name": "entmax", "alpha": 1.3}`; None stands for the softmax, or for nothing
            under a scope that uses no normaliser.
        width: D, the width of queries and keys.
        max_source_length: the longest source, for scores and normalisers with a parameter that depends on it.
        options: options of the score, the scope or the normaliser, each passed to the one that declares it.

    Raises:
        AttnbenchError: if a name or an option is unknown, missing or ambiguous, or an option has an invalid value.
    """

    def __init__(
        self,
        score: str | dict[str, Any] | Component | None,
        scope: str | dict[str, Any] | Component = "global",
        normaliser: str | dict[str, Any] | Component | None = None,
        *,
        width: int,
        max_source_length: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        scope_part = _component(scope)
        # The scope none uses no score. Building one would add parameters that never get a gradient.
        score_part = None if score is None or scope_part.name == "none" else _component(score)
        normaliser_part = _normaliser_of(scope_part, normaliser)
        found = ((registry.score, score_part), (registry.scope, scope_part), (registry.normaliser, normaliser_part))
        parts = [(r, p) for r, p in found if p is not None]
        for key, value in options.items():
            _assign(key, value, parts)
        if score_part is None and scope_part.name != "none":
            raise fail(f"scope {scope_part.name!r} needs a score", hint="only the scope 'none' works without a score")
        self.score = None if score_part is None else _build_score(score_part, width, max_source_length)
        self.scope = build_scope(scope_part, normaliser_part, width, max_source_length)
        self._carries = hasattr(self.score, "start"), hasattr(self.scope, "start")

    @property
    def normaliser(self) -> nn.Module | None:
        """The normaliser; None under a scope that uses none."""
        # A part of the scope, not registered again here, so that each parameter has one name.
        return getattr(self.scope, "normaliser", None)

    @property
    def stateful(self) -> bool:
        """Whether the attention carries something from one step to the next."""
        return any(self._carries)

    def start(self, source: Source) -> State:
        """Returns the state before the first step of attention to a prepared source; () if nothing is carried."""
        if not self.stateful:
            return ()
        score: Any = self.score
        scope: Any = self.scope
        of_score, of_scope = self._carries
        return score.start(source.keys) if of_score else (), scope.start(source.values) if of_scope else ()

    def prepare(self, keys: Tensor, values: Tensor, source_lengths: Tensor | None) -> Source:
        """Prepares a source: computes everything that does not depend on the query.

        Args:
            keys: (B,S,D).
            values: (B,S,D).
            source_lengths: (B,), or None if every sequence has S valid positions.
        """
        # Training batches have a single source length; without a mask they skip the masking below and in the scope.
        mask, valid = None, valid_positions(source_lengths, keys.shape[-2])
        if source_lengths is None or valid is None:
            source_lengths = torch.full(keys.shape[:1], keys.shape[-2], device=keys.device)
        else:
            mask = valid.unsqueeze(-2)
            # 0 · NaN is NaN: weights of 0 alone would not keep NaN or ∞ at padded positions out of sums and gradients.
            keys = keys.masked_fill(~valid.unsqueeze(-1), 0)
            values = values.masked_fill(~valid.unsqueeze(-1), 0)
        whole = self.score is None or _is_whole(type(self.score))
        return Source(keys if whole else getattr(self.score, "prepare", _unchanged)(keys), values, mask, source_lengths)

    def extend(self, source: Source | None, keys: Tensor, values: Tensor) -> Source:
        """Returns the source with the given keys and values (B,n,D) appended, for attention to a model's own past.

        `source` is None before the first step.
        """
        new = self.prepare(keys, values, None)
        if source is None:
            return new
        # No mask is needed: all sequences of a batch have made the same number of steps.
        assert source.mask is None
        return Source(
            torch.cat([source.keys, new.keys], dim=-2),
            torch.cat([source.values, new.values], dim=-2),
            None,
            source.lengths + new.lengths,
        )

    def compare(self, query: Tensor, source: Source, *state: State) -> Any:
        """Returns the logits (B,T,S) of the score for queries (B,T,D), before the scope is applied.

        For a score that carries something, the last argument is its state, and (logits, state) is returned.
        """
        assert self.score is not None
        compare = self.score if _is_whole(type(self.score)) else getattr(self.score, "compare", self.score)
        return compare(query, source.keys, *state)

    def read(
        self, query: Tensor, source: Source, step: int = 0, bias: Tensor | None = None, state: State | None = None
    ) -> Attended:
        """Attends with queries (B,T,D) to a prepared source.

        Args:
            query: (B,T,D). An attention that carries something attends with one query after the other.
            source: the result of `prepare` or `extend`.
            step: index of the first query.
            bias: broadcasts to (B,T,S), added to the logits; None for no bias.
            state: the state after the previous step, `Attended.state`; None before the first step, and for an attention
                that carries nothing.

        Raises:
            ValueError: if the attention carries something, and there is no state at a step other than the first.
        """
        if self.score is None:
            scope: Any = self.scope
            context = scope.context(source.values, source.lengths)
            nothing = source.values.new_zeros(*query.shape[:-1], source.values.shape[-2])
            return Attended(context.expand_as(query), nothing, nothing)
        if self.stateful:
            return self._read_in_turn(query, source, step, bias, state)
        logits = self.compare(query, source)
        logits = logits if bias is None else logits + bias
        weights = self.scope(logits, source.mask, query, source.lengths, step)
        return Attended(weighted_sums(weights, source.values), weights, logits)

    def _read_in_turn(
        self, query: Tensor, source: Source, step: int, bias: Tensor | None, state: State | None
    ) -> Attended:
        """Attends with one query after the other; the arguments are those of `read`."""
        if not state:
            if step:
                raise ValueError(
                    f"this attention carries something from one step to the next, and step {step} got nothing: "
                    "pass state=attended.state of the step before to read, and keep it in the state of the model"
                )
            state = self.start(source)
        steps = []
        for index, each in enumerate(query.split(1, dim=-2)):
            added = bias if bias is None or bias.shape[-2] == 1 else bias[..., index : index + 1, :]
            steps.append(self._read_one(each, source, step + index, added, state))
            state = steps[-1].state
        return Attended(
            torch.cat([each.context for each in steps], dim=-2),
            torch.cat([each.weights for each in steps], dim=-2),
            torch.cat([each.logits for each in steps], dim=-2),
            state,
        )

    def _read_one(self, query: Tensor, source: Source, step: int, bias: Tensor | None, state: State) -> Attended:
        """Attends with a single query (B,1,D); returns the context, weights, logits and the new state."""
        score: Any = self.score
        of_score, of_scope = state
        if self._carries[0]:
            logits, of_score = self.compare(query, source, of_score)
        else:
            logits = self.compare(query, source)
        logits = logits if bias is None else logits + bias
        given = logits, source.mask, query, source.lengths, step
        if self._carries[1]:
            weights, of_scope = self.scope(*given, of_scope)
        else:
            weights = self.scope(*given)
        if self._carries[0] and hasattr(score, "update"):
            of_score = score.update(of_score, weights)
        return Attended(weighted_sums(weights, source.values), weights, logits, (of_score, of_scope))

    def log_weights(self, attended: Attended, query: Tensor, source: Source, step: int = 0) -> Tensor:
        """Returns the logarithms (B,T,S) of the weights of `attended`, −∞ for excluded positions.

        They are computed from the logits, so that a position has a gradient however small its weight is. For a scope
        without `log_weights` they are log(max(α, ε)), with ε the smallest positive normal number of the dtype (1.2e-38
        in float32): a position with a weight below ε has no gradient then.

        Args:
            attended: the result of `read`.
            query: (B,T,D), as for `read`.
            source: as for `read`.
            step: as for `read`.
        """
        log_weights = getattr(self.scope, "log_weights", None)
        if log_weights is None:
            return attended.weights.clamp(min=torch.finfo(attended.weights.dtype).tiny).log()
        return log_weights(attended.logits, source.mask, query, source.lengths, step)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        source_lengths: Tensor | None = None,
        step: int = 0,
        state: State | None = None,
    ) -> Attended:
        """Attends with queries (B,T,D) to keys and values (B,S,D).

        Args:
            query: (B,T,D).
            keys: (B,S,D).
            values: (B,S,D).
            source_lengths: (B,), or None if every sequence has S valid positions.
            step: index of the first query.
            state: as for `read`.

        Raises:
            ValueError: if the shapes do not match; the message states the expected and the found shapes.
        """
        # Shapes are checked only here, at the public entry: models call `prepare` and `read`, the latter at every step.
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
        return self.read(query, self.prepare(keys, values, source_lengths), step, state=state)

    def objective(
        self, log_likelihood: Tensor, logits: Tensor, weights: Tensor, mask: Tensor | None, target_mask: Tensor
    ) -> Tensor:
        """Returns the training loss, a scalar in nats per target token.

        This is the scope's `objective` if the scope defines one (see `Hard`), else the mean negative log-likelihood. A
        score with a method `penalty(weights) -> (B,T)` adds its mean over the target tokens (see `Coverage`).

        Args:
            log_likelihood: (B,T) of the target tokens.
            logits: (B,T,S) of the attention.
            weights: (B,T,S) of the attention.
            mask: (B,1,S), or None if every source position is valid.
            target_mask: (B,T), True on target tokens.
        """
        own = getattr(self.scope, "objective", None)
        if own is not None:
            loss = own(log_likelihood, logits, weights, mask, target_mask)
        else:
            loss = -(log_likelihood * target_mask).sum() / target_mask.sum()
        return loss + self.penalty(weights, target_mask)

    def penalty(self, weights: Tensor, target_mask: Tensor) -> Tensor | float:
        """Returns what the score adds to the loss, a scalar; 0 for a score without a method `penalty`.

        Args:
            weights: (B,T,S) of all steps.
            target_mask: (B,T), True on target tokens.
        """
        penalty: Any = getattr(self.score, "penalty", None)
        return 0.0 if penalty is None else (penalty(weights) * target_mask).sum() / target_mask.sum()


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
    part = _component(name)
    return _build_score(Component(name=part.name, options=part.options | options), width, max_source_length)


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
    part = _component(name)
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


def _normaliser_of(scope: Component, normaliser: str | dict[str, Any] | Component | None) -> Component | None:
    """Returns the normaliser under a scope; None if the scope uses none."""
    if registry.scope.entry(scope.name).takes("normaliser"):
        return _component("softmax" if normaliser is None else normaliser)
    if normaliser is not None:
        raise fail(f"the scope {scope.name!r} uses no normaliser", hint="leave out the argument normaliser")
    return None


def _is_whole(kind: type[nn.Module]) -> bool:
    """Returns whether a score of this class is computed by `forward` alone, and not by `prepare` and `compare`."""
    # A custom score may be a plain module. If it derives from Score, or from another score, and overrides `forward`,
    # the inherited `compare` would compute something else: the more derived of the two methods is used.
    forward, compare = (next((c for c in kind.__mro__ if name in vars(c)), None) for name in ("forward", "compare"))
    if forward is None or compare is None:
        return compare is None
    return forward is not compare and issubclass(forward, compare)


def _unchanged(keys: Tensor) -> Tensor:
    return keys


def _build_score(part: Component, width: int, max_source_length: int | None) -> nn.Module:
    options = _resolved(registry.score, part.name, part.options, max_source_length)
    return registry.score.build(part.name, options, width=width, max_source_length=max_source_length)


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


def _component(value: str | dict[str, Any] | Component) -> Component:
    """Converts a name or a mapping to a Component with options that may be modified."""
    if isinstance(value, Component):
        # A copy: _assign adds to the options, and the component may belong to the caller.
        return Component(name=value.name, options=dict(value.options))
    if isinstance(value, str):
        return Component(name=value, options={})
    if "name" not in value:
        raise fail(f"a mapping needs a name, found {value!r}", hint='write it as {"name": "cosine", "strength": 1.0}')
    return Component(name=value["name"], options={k: v for k, v in value.items() if k != "name"})


def _assign(key: str, value: Any, parts: list[tuple[registry.Registry, Component]]) -> None:
    """Adds a keyword argument to the options of the one component that declares it."""
    options = {part.name: [o.name for o in reg.entry(part.name).options] for reg, part in parts}
    declaring = [part for _, part in parts if key in options[part.name]]
    if not declaring:
        known = [name for names in options.values() for name in names]
        raise fail(f"no part of this attention has an option {key!r}", hint=did_you_mean(key, known))
    if len(declaring) > 1:
        names = " and ".join(repr(part.name) for part in declaring)
        raise fail(f"{names} both have an option {key!r}", hint="set it in the mapping of one of them")
    declaring[0].options[key] = value
