"""The trial of a user's model."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attnbench.attention import Attention
from attnbench.cell import Cell
from attnbench.errors import fail
from attnbench.models.base import Seq2Seq
from attnbench.registry import REGISTRIES
from attnbench.tasks.base import BOS, EOS, SPECIAL, Task, image_size, source_positions
from attnbench.training.batches import Batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack
from attnbench.training.trial.blame import blaming, expect, hint, wrong

SENTENCES, WORDS = 2, 3


def try_seq2seq(cell: Cell, task: Task, max_source_length: int) -> None:
    """Builds the model and takes a training step with it, alone and stacked."""
    name = cell.model.name

    def build(seed: int) -> Seq2Seq:
        return build_model(cell, task, max_source_length, seed)

    batch = _a_few_words(task)
    with blaming("model", name, "it"):
        model = build(0)
        if not isinstance(model, Seq2Seq):
            raise wrong("model", name, "is not a subclass of attnbench.Seq2Seq")
        with torch.no_grad():
            length = source_positions(task, WORDS)
            _check_steps(model.eval(), name, batch, length, len(task.target_words))
            if image_size(task) is None:  # as in evaluation, where a batch has sentences of several lengths
                model(batch.source, torch.tensor([length, length - 1]), batch.previous)
    with blaming("model", name, "stacked by torch.func.vmap, it"):
        stack = Stack(build, (0, 1), torch.device("cpu"))
        stack.loss(Batch(*(part.expand(2, *part.shape) for part in batch)))[0].sum().backward()
        stack.greedy(batch, WORDS)


def _a_few_words(task: Task) -> Batch:
    first = torch.full((SENTENCES, 1), len(SPECIAL))
    source = torch.cat([first.expand(-1, WORDS), torch.full((SENTENCES, 1), EOS)], dim=1)
    target = torch.cat([first.clamp(max=len(task.target_words) - 1).expand(-1, WORDS), source[:, -1:]], dim=1)
    previous = torch.cat([torch.full((SENTENCES, 1), BOS), target[:, :-1]], dim=1)
    size = image_size(task)
    return Batch(source if size is None else torch.rand(SENTENCES, *size), previous, target)


def _check_steps(model: Seq2Seq, name: str, batch: Batch, length: int, vocabulary: int) -> None:
    """Compares the results of encode, step and forward with the shapes that Seq2Seq specifies."""
    steps = batch.previous.shape[1]
    memory, state = _several(model.encode(batch.source, None), ("memory", "state"), name, "encode")
    returned = model.step(memory, state, batch.previous[:, 0], 0)
    _, logits, weights = _several(returned, ("state", "logits", "weights"), name, "step")
    expect("model", name, logits, (SENTENCES, vocabulary), "the logits of step, (B,V),")
    expect("model", name, weights, (SENTENCES, length), "the weights of step, (B,S),")
    output = model(batch.source, None, batch.previous)
    expect("model", name, output.logits, (SENTENCES, steps, vocabulary), "the logits of forward, (B,T,V),")
    expect("model", name, output.weights, (SENTENCES, steps, length), "the weights of forward, (B,T,S),")
    asks = [m.scope for m in model.modules() if isinstance(m, Attention) and hasattr(m.scope, "objective")]
    if asks and (output.attention_logits is None or type(model).objective is Seq2Seq.objective):
        what = "trains soft attention, but its scope has its own objective: it should return Output.attention_logits "
        raise wrong("model", name, f"{what}and, like rnn, take its loss from attention.objective")
    loses = [m for m in model.modules() if isinstance(m, Attention) and hasattr(m.score, "penalty")]
    if loses and type(model).objective is Seq2Seq.objective:
        what = "has no objective, but its score adds to the loss: its objective should return attention.objective(…), "
        raise wrong("model", name, f"{what}as that of rnn, or add attention.penalty(output.weights, target_mask)")
    _check_state(model, name, batch, output.weights)
    if model.alignment_heads > 1:
        heads = (SENTENCES, model.alignment_heads, steps, length)
        expect("model", name, output.heads, heads, "Output.heads, (B,H,T,S) for alignment_heads above 1,")


def _check_state(model: Seq2Seq, name: str, batch: Batch, weights: Tensor) -> None:
    """Checks that the model gives each attention that carries something its state, at every step.

    `weights` (B,T,S) are those of `forward`.
    """
    carrying = [part for part in model.modules() if isinstance(part, Attention) and part.stateful]
    if not carrying:
        return
    memory, state = model.encode(batch.source, None)
    steps, without = [], []
    with _noted_states(carrying) as noted:
        for index, word in enumerate(batch.previous.unbind(1)):
            noted.clear()
            state, _, of_step = model.step(memory, state, word, index)
            steps.append(of_step)
            without += [index for given, _ in noted if index and not given]
    if without:
        what = f"gives its attention no state at step {without[0]}, and its score or scope depends on the previous step"
        carry = "begin with attention.start(memory), pass state=… to attention.read, and carry read.state to the next"
        raise wrong("model", name, f"{what}: {carry} step")
    if not torch.allclose(torch.stack(steps, dim=1), weights, rtol=0, atol=1e-4):
        raise wrong("model", name, "returns other weights from forward than from its steps, one after the other")
    _check_passed_on(model, name, batch, carrying)


def _check_passed_on(model: Seq2Seq, name: str, batch: Batch, carrying: list[Attention]) -> None:
    """Checks that no attention is given the state of the previous step again, although `read` returned another."""
    model.train()  # in evaluation a scope may choose the same position twice, which leaves its state as it was
    memory, state = model.encode(batch.source, None)
    before: list[tuple[Any, Any]] = []
    with _noted_states(carrying) as noted:
        for index, word in enumerate(batch.previous.unbind(1)):
            noted.clear()
            state, _, _ = model.step(memory, state, word, index)
            for (given, _), (last, returned) in zip(noted, before, strict=False):
                if _equal(given, last) and not _equal(returned, last):
                    what = f"gives its attention at step {index} the state that it gave at step {index - 1}: carry "
                    raise wrong("model", name, f"{what}read.state, which attention.read returns, to the next step")
            before = list(noted)
    model.eval()


def _equal(one: Any, other: Any) -> bool:
    """Returns whether two states, nested tuples of tensors, have the same values."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    both = isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other)
    return both and all(map(_equal, one, other))


@contextmanager
def _noted_states(attentions: list[Attention]) -> Iterator[list[tuple[Any, Any]]]:
    """Notes the state that every call of `read` gets, and the one that it returns."""
    noted: list[tuple[Any, Any]] = []

    def read(attention: Attention, *given: Any, **named: Any) -> Any:
        attended = Attention.read(attention, *given, **named)
        noted.append((named.get("state", given[4] if len(given) > 4 else None), attended.state))
        return attended

    for each in attentions:
        object.__setattr__(each, "read", partial(read, each))
    try:
        yield noted
    finally:
        for each in attentions:
            object.__delattr__(each, "read")


def _several(returned: Any, names: tuple[str, ...], model: str, method: str) -> tuple[Any, ...]:
    if not isinstance(returned, tuple) or len(returned) != len(names):
        found = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        what = f"the model {model}: {method} should return {', '.join(names)}; it returned {found}"
        raise fail(what, REGISTRIES["model"].origin(model), hint("model"))
    return returned
