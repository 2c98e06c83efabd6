"""Tries a user's score, scope and model on a few words before training, so that an error names their file and line."""

import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from attnbench.attention import Attention, build_score
from attnbench.cell import Cell, Component
from attnbench.errors import AttnbenchError, fail
from attnbench.masking import valid_positions
from attnbench.messages import message_of
from attnbench.models.base import Seq2Seq
from attnbench.registry import REGISTRIES
from attnbench.tasks.base import BOS, EOS, SPECIAL, Task
from attnbench.training.batches import Batch
from attnbench.training.build import build_model, construct
from attnbench.training.stack import Stack

SENTENCES, WORDS = 2, 3
# Sizes of the batch that scores and scopes are tried with: all different, so that no wrong shape is right by chance.
BATCH, STEPS, LENGTH = 3, 2, 5
SEE = {
    "model": "see Seq2Seq in attnbench/models/base.py and docs/own-parts.md",
    "score": "see docs/own-parts.md: a score returns logits (B,T,S) of query (B,T,D) and keys (B,S,D)",
    "scope": "see docs/own-parts.md: a scope returns weights (B,T,S) of logits (B,T,S)",
}
BRANCH = "a branch depends on the values of a tensor (all seeds run as one model: use torch.where)"
# Parts of torch's messages for operations that torch.func.vmap cannot do, because they read the values of a tensor.
READS_VALUES = ("data-dependent", ".item()", "dynamic shape", "differently shaped", "data pointer")
RANDOM = "a random operation: its numbers would depend on the seeds that are trained beside it"
PACKAGE = str(Path(__file__).parents[1])
TORCH = str(Path(torch.__file__).parent)


def try_model(cell: Cell, task: Task, max_source_length: int) -> None:
    """Tries the custom parts of a cell: first the score and the scope by themselves, then the model with them.

    Built-in parts are skipped. The score comes first, so that its mistakes are not reported as those of the model.

    Raises:
        AttnbenchError: if a part raises, or returns something other than specified in docs/own-parts.md.
    """
    parts = cell.components()
    custom = {kind: part for kind, part in parts.items() if not REGISTRIES[kind].is_builtin(part.name)}
    with torch.random.fork_rng(devices=[]):
        if not custom.keys().isdisjoint(("score", "scope")):
            for width in _widths(cell, custom, task, max_source_length):
                if "score" in custom:
                    _try_score(custom["score"], width, max_source_length, cell.data.test_lengths)
                if "scope" in custom:
                    _try_scope(custom["scope"], width)
        if "model" in custom:
            _try_model(cell, task, max_source_length)


# The model


def _try_model(cell: Cell, task: Task, max_source_length: int) -> None:
    """Builds the model and takes a training step with it, alone and stacked."""
    name = cell.model.name

    def build(seed: int) -> Seq2Seq:
        return build_model(cell, task, max_source_length, seed)

    batch = _a_few_words(task)
    with _blaming("model", name, "it"):
        model = build(0)
        if not isinstance(model, Seq2Seq):
            raise _wrong("model", name, "is not a subclass of attnbench.Seq2Seq")
        with torch.no_grad():
            _check_steps(model.eval(), name, batch, len(task.target_words))
    with _blaming("model", name, "stacked by torch.func.vmap, it"):
        stack = Stack(build, (0, 1), torch.device("cpu"))
        stack.loss(Batch(*(part.expand(2, *part.shape) for part in batch)))[0].sum().backward()
        stack.greedy(batch, WORDS)


def _a_few_words(task: Task) -> Batch:
    first = torch.full((SENTENCES, 1), len(SPECIAL))
    source = torch.cat([first.expand(-1, WORDS), torch.full((SENTENCES, 1), EOS)], dim=1)
    target = torch.cat([first.clamp(max=len(task.target_words) - 1).expand(-1, WORDS), source[:, -1:]], dim=1)
    return Batch(source, torch.cat([torch.full((SENTENCES, 1), BOS), target[:, :-1]], dim=1), target)


