"""Attention: combines a score, a scope, a normaliser and a mask into context vectors and weights."""

from typing import Any

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.attention_types import Attended, Source, State
from attnbench.cell import Component
from attnbench.errors import fail
from attnbench.masking import valid_positions
from attnbench.parts import assign_option, build_scope, build_score, component_of, normaliser_under
from attnbench.products import weighted_sums
from attnbench.scores.base import compare, prepare


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
        scope_part = component_of(scope)
        # The scope none uses no score. Building one would add parameters that never get a gradient.
        score_part = None if score is None or scope_part.name == "none" else component_of(score)
        normaliser_part = normaliser_under(scope_part, normaliser)
        found = ((registry.score, score_part), (registry.scope, scope_part), (registry.normaliser, normaliser_part))
        parts = [(r, p) for r, p in found if p is not None]
        for key, value in options.items():
            assign_option(key, value, parts)
        if score_part is None and scope_part.name != "none":
            raise fail(f"scope {scope_part.name!r} needs a score", hint="only the scope 'none' works without a score")
        self.score = None if score_part is None else build_score(score_part, width, max_source_length)
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
        prepared = keys if self.score is None else prepare(self.score, keys)
        if prepared is values:
            # A node of its own in autograd's graph. The gradients of keys and values have different layouts in memory,
            # and adding them up at every step, in place of once, would take as long as all the rest (400 words, dot).
            prepared = prepared.view_as(prepared)
        return Source(prepared, values, mask, source_lengths)

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
        return compare(self.score, query, source.keys, *state)

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
                    f"this attention needs the state of the previous step, and got none at step {step}: "
                    "pass state=attended.state of the previous step to read, and keep it in the state of the model"
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
