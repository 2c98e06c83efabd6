"""A cell: one fully resolved combination with one seed, as plain data that any process can read."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

KINDS = ("model", "score", "scope", "task")  # of the components of a cell
# The columns that every table of cells begins with; the axes of the grid follow.
LABELS = (*KINDS, "seed")


class Section(BaseModel):
    """Strict and frozen: an unknown key, a wrong type or a NaN is an error, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(Section):
    """A score, scope, task or model by its registered name, with all its options resolved."""

    name: str
    options: dict[str, Any] = {}


class Data(Section):
    """What is trained on and tested on. Lengths are source tokens without EOS."""

    vocabulary: Annotated[int, Field(gt=0, le=1_000_000)] | None = Field(
        20, description="number of symbols of copy, reverse and sort"
    )
    unseen_symbols: NonNegativeInt = Field(
        0, description="symbols of the vocabulary that training never shows; they are tested by themselves"
    )
    min_length: PositiveInt = Field(3, description="shortest training source")
    max_length: PositiveInt = Field(10, description="longest training source")
    test_lengths: tuple[PositiveInt, ...] = Field((), description="lengths that are tested each by itself")
    validation_examples: PositiveInt = Field(200, description="size of the validation set")
    test_examples: PositiveInt = Field(500, description="size of the test set, and of each test length's")
    path: str | None = Field(None, description="your own sentence pairs: source<TAB>target per line")
    validation_path: str | None = Field(None, description="pairs to validate on, else 5 % of path")
    test_path: str | None = Field(None, description="pairs to test on, else 5 % of path")

    @field_validator("test_lengths")
    @classmethod
    def _once_each(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(lengths)) < len(lengths):
            raise ValueError("a length stands twice in test_lengths")
        return lengths

    @model_validator(mode="after")
    def _lengths_in_order(self) -> "Data":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class StopAt(Section):
    """The validation accuracy at which a pack ends, once all its replicas are there."""

    exact_match: Annotated[float, Field(gt=0, le=1)]


class Train(Section):
    """How a model is trained: Adam on batches of one source length."""

    steps: PositiveInt = Field(800, description="training steps")
    batch_size: PositiveInt = Field(32, description="sentences per step")
    learning_rate: PositiveFloat = Field(0.003, description="Adam's learning rate")
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of the steps, at the end, over which the rate falls to 0"
    )
    clip: PositiveFloat = Field(1.0, description="largest gradient norm of a replica")
    valid_every: PositiveInt = Field(100, description="steps between validations")
    stop_at: StopAt | None = Field(None, description="end early, e.g. {exact_match: 0.99} on validation")
    timeout: PositiveFloat | None = Field(
        None, description="seconds that a cell may take; the seeds trained together share theirs"
    )


class Cell(Section):
    """One training: the components with their options, the data, the training and a seed.

    `score` is None where the scope uses none. Paths are absolute; the id hashes the contents behind them.
    """

    model: Component
    score: Component | None
    scope: Component
    task: Component
    data: Data
    train: Train
    seed: NonNegativeInt

    def components(self) -> dict[str, Component]:
        """The parts that registries know, by their kind; no score where the scope uses none."""
        parts = {"model": self.model, "score": self.score, "scope": self.scope, "task": self.task}
        return {kind: part for kind, part in parts.items() if part is not None}


class Pack(Section):
    """The cells that differ in seed alone: trained as one stacked model.

    `ids` are the cells' ids, in the order of `seeds`; `plugins` are the files or modules to load first.
    """

    cell: Cell
    seeds: tuple[NonNegativeInt, ...]
    ids: tuple[str, ...]
    plugins: tuple[str | Path, ...] = ()