def _check_steps(model: Seq2Seq, name: str, batch: Batch, vocabulary: int) -> None:
    """Compares the results of encode, step and forward with the shapes that Seq2Seq specifies."""
    length, steps = batch.source.shape[1], batch.previous.shape[1]
    memory, state = _several(model.encode(batch.source, None), ("memory", "state"), name, "encode")
    returned = model.step(memory, state, batch.previous[:, 0], 0)
    _, logits, weights = _several(returned, ("state", "logits", "weights"), name, "step")
    _expect("model", name, logits, (SENTENCES, vocabulary), "the logits of step, (B,V),")
    _expect("model", name, weights, (SENTENCES, length), "the weights of step, (B,S),")
    padded = torch.tensor([length, length - 1])  # as in evaluation, where a batch has sentences of several lengths
    model(batch.source, padded, batch.previous)
    output = model(batch.source, None, batch.previous)
    _expect("model", name, output.logits, (SENTENCES, steps, vocabulary), "the logits of forward, (B,T,V),")
    _expect("model", name, output.weights, (SENTENCES, steps, length), "the weights of forward, (B,T,S),")
    asks = [m.scope for m in model.modules() if isinstance(m, Attention) and hasattr(m.scope, "objective")]
    if asks and (output.attention_logits is None or type(model).objective is Seq2Seq.objective):
        what = "trains soft attention, but its scope has its own objective: it should return Output.attention_logits "
        raise _wrong("model", name, f"{what}and, like rnn, take its loss from attention.objective")
    if model.alignment_heads > 1:
        heads = (SENTENCES, model.alignment_heads, steps, length)
        _expect("model", name, output.heads, heads, "Output.heads, (B,H,T,S) for alignment_heads above 1,")


def _several(returned: Any, names: tuple[str, ...], model: str, method: str) -> tuple[Any, ...]:
    if not isinstance(returned, tuple) or len(returned) != len(names):
        found = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        what = f"the model {model}: {method} should return {', '.join(names)}; it returned {found}"
        raise fail(what, REGISTRIES["model"].origin(model), _hint("model"))
    return returned


# The score and the scope


class _Sentences(NamedTuple):
    """The arguments of a score and of a scope, for a batch of sentences; mask is None if no sentence is padded."""

    query: Tensor
    keys: Tensor
    logits: Tensor
    mask: Tensor | None
    lengths: Tensor

    def only(self, row: int, length: int) -> "_Sentences":
        """One sentence alone, in a source of this length."""
        one = slice(row, row + 1)
        mask = None if self.mask is None or length == self.lengths[row] else self.mask[one, :, :length]
        keys, logits = self.keys[one, :length], self.logits[one, :, :length]
        return _Sentences(self.query[one], keys, logits, mask, self.lengths[one])

    def with_padding(self, value: float) -> "_Sentences":
        """The same sentences with other numbers in padded positions."""
        valid = valid_positions(self.lengths, self.keys.shape[1])
        assert valid is not None
        keys = torch.where(valid.unsqueeze(-1), self.keys, value)
        return self._replace(keys=keys, logits=torch.where(valid.unsqueeze(1), self.logits, value))

    def double(self) -> "_Sentences":
        """The same sentences in float64."""
        return self._replace(query=self.query.double(), keys=self.keys.double(), logits=self.logits.double())


class _Tried(NamedTuple):
    """A custom score or scope: how to build and call it, and what its result is called."""

    kind: str
    name: str
    build: Callable[[], Any]
    call: Callable[[Any, _Sentences], Any]
    result: str

    def wrong(self, what: str) -> AttnbenchError:
        return _wrong(self.kind, self.name, what)

    def run(self, part: Any, sentences: _Sentences) -> Tensor:
        """The result, with its shape, its type and the arguments checked."""
        before = [None if given is None else given.clone() for given in sentences]
        drawn = torch.get_rng_state()
        with _no_global_randomness(self):
            result = self.call(part, sentences)
        if not torch.equal(drawn, torch.get_rng_state()):
            # Called again to find the line; only now, as a dispatch mode imports the compiler, which takes a second.
            with _NoRandomness(self):
                self.call(part, _Sentences(*(None if g is None else g.clone() for g in before)))  # type: ignore[arg-type]
        shape = (*sentences.query.shape[:2], sentences.keys.shape[1])
        _expect(self.kind, self.name, result, shape, f"the {self.result} (B,T,S),")
        dtype = sentences.query.dtype
        if result.dtype != dtype and (dtype == torch.float32 or not result.is_floating_point()):
            raise self.wrong(f"returned {result.dtype} for the {self.result} (B,T,S), expected {dtype}")
        # A scope may change the logits, which are its own; all other arguments are used again at the next step.
        for field, given, old in zip(sentences._fields, sentences, before, strict=True):
            if given is not None and old is not None and field != "logits" and not torch.equal(given, old):
                raise self.wrong(f"changed its argument {field} in place")
        return result


