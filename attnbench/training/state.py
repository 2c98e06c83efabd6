"""The state of a pack in training: everything that the rest of the training follows from, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

if TYPE_CHECKING:
    from attnbench.training.train import Training

ROW_BYTES = 600  # of a row of a history as JSON: at most nine numbers and their names

Attributes = dict[str, dict[str, bool | int | float | str]]


class Facts(BaseModel):
    """The part of a state that JSON can hold.

    Attributes:
        step: the number of steps taken.
        ended: whether the last of them has been taken, so that only the tests are left.
        active: the replicas that are still trained.
        seconds: each replica's share of the time.
        elapsed: since the start.
        training_seconds: of `elapsed`, those spent on training steps.
        words: the number of target words trained on.
        history: see `Outcome`, per replica.
        errors: why each replica has failed; None if it has not.
        marks: see `Selection`.
        formations: of each replica the number of validations and the steps at which its alignment was recorded.
        stream: see `TrainingStream.state`.
        attributes: numbers and text that the modules of the model have as attributes, by module and name.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    step: PositiveInt
    ended: bool
    active: list[NonNegativeInt]
    seconds: list[float]
    elapsed: NonNegativeFloat
    training_seconds: NonNegativeFloat
    words: NonNegativeInt
    history: list[list[dict[str, int | float]]]
    errors: list[str | None]
    marks: list[list[float]]
    formations: list[list[Any]]
    stream: dict[str, Any]
    attributes: Attributes


@dataclass(frozen=True)
class State:
    """The state of a pack in training: its facts, the bytes of its tensors, and the recorded alignments, joined."""

    facts: Facts
    tensors: np.ndarray
    weights: np.ndarray
    heads: np.ndarray


def tensors_of(training: "Training") -> list[Tensor]:
    """Returns all tensors that change in training, in a fixed order."""
    return [*training.stack.state().values(), *training.adam.state(), *training.selection.best.values()]


def state_of(training: "Training", elapsed: float) -> State:
    """Returns the present state; `elapsed` is the number of seconds since the start."""
    facts = Facts(
        step=training.steps,
        ended=training.ended,
        active=training.active,
        seconds=training.seconds.tolist(),
        elapsed=elapsed,
        training_seconds=training.training_seconds,
        words=training.words,
        history=training.history,
        errors=training.errors,
        marks=[list(mark) for mark in training.selection.marks],
        formations=[[formation.validations, formation.steps] for formation in training.formations],
        stream=training.stream.state(),
        attributes=attributes_of(training.stack.template),
    )
    weights = [record for formation in training.formations for record in formation.weights]
    heads = [record for formation in training.formations for record in formation.heads]
    return State(facts, to_bytes(tensors_of(training)), np.array(weights), np.array(heads))


def restore(training: "Training", saved: State) -> None:
    """Brings a training that has not begun into a saved state, except for its clock.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, RuntimeError: if it is not the state of such a pack. The
            state of the training is then undefined.
    """
    facts, replicas = saved.facts, len(training.pack.seeds)
    per_replica = (facts.seconds, facts.history, facts.errors, facts.marks, facts.formations)
    if facts.step > training.settings.steps or any(len(values) != replicas for values in per_replica):
        raise ValueError("it has other steps or replicas")
    if not facts.active or facts.active != sorted({*facts.active} & {*training.active}):
        raise ValueError(f"the active replicas are {facts.active}")
    _restore_formations(training, saved)
    if facts.active != training.active:
        training.keep(facts.active)
    fill(tensors_of(training), saved.tensors)
    set_attributes(training.stack.template, facts.attributes)
    training.stream.restore(facts.stream)
    training.selection.marks = [(exact_match, loss) for exact_match, loss in facts.marks]
    training.steps, training.ended = facts.step, facts.ended
    training.history, training.errors = facts.history, facts.errors
    training.seconds, training.training_seconds = np.array(facts.seconds), facts.training_seconds
    training.words = facts.words


def _restore_formations(training: "Training", saved: State) -> None:
    if not training.attends:
        return
    found = training.alignment()
    start = 0
    for formation, (validations, steps) in zip(training.formations, saved.facts.formations, strict=True):
        part = slice(start, start + len(steps))
        formation.restore(validations, list(steps), list(saved.weights[part]), list(saved.heads[part]), found)
        start = part.stop
    if saved.weights.shape != (start, *found.weights.shape[2:]) or saved.heads.shape[:1] != (start,):
        raise ValueError("its alignments have another shape")


def record_bytes(training: "Training") -> int:
    """Returns the largest number of bytes that the histories and the recorded alignments of a pack may have."""
    replicas, settings = len(training.pack.seeds), training.settings
    validations = settings.steps // settings.valid_every + 1
    doublings = validations.bit_length()
    # A row per validation and, early in training, up to LOSS_POINTS between two of them; alignments as in Formation.
    history = (validations + 100 * (doublings + 1)) * ROW_BYTES
    if not training.attends:
        return replicas * history
    found = training.alignment()
    return replicas * (history + (doublings + 2) * (found.weights[0, 0].nbytes + found.heads[0, 0].nbytes))


def to_bytes(tensors: Sequence[Tensor]) -> np.ndarray:
    """Returns the bytes of all tensors, of any type, in one array."""
    return np.concatenate([t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for t in tensors])


@torch.no_grad()
def fill(tensors: Sequence[Tensor], content: np.ndarray) -> None:
    """Copies what `to_bytes` returned into tensors of the same shapes and types.

    Raises:
        ValueError: if it does not have their size.
    """
    if content.dtype != np.uint8 or content.shape != (size_of(tensors),):
        raise ValueError(f"{content.size} bytes of tensors, expected {size_of(tensors)}")
    start = 0
    for tensor in tensors:
        # Copied in place, and thus into the same memory layout as without the interruption; a copy is also aligned.
        part = torch.from_numpy(content[start : start + tensor.nbytes].copy())
        tensor.copy_(part.view(tensor.dtype).reshape(tensor.shape))
        start += tensor.nbytes


def size_of(tensors: Sequence[Tensor]) -> int:
    """Returns the number of bytes of all tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def attributes_of(model: nn.Module) -> Attributes:
    """Returns the attributes that are numbers or text, of all modules; a custom part may count its calls in one."""
    return {
        name: {key: value for key, value in vars(module).items() if type(value) in (bool, int, float, str)}
        for name, module in model.named_modules()
    }


def set_attributes(model: nn.Module, attributes: Attributes) -> None:
    """Sets the attributes that `attributes_of` returned.

    Raises:
        ValueError: if the model has others.
    """
    present = attributes_of(model)
    if {name: set(own) for name, own in attributes.items()} != {name: set(own) for name, own in present.items()}:
        raise ValueError("the model has other attributes")
    for name, module in model.named_modules():
        vars(module).update(attributes[name])
