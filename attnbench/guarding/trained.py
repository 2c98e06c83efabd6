"""The trained part: an attention learns copy and reverse as the cross-attention of attnbench's default model."""

import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from attnbench.cell import Component, Data
from attnbench.escapes import one_line
from attnbench.guarding.convention import Kind
from attnbench.guarding.cross_attention import CrossAttention
from attnbench.guarding.load import load_again
from attnbench.guarding.probe import Outcome, Result
from attnbench.guarding.reasons import no_gradients
from attnbench.guarding.target import Target, calling
from attnbench.messages import message_of
from attnbench.models.base import Seq2Seq
from attnbench.models.rnn import Recurrent
from attnbench.tasks.base import Examples, Task
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import validation_set
from attnbench.tasks.streams import training_stream
from attnbench.training.adam import Adam
from attnbench.training.batches import Batch, to_batch
from attnbench.training.build import torch_seed
from attnbench.training.metrics import evaluate
from attnbench.training.stack import Stack

TASKS = ("copy", "reverse")
SEEDS = (0, 1, 2, 3, 4)
# The decoder starts from zeros, so that all that it knows of the source comes through the attention.
WIDTH, EMBEDDING = 64, 32
DATA = Data.model_validate({"vocabulary": 12, "min_length": 5, "max_length": 10, "validation_examples": 120})
STEPS, BATCH, RATE, DECAY, CLIP = 1000, 32, 0.006, 0.4, 1.0
VALID_EVERY = 50
ENOUGH = 0.99  # all seeds reach it: the training ends
SECONDS = 55.0  # at most, for one task
# The median of the seeds' exact match that is needed; docs/guard.md says how it was chosen.
NEEDED = {"copy": 0.75, "reverse": 0.75}


@dataclass(frozen=True)
class Training:
    """What came out of training on one task.

    Attributes:
        exact_match: on validation at the end, by seed.
        steps_to_95: the step of the first validation with an exact match of at least .95, by seed; None without one.
        steps: that were taken.
        seconds: that they took.
        one_by_one: why the seeds were not trained in one stack; "" if they were.
        cut: whether it ended because of the time limit.
    """

    exact_match: tuple[float, ...]
    steps_to_95: tuple[int | None, ...]
    steps: int
    seconds: float
    one_by_one: str = ""
    cut: bool = False


class OneByOne(Stack):
    """A stack that computes one replica after the other, for a module that torch.func.vmap cannot take."""

    def _call(self, method: str, data_axis: int | None, *data: Any) -> Any:
        results = []
        for k in range(self.replicas):
            state = tuple(
                {name: tensor[k] for name, tensor in part.items()} for part in (self.parameters, self.buffers)
            )
            given = tuple(d[k] if data_axis == 0 and isinstance(d, Tensor) else d for d in data)
            results.append(functional_call(self.template, state, (method, *given)))
        return tree_map(lambda *tensors: torch.stack(tensors), *results)


def train_on(target: Target, name: str, seeds: Sequence[int] = SEEDS) -> Training:
    """Trains a model with the attention on a task, from several seeds.

    Raises:
        Exception: what the attention raises.
    """
    began = time.perf_counter()
    component = Component(name=name)
    task = build_task(component, DATA)
    device = torch.device(target.asked.device)
    stream = training_stream(task, component, DATA, seeds, BATCH)
    validation = validation_set(task, component, DATA)
    batch = to_batch(stream.batch(), device)
    stack, reason = _stack(target, task, seeds, batch, validation[:1])
    adam = Adam(list(stack.parameters.values()))
    reached: list[int | None] = [None] * len(seeds)
    exact = [0.0] * len(seeds)
    step, cut = 0, False
    # The other backends of scaled_dot_product_attention have no batching rule.
    with nullcontext() if reason else sdpa_kernel(SDPBackend.MATH):
        while step < STEPS and not cut and min(exact) < ENOUGH:
            step += 1
            objective, _ = stack.loss(batch)
            left = min(1.0, (STEPS - step + 1) / (DECAY * STEPS))
            adam.step(objective.sum(), RATE * left, CLIP)
            batch = to_batch(stream.batch(), device)
            cut = time.perf_counter() - began > SECONDS
            if step % VALID_EVERY == 0 or step == STEPS or cut:
                exact = _exact_match(stack, validation, task, target)
                reached = [old or (step if now >= 0.95 else None) for old, now in zip(reached, exact, strict=True)]
    return Training(tuple(exact), tuple(reached), step, time.perf_counter() - began, reason, cut)