def _widths(cell: Cell, custom: dict[str, Component], task: Task, max_source_length: int) -> list[int]:
    """The widths that the model builds attentions of, found by building it."""
    widths: dict[int, None] = {}

    def attention(width: int, over: str = "source") -> Attention:
        del over  # the trial has one length for all sequences
        widths[width] = None
        for kind, build in _builders(custom, width, max_source_length).items():
            with _blaming(kind, custom[kind].name, "it"):
                build()
        return Attention(cell.score, cell.scope, width=width, max_source_length=max_source_length)

    with _blaming("model", cell.model.name, "it") if "model" in custom else nullcontext():
        construct(cell, task, attention)
    return list(widths)


def _builders(custom: dict[str, Component], width: int, max_source_length: int) -> dict[str, Callable[[], Any]]:
    """The functions that build the custom score and scope, by kind, always with the same initial weights."""
    found: dict[str, Callable[[], Any]] = {}
    if "score" in custom:
        found["score"] = lambda: build_score(custom["score"], width, max_source_length)
    if "scope" in custom:
        scope = custom["scope"]
        found["scope"] = lambda: REGISTRIES["scope"].build(scope.name, scope.options, width=width)
    return found


def _try_score(component: Component, width: int, max_source_length: int, test_lengths: tuple[int, ...]) -> None:
    def call(part: Any, sentences: _Sentences) -> Any:
        # As in Attention.prepare and Attention.compare.
        prepare = getattr(part, "prepare", None)
        return getattr(part, "compare", part)(sentences.query, prepare(sentences.keys) if prepare else sentences.keys)

    build = _builders({"score": component}, width, max_source_length)["score"]
    tried = _Tried("score", component.name, build, call, "logits")
    takes_length = REGISTRIES["score"].entry(component.name).takes("max_source_length")
    sentences = _sentences(width, min(LENGTH, max_source_length) if takes_length else LENGTH)
    with _blaming("score", component.name, "it"), torch.no_grad():
        for part, given in _modes(tried, sentences):
            _check_logits(tried, tried.run(part, given), given)
    _try_stacked(tried, sentences)
    _check_independence(tried, sentences)
    longest = max(test_lengths, default=0) + 1  # EOS
    if takes_length and longest > max_source_length:
        with _blaming("score", component.name, f"with a source of {longest} words (data.test_lengths), it"):
            tried.run(_prepared(tried, training=False), _sentences(width, longest).only(0, longest))


def _try_scope(component: Component, width: int) -> None:
    def call(part: Any, sentences: _Sentences) -> Any:
        return part(sentences.logits.clone(), sentences.mask, sentences.query, sentences.lengths, 0)

    build = _builders({"scope": component}, width, 0)["scope"]
    tried = _Tried("scope", component.name, build, call, "weights")
    sentences = _sentences(width, LENGTH)
    with _blaming("scope", component.name, "it"), torch.no_grad():
        for part, given in _modes(tried, sentences):
            _check_weights(tried, tried.run(part, given), given)
            _check_weights(tried, tried.run(part, _without_words(given)), _without_words(given))
    _try_stacked(tried, sentences)
    _check_independence(tried, sentences)


def _sentences(width: int, length: int) -> _Sentences:
    """A batch of sentences of different lengths, with padding as in Attention.prepare."""
    torch.manual_seed(0)
    lengths = torch.tensor([max(length - row, 1) for row in range(BATCH)])
    valid = valid_positions(lengths, length)
    assert valid is not None
    query, keys = torch.randn(BATCH, STEPS, width), torch.randn(BATCH, length, width)
    logits = torch.randn(BATCH, STEPS, length)
    return _Sentences(query, keys.masked_fill(~valid.unsqueeze(-1), 0), logits, valid.unsqueeze(1), lengths)


def _without_padding(sentences: _Sentences) -> _Sentences:
    """The same batch as in training, where all sentences have one length."""
    keys = torch.where(sentences.keys == 0, 0.5, sentences.keys)
    return sentences._replace(keys=keys, mask=None, lengths=torch.full((BATCH,), keys.shape[1]))


def _without_words(sentences: _Sentences) -> _Sentences:
    """The same batch, with a last sentence that has no valid position."""
    last = (torch.arange(BATCH) == BATCH - 1).unsqueeze(-1)
    mask = torch.ones(BATCH, 1, sentences.keys.shape[1], dtype=torch.bool) if sentences.mask is None else sentences.mask
    return sentences._replace(mask=mask & ~last.unsqueeze(-1), lengths=sentences.lengths.masked_fill(last[:, 0], 0))


