"""A cell: one fully resolved configuration with one seed, as plain data that any process can read."""

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

KINDS = ("model", "score", "scope", "normaliser", "task")  # of the components of a cell
# Those with a column in every table of cells. The normaliser has one only where it is an axis.
COLUMN_KINDS = ("model", "score", "scope", "task")
LABELS = (*COLUMN_KINDS, "seed")  # the columns that every table of cells begins with; the axes of the grid follow


class Section(BaseModel):
    """Base of all sections: immutable; unknown keys, wrong types and NaN are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(Section):
    """A score, scope, task or model by its registered name, with all its options resolved."""

    name: str
    options: dict[str, Any] = {}


SOFTMAX = Component(name="softmax")


class Data(Section):
    """The data to train and test on. Lengths are counted in source tokens, without EOS."""

    vocabulary: Annotated[int, Field(gt=0, le=1_000_000)] | None = Field(
        20, description="number of symbols in the tasks copy, reverse and sort"
    )
    unseen_symbols: NonNegativeInt = Field(
        0, description="number of symbols held out of training and tested separately"
    )
    min_length: PositiveInt = Field(3, description="length of the shortest training source")
    max_length: PositiveInt = Field(10, description="length of the longest training source")
    test_lengths: tuple[PositiveInt, ...] = Field((), description="source lengths that each get their own test set")
    validation_examples: PositiveInt = Field(200, description="number of validation examples")
    test_examples: PositiveInt = Field(500, description="number of test examples, also per test length")
    path: str | None = Field(None, description="file of sentence pairs, one source<TAB>target per line")
    validation_path: str | None = Field(None, description="file of validation pairs; default: 5 % of path")
    test_path: str | None = Field(None, description="file of test pairs; default: 5 % of path")

    @field_validator("test_lengths")
    @classmethod
    def _once_each(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(lengths)) < len(lengths):
            raise ValueError("test_lengths contains the same length twice")
        return lengths

    @model_validator(mode="after")
    def _lengths_in_order(self) -> "Data":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class StopAt(Section):
    """Early stopping: a pack ends once all its replicas reach this validation accuracy."""

    exact_match: Annotated[float, Field(gt=0, le=1)]


class Train(Section):
    """The training: Adam on batches whose sources all have the same length."""

    steps: PositiveInt = Field(800, description="number of training steps")
    batch_size: PositiveInt = Field(32, description="sentences per step")
    learning_rate: PositiveFloat = Field(0.003, description="learning rate of Adam")
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="fraction of the steps, at the end, over which the learning rate falls to 0"
    )
    clip: PositiveFloat = Field(1.0, description="maximum gradient norm per replica")
    valid_every: PositiveInt = Field(100, description="number of steps between validations")
    stop_at: StopAt | None = Field(None, description="stop early at this validation accuracy, e.g. {exact_match: 0.99}")
    timeout: PositiveFloat | None = Field(
        None, description="time limit per cell in seconds; seeds trained together share the sum of their limits"
    )


class Cell(Section):
    """One training run: the components with their options, the data, the training settings and a seed.

    A cell of `tuning` is trained to choose between candidates: it is measured on the validation set, and never tested.
    `score` is None if the scope uses no score, and `normaliser` if it uses no normaliser. Paths are absolute; the
    cell's id hashes the files' contents, not the paths.
    """

    model: Component
    score: Component | None
    scope: Component
    normaliser: Component | None = SOFTMAX
    task: Component
    data: Data
    train: Train
    seed: NonNegativeInt
    tuning: bool = False

    def written(self) -> dict[str, Any]:
        """All fields as JSON data; without `tuning` where it is false, since earlier versions had no tuning."""
        return self.model_dump(mode="json", exclude=None if self.tuning else {"tuning"})

    def components(self) -> dict[str, Component]:
        """The registered components by kind, without those that the scope does not use."""
        parts: dict[str, Component | None] = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: part for kind, part in parts.items() if part is not None}


class Checkpoint(Section):
    """Where a pack in training is saved, so that an interrupted run continues with it.

    `file` is an absolute path on the driver's machine, in the run's folder. `key` identifies everything that the pack's
    numbers follow from. `lock` is the run's `.lock.json`, and `holder` its content: a machine that finds something else
    there does not see the run's folder, and saves nothing.
    """

    file: Path
    key: str
    lock: Path
    holder: str


class Pack(Section):
    """Cells that differ only in their seed, trained together as one stacked model.

    `ids` are the cells' ids, in the order of `seeds`; `plugins` are the files or modules to load before training.
    `digests` are those of the sentence pairs that the ids were computed from, by field ("data.path"), and `code` those
    of the user's own files that its components consist of, by name ("plugin:my_score.py"); a worker checks both.
    Without a `checkpoint` nothing is saved before the pack has finished.
    """

    cell: Cell
    seeds: tuple[NonNegativeInt, ...]
    ids: tuple[str, ...]
    plugins: tuple[str | Path, ...] = ()
    digests: dict[str, str] = {}
    code: dict[str, str] = {}
    checkpoint: Checkpoint | None = None
