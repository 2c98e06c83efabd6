"""What the JSON files of a run contain, as pydantic models: `PlanFile` of plan.json, `CellRecord` of cells/<id>.json.

Whoever reads a record or a plan relies on what is checked here. Both are strict, and open to keys of later versions,
but not to settings in `config` that this version does not have: it could not train such a cell. Fields with a default
are missing in the files of earlier versions. The digest is checked by `read_sealed`.
"""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt, field_validator, model_validator

from attnbench.cell import LABELS, Cell
from attnbench.metrics import is_metric, metric_of

# Numbers beyond these bounds are never measured, and could not be averaged, drawn or logged.
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Count = Annotated[int, Field(ge=0, le=2**53)]  # above it, not every whole number is a float
Seed = NonNegativeInt
Label = str | int | float | bool | None
CellId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,100}$")]  # it is the name of a file
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}(@[1-9][0-9]{0,8})?$")]
SeriesName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./@-]{1,100}$")]


class _Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Labels(_Part):
    """The columns that every table begins with; the axes of the grid follow."""

    model: str
    score: str
    scope: str
    task: str
    seed: Seed
    __pydantic_extra__: dict[str, Label]


class Together(_Part):
    """The cells that are trained together."""

    ids: Annotated[tuple[CellId, ...], Field(min_length=1)]
    seeds: tuple[Seed, ...]

    @model_validator(mode="after")
    def _a_seed_each(self) -> "Together":
        if len(self.ids) != len(self.seeds):
            raise ValueError(f"{len(self.ids)} cells have {len(self.seeds)} seeds")
        return self


class PlannedCell(_Part):
    """A cell of a plan; `code` is the key of its fingerprint in the plan's `code`."""

    id: CellId
    labels: Labels
    code: str | None = None


class Skipped(_Part):
    """A combination that is not trained."""

    labels: dict[str, Label]
    reason: str


class TunedConfiguration(_Part):
    """A configuration whose settings are tuned: its candidates, their cells, and the index of the chosen one."""

    labels: dict[str, Label]
    candidates: list[dict[str, Label]]
    cells: list[list[CellId]]
    chosen: int | None

    @model_validator(mode="after")
    def _consistent(self) -> "TunedConfiguration":
        if len(self.candidates) != len(self.cells):
            raise ValueError(f"{len(self.candidates)} candidates have the cells of {len(self.cells)}")
        if self.chosen is not None and not 0 <= self.chosen < len(self.candidates):
            raise ValueError("the chosen candidate does not exist")
        return self


class Decided(_Part):
    """What is decided between the values of an axis, and with how many seeds."""

    axis: str
    metric: str
    margin: Annotated[float, Field(gt=0, le=1e100)]
    at_least: Annotated[int, Field(ge=1, le=10**6)]
    at_most: Annotated[int, Field(ge=1, le=10**6)]


class PlanFile(_Part):
    """The content of plan.json.

    `cells` are those that are reported, in grid order: with `decide`, as many as are needed so far. `waiting` is the
    number of cells that may follow. `not_due` are the ids of the other cells of the grid, which wait for a later look
    or are not needed; none is listed while tuning is not finished.
    """

    name: str = ""
    axes: list[str]
    cells: list[PlannedCell]
    skipped: list[Skipped]
    code: dict[str, dict[str, str]] = {}
    packs: list[Together] = []
    tuning: list[PlannedCell] = []
    tuned: list[TunedConfiguration] = []
    decide: Decided | None = None
    waiting: Count = 0
    not_due: list[CellId] = []

    @model_validator(mode="after")
    def _consistent(self) -> "PlanFile":
        axes = set(self.axes)
        if any(axes - {*LABELS, *(cell.labels.model_extra or ())} for cell in self.cells):
            raise ValueError("the labels of a cell do not have every axis")
        return self


class LoggedStep(_Part):
    """The values that were logged at one training step."""

    step: Count
    seconds: Seconds | None = None
    __pydantic_extra__: dict[SeriesName, Number | None]


class Origin(_Part):
    """The run that a cell was copied from, and the digest of its record there."""

    run: str
    digest: str


class CellRecord(_Part):
    """The content of a cell's file."""

    cell: CellId
    status: Literal["done", "failed"]
    labels: Labels
    config: Cell
    digests: dict[str, str] = {}
    metrics: dict[MetricName, Number | None]
    history: list[LoggedStep]
    error: str | None
    versions: dict[str, JsonValue]
    facts: dict[str, Number] = {}
    code: dict[str, str] = {}
    alignments: str | None = None
    pack: Together | None = None
    reused_from: Origin | None = None

    @field_validator("metrics")
    @classmethod
    def _whole_and_in_range(cls, metrics: dict[str, float | None]) -> dict[str, float | None]:
        for name, value in metrics.items():
            if value is not None and is_metric(name):
                _check_metric(name, value)
        return metrics

    @model_validator(mode="after")
    def _consistent(self) -> "CellRecord":
        if self.labels.seed != self.config.seed:
            raise ValueError(f"the seed is {self.config.seed} in config, and {self.labels.seed} in labels")
        return self


def _check_metric(name: str, value: float) -> None:
    """Raises a ValueError if a metric cannot have this value. A mean may be out of its range by rounding."""
    metric = metric_of(name)
    if metric.whole and (value != int(value) or abs(value) > 2**53):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    high = math.inf if metric.high is None else metric.high * 1.001
    if not -1e-3 <= value <= high or (metric.name == "seconds" and value > 1e10):
        raise ValueError(f"{name} is {value!r}, which is out of its range")