def _modes(tried: _Tried, sentences: _Sentences) -> Iterator[tuple[Any, _Sentences]]:
    """The part in evaluation with padding, and in training and evaluation without; several steps, and one."""
    for training in (False, True):
        part = _prepared(tried, training)
        for given in (_without_padding(sentences),) if training else (sentences, _without_padding(sentences)):
            yield part, given
            yield part, given._replace(query=given.query[:, :1], logits=given.logits[:, :1])
    evaluated = _prepared(tried, training=False)
    if _differ(tried.run(evaluated, sentences), tried.run(evaluated, sentences)):
        raise tried.wrong(f"returned different {tried.result} for the same arguments: {RANDOM}")


def _prepared(tried: _Tried, training: bool) -> Any:
    torch.manual_seed(0)
    part = tried.build()
    return part.train(training) if isinstance(part, nn.Module) else part


def _check_logits(tried: _Tried, logits: Tensor, sentences: _Sentences) -> None:
    valid = _valid(logits, sentences)
    # −∞ excludes a position, as in the built-in score location, but something has to be left.
    if (logits.isnan() | (logits == torch.inf))[valid].any() or (logits.isneginf() | ~valid).all(-1).any():
        raise tried.wrong("returned logits that are not finite")


def _check_weights(tried: _Tried, weights: Tensor, sentences: _Sentences) -> None:
    mode = "without a mask" if sentences.mask is None else "with a mask"
    valid = _valid(weights, sentences)
    empty = ~valid.any(-1)
    if (weights[empty] != 0).any():
        raise tried.wrong("returned weights other than 0, or NaN, for a row in which the mask allows no position")
    if not weights.isfinite().all():
        raise tried.wrong(f"returned weights that are not finite ({mode})")
    if (weights < 0).any():
        raise tried.wrong(f"returned weights below 0 ({mode}): {float(weights.min()):g}")
    if (weights[~valid] != 0).any():
        raise tried.wrong("returned weights other than 0 where the mask is False (use masked_softmax)")
    if (most := float(weights.sum(-1).max())) > 1 + 1e-5:
        raise tried.wrong(f"returned a row of weights with the sum {most:g} ({mode}); it should be at most 1")


def _valid(result: Tensor, sentences: _Sentences) -> Tensor:
    """The positions (B,T,S) of a result that are not padding."""
    return torch.ones_like(result, dtype=torch.bool) if sentences.mask is None else sentences.mask.expand_as(result)


def _check_independence(tried: _Tried, sentences: _Sentences) -> None:
    """Compares the results of a sentence in several batches, in float64 if the part can compute in it."""
    with torch.no_grad():
        part, given = _prepared(tried, training=False), sentences
        try:
            double = part.double() if isinstance(part, nn.Module) else part
            tried.run(double, sentences.double())
            part, given = double, sentences.double()
        except Exception:  # for example a constant in float32
            part = _prepared(tried, training=False)
        with _blaming(tried.kind, tried.name, "it"):
            _compare(tried, part, given)


def _compare(tried: _Tried, part: Any, given: _Sentences) -> None:
    together, padded = tried.run(part, given), given.keys.shape[1]
    other = tried.run(part, given.with_padding(3.0))
    for row, length in enumerate(given.lengths.tolist()):
        expected = together[row, :, :length]

        def check(found: Tensor, what: str, expected: Tensor = expected, row: int = row, length: int = length) -> None:
            if _differ(found[..., :length], expected):
                raise tried.wrong(f"returned other {tried.result} for sentence {row} of a batch {what}")

        check(tried.run(part, given.only(row, padded))[0], "than for the sentence alone: it depends on the others")
        check(other[row], "with other numbers in padded positions: it depends on them")
        check(tried.run(part, given.only(row, length))[0], "with padding than without: it depends on the padding")
    if tried.kind == "score":
        first = given._replace(query=given.query[:, :1], logits=given.logits[:, :1])
        if _differ(tried.run(part, first)[:, 0], together[:, 0]):
            raise tried.wrong("returned other logits for a query alone than together with the queries of later steps")


def _differ(found: Tensor, expected: Tensor) -> bool:
    """Whether two results differ by more than rounding."""
    finite = expected.masked_fill(~expected.isfinite(), 0)
    tolerance = (1e-5 if found.dtype == torch.float64 else 1e-4) * (1 + float(finite.abs().max()))
    return not torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)


