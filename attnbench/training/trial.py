"""Runs a user's model on a few words before training, so that an error names the model's own file and line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnbench import registry
from attnbench.attention import Attention
from attnbench.cell import Cell
from attnbench.errors import AttnbenchError, fail
from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import BOS, EOS, SPECIAL, Task
from attnbench.training.batches import Batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack

SENTENCES, WORDS = 2, 3
HINT = "see Seq2Seq in attnbench/models/base.py and docs/own-parts.md, or write an example: attnbench init --model NAME"


def try_model(cell: Cell, task: Task, max_source_length: int) -> None:
    """Builds the model and takes a training step with it, alone and stacked. Built-in models are skipped.

    Raises:
        AttnbenchError: if it is not a Seq2Seq, raises, or returns something other than Seq2Seq specifies.
    """
    name = cell.model.name
    if registry.model.is_builtin(name):
        return

    def build(seed: int) -> Seq2Seq:
        return build_model(cell, task, max_source_length, seed)

    batch = _a_few_words(task)
    with _blaming(name, "it"), torch.random.fork_rng(devices=[]):
        model = build(0)
        if not isinstance(model, Seq2Seq):
            raise _wrong(name, "is not a subclass of attnbench.Seq2Seq", registry.model.origin(name))
        with torch.no_grad():
            _check_steps(model.eval(), name, batch, len(task.target_words))
    with _blaming(name, "stacked by torch.func.vmap, it"), torch.random.fork_rng(devices=[]):
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
    place = registry.model.origin(name)
    length, steps = batch.source.shape[1], batch.previous.shape[1]
    memory, state = _several(model.encode(batch.source, None), ("memory", "state"), f"{name}: encode", place)
    returned = model.step(memory, state, batch.previous[:, 0], 0)
    _, logits, weights = _several(returned, ("state", "logits", "weights"), f"{name}: step", place)
    _expect(logits, (SENTENCES, vocabulary), "the logits of step, (B,V),", name)
    _expect(weights, (SENTENCES, length), "the weights of step, (B,S),", name)
    padded = torch.tensor([length, length - 1])  # as in evaluation, where a batch has sentences of several lengths
    model(batch.source, padded, batch.previous)
    output = model(batch.source, None, batch.previous)
    _expect(output.logits, (SENTENCES, steps, vocabulary), "the logits of forward, (B,T,V),", name)
    _expect(output.weights, (SENTENCES, steps, length), "the weights of forward, (B,T,S),", name)
    asks = [m.scope for m in model.modules() if isinstance(m, Attention) and hasattr(m.scope, "objective")]
    if asks and (output.attention_logits is None or type(model).objective is Seq2Seq.objective):
        what = "trains soft attention, but its scope has its own objective: it should return Output.attention_logits "
        raise _wrong(name, f"{what}and, like rnn, take its loss from attention.objective", place)
    if model.alignment_heads > 1:
        heads = (SENTENCES, model.alignment_heads, steps, length)
        _expect(output.heads, heads, "Output.heads, (B,H,T,S) for alignment_heads above 1,", name)


def _several(returned: Any, names: tuple[str, ...], what: str, place: str) -> tuple[Any, ...]:
    if not isinstance(returned, tuple) or len(returned) != len(names):
        found = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        raise fail(f"the model {what} should return {', '.join(names)}; it returned {found}", place, HINT)
    return returned


def _expect(found: Any, shape: tuple[int, ...], what: str, name: str) -> None:
    if not isinstance(found, Tensor) or found.shape != shape:
        has = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise _wrong(name, f"returned {has} for {what} expected {shape}", registry.model.origin(name))


def _wrong(name: str, what: str, place: str) -> AttnbenchError:
    return fail(f"the model {name!r} {what}", place, HINT)


@contextmanager
def _blaming(name: str, subject: str) -> Iterator[None]:
    """Turns any exception into one that names the line of the model's file that raised it."""
    try:
        yield
    except AttnbenchError:
        raise
    except Exception as error:
        file = Path(registry.model.entry(name).file)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        place = f"{file}:{lines[-1]}" if lines else registry.model.origin(name)
        first_line = (str(error) or type(error).__name__).strip().partition("\n")[0]
        if "data-dependent" in first_line:
            first_line = "a branch depends on the values of a tensor (all seeds run as one model: use torch.where)"
        what = f"the model {name!r} cannot be trained: {subject} raised {type(error).__name__}: {first_line}"
        raise fail(what, place, HINT) from error