def _stack(
    target: Target, task: Task, seeds: Sequence[int], batch: Batch, validation: list[Examples]
) -> tuple[Stack, str]:
    """The replicas, and why they are trained one by one; "" if they are trained together.

    An operation without a batching rule of torch.func.vmap is computed for one replica after the other: then a plain
    loop over the replicas is faster.
    """
    device = torch.device(target.asked.device)

    def build(seed: int) -> Seq2Seq:
        return _model(target, task, seed)

    stack = Stack(build, seeds, device)
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng(devices=[]):
        warnings.simplefilter("always")
        try:
            with sdpa_kernel(SDPBackend.MATH):
                stack.loss(batch)[0].sum().backward()
                _exact_match(stack, validation, task, target)
            slow = [str(each.message) for each in caught if "batching rule" in str(each.message)]
            reason = slow[0].partition(". ")[0] if slow else ""
        except Exception as error:
            reason = f"torch.func.vmap: {one_line(message_of(error))}"
    return (OneByOne(build, seeds, device) if reason else stack), reason


def _model(target: Target, task: Task, seed: int) -> Seq2Seq:
    def attention(width: int, over: str = "source") -> Any:
        del over
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("attention", seed))
            # Several heads of a function without parameters are several narrow, fixed views, which learn slowly.
            found = target.convention if target.loaded.is_module else replace(target.convention, heads=1)
            return CrossAttention(load_again(target.loaded), found, target.asked.causal, width)

    torch.manual_seed(torch_seed("model", seed))
    words = len(task.source_words), len(task.target_words)
    return Recurrent(*words, attention, WIDTH, EMBEDDING, init="zero")


def _exact_match(stack: Stack, validation: list[Examples], task: Task, target: Target) -> list[float]:
    """The exact match of each replica; without a mask, sentences of one length at a time."""
    together = target.takes(Kind.KEYS) or target.takes(Kind.PAIRS)
    parts = [validation] if together else [[group] for group in validation]
    total = [0.0] * stack.replicas
    for part in parts:
        sentences = sum(map(len, part))
        found = evaluate(stack, part, task, False, torch.device(target.asked.device))
        total = [old + sentences * (row["exact_match"] or 0.0) for old, row in zip(total, found, strict=True)]
    return [each / sum(map(len, validation)) for each in total]


def _too_short(target: Target) -> str:
    """It cannot be given the sentences, with EOS, and the state of the decoder after them where they are joined."""
    needed = DATA.max_length + 2
    longest = target.asked.longest or needed
    return f"training needs {needed} positions (--longest {longest})" if longest < needed else ""


def run_training(target: Target, name: str) -> tuple[Result, Training | None]:
    """Trains on a task, and compares the median exact match with what known attentions reach."""
    law = f"the default model learns {name} with it"
    if reason := no_gradients(target) or _too_short(target):
        return Result(name, law, Outcome.SKIPPED, reason), None
    try:
        with calling(target.asked.device):
            found = train_on(target, name)
    except Exception as error:
        return Result(name, law, Outcome.FAILED, f"training raised {type(error).__name__}: {message_of(error)}"), None
    exact = sorted(found.exact_match)
    numbers = f"exact match {median(exact):.2f} ({exact[0]:.2f} to {exact[-1]:.2f}, {len(exact)} seeds)"
    effort = f"{found.steps} steps, {found.seconds:.0f} s"
    notes = [f"seeds one by one: {found.one_by_one}"] if found.one_by_one else []
    if median(exact) >= NEEDED[name]:
        return Result(name, law, Outcome.PASSED, "; ".join([f"{numbers}; {effort}", *notes])), found
    if found.cut:
        notes.append(f"the time limit of {SECONDS:.0f} s ended the training after {found.steps} of {STEPS} steps")
        return Result(name, law, Outcome.WARNED, "; ".join([numbers, *notes])), found
    reason = f"{numbers}; {NEEDED[name]:.2f} is needed; {effort}"
    return Result(name, law, Outcome.FAILED, "; ".join([reason, *notes])), found