class _Caller(nn.Module):
    """A part as the forward of a module, which functional_call needs; the part itself may be any callable."""

    def __init__(self, tried: _Tried, part: Any) -> None:
        super().__init__()
        self.tried, self.part = tried, part

    def forward(self, sentences: _Sentences) -> tuple[Tensor, Tensor]:
        """The result, and the objective of a scope that has one, else 0."""
        result = self.tried.call(self.part, sentences)
        objective = getattr(self.part, "objective", None) if self.tried.kind == "scope" else None
        if objective is None or not self.training:
            return result, torch.zeros(())
        log_likelihood = -sentences.query.abs().mean(-1)
        target = torch.ones(log_likelihood.shape, dtype=torch.bool)
        return result, objective(log_likelihood, sentences.logits, result, sentences.mask, target)


def _try_stacked(tried: _Tried, sentences: _Sentences) -> None:
    """Calls the part as training does, two seeds stacked by torch.func.vmap: with a gradient, and with padding."""
    with _blaming(tried.kind, tried.name, "stacked by torch.func.vmap, it"):
        for training, given in ((True, _without_padding(sentences)), (False, sentences)):
            callers = [_Caller(tried, _prepared(tried, training)).train(training) for _ in range(2)]
            parameters, buffers = stack_module_state(callers)
            stacked = _Sentences(*(None if g is None else g.expand(2, *g.shape).clone() for g in given))  # type: ignore[arg-type]
            axes = _Sentences(*(None if g is None else 0 for g in given))  # type: ignore[arg-type]
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
    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], sentences: _Sentences) -> Any:
        return functional_call(template, (parameters, buffers), (sentences,))

    return one


# Random operations


class _NoRandomness(TorchDispatchMode):
    """Refuses torch's random operations, unless attnbench itself calls them, as it does for a subclass of a built-in.

    All seeds of a pack draw from one generator, so the numbers of a seed would depend on the other seeds of its pack.
    """

    def __init__(self, tried: _Tried) -> None:
        super().__init__()
        self.tried = tried

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation of torch."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        before = torch.get_rng_state()
        result = func(*args, **kwargs)
        # The tag alone does not tell: an operation with dropout has it even if the probability is 0.
        own = isinstance(kwargs.get("generator"), torch.Generator)
        if own or not torch.equal(before, torch.get_rng_state()):
            place = _user_line()
            if place is not None:
                what = f"the {self.tried.kind} {self.tried.name!r} calls {RANDOM}"
                raise fail(what, place, _hint(self.tried.kind))
        return result


def _user_line() -> str | None:
    """The line that called torch; None if it is a line of attnbench."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(TORCH):
        frame = frame.f_back
    file = frame.f_code.co_filename
    return None if file.startswith(PACKAGE) and file != __file__ else f"{file}:{frame.f_lineno}"


@contextmanager
def _no_global_randomness(tried: _Tried) -> Iterator[None]:
    """Refuses the use of the generators of Python and NumPy: all seeds would get the same numbers."""

    def states() -> tuple[Any, ...]:
        kind, key, position, *_ = np.random.get_state()
        return random.getstate(), kind, np.asarray(key).tobytes(), position

    before = states()
    yield
    if states() != before:
        raise tried.wrong(f"calls {RANDOM}")


# Errors


def _expect(kind: str, name: str, found: Any, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(found, Tensor) or found.shape != shape:
        has = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise _wrong(kind, name, f"returned {has} for {what} expected {shape}")


def _wrong(kind: str, name: str, what: str) -> AttnbenchError:
    return fail(f"the {kind} {name!r} {what}", REGISTRIES[kind].origin(name), _hint(kind))


def _hint(kind: str) -> str:
    return f"{SEE[kind]}, or write an example: attnbench init --{kind} NAME"


@contextmanager
def _blaming(kind: str, name: str, subject: str) -> Iterator[None]:
    """Turns any exception into one that names the line of the part's file that raised it."""
    try:
        yield
    except (AttnbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        file = REGISTRIES[kind].entry(name).file
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        place = f"{file}:{lines[-1]}" if lines else REGISTRIES[kind].origin(name)
        first_line = (message_of(error) or type(error).__name__).strip().partition("\n")[0]
        if any(part in first_line for part in READS_VALUES):
            first_line = BRANCH
        what = f"the {kind} {name!r} cannot be trained: {subject} raised {type(error).__name__}: {first_line}"
        raise fail(what, place, _hint(kind)) from error
