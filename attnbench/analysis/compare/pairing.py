"""Which results are compared: the metric by value of the axis, setting and seed, with failed seeds as the worst."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import Label, label_columns, values_of
from attnbench.analysis.per_pack import measurements
from attnbench.cell import SOFTMAX
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    import pandas as pd

NORMALISER = "normaliser"
ALL_TASKS = "all"  # the task of a line over all tasks
Block = tuple[Label, ...]  # all labels except the axis and the seed; the task comes first
Results = Mapping[tuple[Label, Block], Mapping[Any, float]]  # the metric by seed, for a value of the axis in a block


def results(frame: "pd.DataFrame", axis: str, metric: str, blocks_by: Sequence[str] | None = None) -> Results:
    """The metric by seed, for each value of the axis in each block.

    A seed that failed counts as the worst result of its task: without it, a value that diverges half of the time would
    be compared by the seeds that survived.

    Args:
        frame: rows of table.csv.
        axis: the label column that is compared.
        metric: a column.
        blocks_by: the label columns other than the task that define a block; default: `others` of the rows with the
            metric.
    """
    about = metric_of(metric)
    frame = measurements(frame, metric)
    columns = others(measured(frame, metric), axis) if blocks_by is None else blocks_by
    found: dict[tuple[Label, Block], dict[Any, float]] = {}
    missing: dict[tuple[Label, Block], list[Any]] = {}
    tasks = values_of(frame, "task") if axis != "task" else [ALL_TASKS] * len(frame)
    blocks = zip(tasks, *(values_of(frame, column) for column in columns), strict=True)
    for value, block, seed, status, number in zip(
        values_of(frame, axis),
        blocks,
        values_of(frame, "seed"),
        frame["status"].tolist(),
        values_of(frame, metric),
        strict=True,
    ):
        key = (value, tuple(block))
        if status == "done" and number is not None:
            found.setdefault(key, {})[seed] = float(number)
        elif (status == "failed" and not about.per_pack) or about.missing_is_worst:
            missing.setdefault(key, []).append(seed)
    observed: dict[Label, list[float]] = {}
    for (_, block), seeds in found.items():
        observed.setdefault(block[0], []).extend(seeds.values())
    for key, failed in missing.items():
        if key[1][0] in observed:  # else the metric has no meaning for this task
            found.setdefault(key, {}).update(dict.fromkeys(failed, about.worst(observed[key[1][0]])))
    return found


def pairable(frame: "pd.DataFrame", axis: str, metric: str) -> bool:
    """Whether two values of an axis share a setting and a seed; without that, `contrast` has nothing to compare."""
    seen: dict[tuple[Block, Any], Label] = {}
    runs = ((value, (block, seed)) for (value, block), seeds in results(frame, axis, metric).items() for seed in seeds)
    return any(seen.setdefault(place, value) != value for value, place in runs)


def measured(frame: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The rows that are done and have the metric."""
    return frame[(frame["status"] == "done") & frame[metric].notna()]


def others(done: "pd.DataFrame", axis: str) -> list[str]:
    """The label columns, other than axis, task and seed, that define a block.

    Columns that are determined by the axis do not: they are part of what is compared.
    """
    return [c for c in label_columns(done) if c not in (axis, "seed", "task") and not _follows(done, c, axis)]


def _follows(frame: "pd.DataFrame", column: str, axis: str) -> bool:
    """Whether each value of the axis has a single value of the column."""
    pairs = set(zip(values_of(frame, axis), values_of(frame, column), strict=True))
    return len(pairs) == len({value for value, _ in pairs})


def side_by_side(frames: "Sequence[tuple[str, pd.DataFrame]]") -> "pd.DataFrame":
    """The rows of several runs with a label column `run`.

    An axis that a run does not have is empty there, except that its normaliser is the softmax.
    """
    import pandas as pd

    weighed = [frame for _, frame in frames if NORMALISER in frame.columns]
    if weighed:
        unused = {scope for frame in weighed for scope in frame.loc[frame[NORMALISER] == NO_VALUE, "scope"]}
        frames = [(name, _with_normaliser(frame, unused)) for name, frame in frames]
    named = [frame.assign(run=name) for name, frame in frames]
    joined = pd.concat(named, ignore_index=True)
    labels = list(dict.fromkeys(c for _, frame in frames for c in label_columns(frame)))
    rest = [c for c in joined.columns if c not in ("cell", "status", "run", *labels)]
    return joined[["cell", "status", "run", *labels, *rest]]


def _with_normaliser(frame: "pd.DataFrame", unused: Collection[Label]) -> "pd.DataFrame":
    """The rows of a run with a column of the normaliser, which no scope in `unused` has."""
    if NORMALISER in frame.columns:
        return frame
    labels = [NO_VALUE if scope in unused else SOFTMAX.name for scope in values_of(frame, "scope")]
    # Before the metrics, where the label columns are.
    together = frame.copy()
    together.insert(list(frame.columns).index("task"), NORMALISER, labels)
    return together
