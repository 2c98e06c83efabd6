"""A user's score, scope or normaliser on trial: it is called in every way in which training calls it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from attnbench.errors import AttnbenchError
from attnbench.training.trial.blame import blaming, expect, wrong
from attnbench.training.trial.randomness import RANDOM, NoRandomness, no_global_randomness
from attnbench.training.trial.sentences import Sentences, without_padding


class Tried(NamedTuple):
    """A custom score or scope: how to build and call it, and what its result is called."""

    kind: str
    name: str
    build: Callable[[], Any]
    call: Callable[[Any, Sentences], Any]
    result: str

    def wrong(self, what: str) -> AttnbenchError:
        return wrong(self.kind, self.name, what)

    def run(self, part: Any, sentences: Sentences) -> Tensor:
        """The result, with its shape, its type and the arguments checked."""
        before = [None if given is None else given.clone() for given in sentences]
        drawn = torch.get_rng_state()
        with no_global_randomness(self.kind, self.name):
            result = self.call(part, sentences)
        if not torch.equal(drawn, torch.get_rng_state()):
            # Called again to find the line; only now, as a dispatch mode imports the compiler, which takes a second.
            with NoRandomness(self.kind, self.name):
                self.call(part, Sentences(*(None if g is None else g.clone() for g in before)))  # type: ignore[arg-type]
        shape = (*sentences.query.shape[:2], sentences.keys.shape[1])
        expect(self.kind, self.name, result, shape, f"the {self.result} (B,T,S),")
        dtype = sentences.query.dtype
        if result.dtype != dtype and (dtype == torch.float32 or not result.is_floating_point()):
            raise self.wrong(f"returned {result.dtype} for the {self.result} (B,T,S), expected {dtype}")
        # A scope may change the logits, which are its own; all other arguments are used again at the next step.
        for field, given, old in zip(sentences._fields, sentences, before, strict=True):
            if given is not None and old is not None and field != "logits" and not torch.equal(given, old):
                raise self.wrong(f"changed its argument {field} in place")
        return result


def modes(tried: Tried, sentences: Sentences) -> Iterator[tuple[Any, Sentences]]:
    """The part in evaluation with padding, and in training and evaluation without; several steps, and one."""
    for training in (False, True):
        part = prepared(tried, training)
        for given in (without_padding(sentences),) if training else (sentences, without_padding(sentences)):
            yield part, given
            yield part, given._replace(query=given.query[:, :1], logits=given.logits[:, :1])
    evaluated = prepared(tried, training=False)
    if differ(tried.run(evaluated, sentences), tried.run(evaluated, sentences)):
        raise tried.wrong(f"returned different {tried.result} for the same arguments: {RANDOM}")


def prepared(tried: Tried, training: bool) -> Any:
    torch.manual_seed(0)
    part = tried.build()
    return part.train(training) if isinstance(part, nn.Module) else part


def check_independence(tried: Tried, sentences: Sentences) -> None:
    """Compares the results of a sentence in several batches, in float64 if the part can compute in it."""
    with torch.no_grad():
        part, given = prepared(tried, training=False), sentences
        try:
            double = part.double() if isinstance(part, nn.Module) else part
            tried.run(double, sentences.double())
            part, given = double, sentences.double()
        except Exception:  # for example a constant in float32
            part = prepared(tried, training=False)
        with blaming(tried.kind, tried.name, "it"):
            _compare(tried, part, given)


def _compare(tried: Tried, part: Any, given: Sentences) -> None:
    together, padded = tried.run(part, given), given.keys.shape[1]
    other = tried.run(part, given.with_padding(3.0))
    for row, length in enumerate(given.lengths.tolist()):
        expected = together[row, :, :length]

        def check(found: Tensor, what: str, expected: Tensor = expected, row: int = row, length: int = length) -> None:
            if differ(found[..., :length], expected):
                raise tried.wrong(f"returned other {tried.result} for sentence {row} of a batch {what}")

        check(tried.run(part, given.only(row, padded))[0], "than for the sentence alone: it depends on the others")
        check(other[row], "with other numbers in padded positions: it depends on them")
        check(tried.run(part, given.only(row, length))[0], "with padding than without: it depends on the padding")
    if tried.kind == "score":
        first = given._replace(query=given.query[:, :1], logits=given.logits[:, :1])
        if differ(tried.run(part, first)[:, 0], together[:, 0]):
            raise tried.wrong("returned other logits for a query alone than together with the queries of later steps")


def differ(found: Tensor, expected: Tensor) -> bool:
    """Whether two results differ by more than rounding."""
    finite = expected.masked_fill(~expected.isfinite(), 0)
    tolerance = (1e-5 if found.dtype == torch.float64 else 1e-4) * (1 + float(finite.abs().max()))
    return not torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


class _Caller(nn.Module):
    """A part as the forward of a module, which functional_call needs; the part itself may be any callable."""

    def __init__(self, tried: Tried, part: Any) -> None:
        super().__init__()
        self.tried, self.part = tried, part

    def forward(self, sentences: Sentences) -> tuple[Tensor, Tensor]:
        """The result, and the objective of a scope that has one, else 0."""
        result = self.tried.call(self.part, sentences)
        objective = getattr(self.part, "objective", None) if self.tried.kind == "scope" else None
        if objective is None or not self.training:
            return result, torch.zeros(())
        log_likelihood = -sentences.query.abs().mean(-1)
        target = torch.ones(log_likelihood.shape, dtype=torch.bool)
        return result, objective(log_likelihood, sentences.logits, result, sentences.mask, target)


def try_stacked(tried: Tried, sentences: Sentences) -> None:
    """Calls the part as training does, two seeds stacked by torch.func.vmap: with a gradient, and with padding."""
    with blaming(tried.kind, tried.name, "stacked by torch.func.vmap, it"):
        for training, given in ((True, without_padding(sentences)), (False, sentences)):
            callers = [_Caller(tried, prepared(tried, training)).train(training) for _ in range(2)]
            parameters, buffers = stack_module_state(callers)
            stacked = Sentences(*(None if g is None else g.expand(2, *g.shape).clone() for g in given))  # type: ignore[arg-type]
            axes = Sentences(*(None if g is None else 0 for g in given))  # type: ignore[arg-type]
            if training:
                # The lengths of a training batch are a constant (Attention.prepare).
                stacked, axes = stacked._replace(lengths=given.lengths), axes._replace(lengths=None)  # type: ignore[arg-type]
                for of_training in (stacked.query, stacked.keys, stacked.logits):
                    of_training.requires_grad_(True)
            with torch.set_grad_enabled(training):
                result, objective = vmap(_of(callers[0]), in_dims=(0, 0, axes), randomness="different")(
                    parameters, buffers, stacked
                )
            if not isinstance(objective, Tensor) or objective.shape != (2,) or not objective.isfinite().all():
                has = f"{tuple(objective.shape[1:])}" if isinstance(objective, Tensor) else type(objective).__name__
                raise tried.wrong(f"has an objective that returned {has}, expected a finite scalar ()")
            total = result.where(result.isfinite(), 0).sum() + objective.sum()
            if training and total.requires_grad:
                total.backward()


def _of(template: _Caller) -> Callable[..., Any]:
    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], sentences: Sentences) -> Any:
        return functional_call(template, (parameters, buffers), (sentences,))

    return one
