"""The baseline: the accuracies that CI compares a run with, one row per configuration and metric.

A configuration is a cell without its seed, identified by a hash of all its settings. A data file counts by its content.
The code of plugins does not count, because changed code is what the gate tests. The settings themselves are stored next
to the hash, so that a check can name the settings that changed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attnbench import __version__
from attnbench.analysis.gate.allowances import ALLOWANCES
from attnbench.analysis.labels import text
from attnbench.analysis.settings import key_of, settings_of
from attnbench.analysis.table.lengths import metric_hint
from attnbench.cell import KINDS
from attnbench.errors import AttnbenchError, Problem, did_you_mean
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of
from attnbench.store.store import Store

# Learning slower is a regression that the accuracy at the end hides, hence steps_to_95.
DEFAULT_METRICS = ("exact_match", "aer", "steps_to_95")
DECIMALS = 4
NEVER = math.inf  # the steps_to_95 of a seed that did not get there


@dataclass(frozen=True)
class Configuration:
    """The cells of a run that differ only in the seed.

    Attributes:
        key: the hash of its settings; "" where no cell is finished, because the plan does not contain the settings.
        labels: by column, as text.
        settings: every resolved field by its dotted path, as text.
        metrics: the metrics by seed, for the cells that are done.
        failed: the error messages by seed, for the cells that failed.
        unfinished: the seeds of the cells that are neither done nor failed.
        stale: the changed files by seed, for the cells whose code was another one at the last run of the grid.
        versions: the versions of attnbench and torch.
    """

    key: str
    labels: dict[str, str]
    settings: dict[str, str]
    metrics: dict[int, dict[str, float | None]]
    failed: dict[int, str]
    unfinished: tuple[int, ...]
    versions: str
    stale: Mapping[int, str] = field(default_factory=dict)

    def values(self, metric: str) -> dict[int, float]:
        """A metric by seed, rounded as in the file.

        A run is judged by the rounded values too: otherwise an unchanged run would differ from its own baseline. Seeds
        without a value are left out, except where that is the worst result (steps_to_95): they have NEVER then.
        """
        missing = NEVER if metric_of(metric).missing_is_worst else None
        values = {seed: metrics.get(metric) for seed, metrics in sorted(self.metrics.items())}
        known = {seed: missing if value is None else round(value, DECIMALS) for seed, value in values.items()}
        return {seed: value for seed, value in known.items() if value is not None}


@dataclass(frozen=True)
class BaselineRow:
    """One metric of a configuration by seed; `line` is its line in the file, 0 where it was not read from one.

    A value is NEVER where a missing value is the metric's worst result.
    """

    labels: dict[str, str]
    configuration: str
    metric: str
    values: dict[int, float]
    settings: dict[str, str]
    versions: str
    line: int = 0


def configurations(store: Store) -> list[Configuration]:
    """The configurations of a run's plan, in its order, with the results that exist.

    Raises:
        AttnbenchError: if the plan, or a data file that a cell was trained on, cannot be read.
    """
    states, stale = store.states(), store.stale()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell in store.plan()["cells"]:
        groups.setdefault(tuple(text(v) for k, v in cell["labels"].items() if k != "seed"), []).append(cell)
    return [_configuration(store, cells, states, stale) for cells in groups.values()]


def _configuration(
    store: Store, cells: list[dict[str, Any]], states: dict[str, str], stale: dict[str, str]
) -> Configuration:
    records = {c["labels"]["seed"]: store.read(c["id"]) for c in cells if c["id"] in states}
    # The cells differ only in the seed, which is not a setting: any of their records will do.
    settings: dict[str, str] = {}
    for record in records.values():
        settings = settings_of(record)
    torch = sorted({str(r["versions"]["torch"]) for r in records.values() if "torch" in r["versions"]})
    return Configuration(
        key=key_of(settings) if records else "",
        labels={name: text(value) for name, value in cells[0]["labels"].items() if name != "seed"},
        settings=settings,
        metrics={seed: r["metrics"] for seed, r in records.items() if r["status"] == "done"},
        failed={seed: r["error"] or "" for seed, r in records.items() if r["status"] == "failed"},
        unfinished=tuple(c["labels"]["seed"] for c in cells if c["id"] not in states),
        versions=" ".join([f"attnbench {__version__}", *(f"torch {version}" for version in torch)]),
        stale={c["labels"]["seed"]: stale[c["id"]] for c in cells if c["id"] in stale},
    )


def rows_of(store: Store, metrics: Sequence[str] = ()) -> list[BaselineRow]:
    """The baseline of a run: one row per configuration and metric that it has.

    Args:
        store: a run with all cells done.
        metrics: default: DEFAULT_METRICS.

    Raises:
        AttnbenchError: with every cell that is not done, every metric that cannot be gated or that no cell has, and
            every configuration in which only some seeds have the metric.
    """
    run = configurations(store)
    gated = [metric for metric in dict.fromkeys(metrics or DEFAULT_METRICS) if not unknown_metric(metric)]
    problems = [*_not_done(store, run), *(p for metric in metrics if (p := unknown_metric(metric)))]
    rows = [
        BaselineRow(one.labels, one.key, metric, values, one.settings, one.versions)
        for one in run
        for metric in gated
        if has_result(values := one.values(metric))
    ]
    # Only for requested metrics: a run without gold links has no AER, and the default must not fail there. Other
    # problems come first, because a missing cell may be the reason why a metric is absent.
    present = {row.metric for row in rows}
    known = {name for one in run for measured in one.metrics.values() for name in measured}
    problems += [
        Problem(f"no cell has {metric}", "--metric", metric_hint(metric, known) if metric not in known else "")
        for metric in metrics
        if not problems and metric not in present
    ]
    seeds = {one.key: len(one.metrics) for one in run}
    problems += [
        Problem(f"only seeds {join_seeds(row.values)} have {row.metric}", name_of(row.labels))
        for row in rows
        if len(row.values) < seeds[row.configuration]
    ]
    if problems:
        raise AttnbenchError(*problems)
    return rows


def has_result(values: Mapping[int, float]) -> bool:
    """Whether at least one seed has a value: where none ever got there, nothing can be compared."""
    return any(math.isfinite(value) for value in values.values())


def _not_done(store: Store, run: Iterable[Configuration]) -> list[Problem]:
    """A problem per configuration with failed, unfinished or stale seeds, and per cell that cannot be read."""
    needs = "a baseline needs a run with all cells done"
    hint = f"{needs}: attnbench run trains the missing and the stale ones"
    again = f"{needs}: correct the cause, then attnbench run GRID.yaml --retry-failed"
    states = [
        (one, state, tuple(seeds), how)
        for one in run
        for state, seeds, how in (
            (f"failed: {next(iter(one.failed.values()), '')}", one.failed, again),
            ("not finished", one.unfinished, hint),
            ("stale", one.stale, hint),
        )
    ]
    problems = [
        Problem(f"seeds {join_seeds(seeds)}: {state}", name_of(one.labels), how)
        for one, state, seeds, how in states
        if seeds
    ]
    broken = [store.broken[cell["id"]] for cell in store.plan()["cells"] if cell["id"] in store.broken]
    return [*problems, *(Problem(f"cannot be read: {reason}", store.name, hint) for reason in broken)]


def unknown_metric(metric: str) -> Problem | None:
    """The problem with a metric's name; None where the gate supports the metric."""
    name, at, length = metric.partition("@")
    if name in ALLOWANCES and (not at or length.isdecimal()):
        return None
    return Problem(f"{metric!r} is not a metric that can be gated", "--metric", did_you_mean(metric, ALLOWANCES))


def name_of(labels: dict[str, str]) -> str:
    """A configuration's readable name: "rnn · dot · global · copy · model.width 64"."""
    return " · ".join([labels[name] for name in KINDS if labels.get(name, NO_VALUE) != NO_VALUE] + [
        f"{name} {value}" for name, value in labels.items() if name not in KINDS and value != NO_VALUE
    ])  # fmt: skip


def same_labels(first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether two configurations agree in every column that both have; an axis may have been added to the grid."""
    return all(second[column] == value for column, value in first.items() if column in second)


def update(old: Sequence[BaselineRow], new: Sequence[BaselineRow]) -> list[BaselineRow]:
    """The old rows, updated with the new ones.

    A row with unchanged values keeps its versions, so that a diff shows only what changed. Rows of configurations
    that the run does not have are kept, because a run may cover only part of the grid. They are dropped where the run
    has a new configuration with the same labels: its settings were changed, and the old row can never be compared
    again.
    """
    before = {(row.configuration, row.metric): row for row in old}
    in_run = {row.configuration for row in new}
    added = [row for row in new if row.configuration not in {other.configuration for other in old}]
    kept = [
        row
        for row in old
        if row.configuration not in in_run and not any(same_labels(row.labels, other.labels) for other in added)
    ]
    result = {(row.configuration, row.metric): row for row in kept}
    for row in new:
        same = before.get((row.configuration, row.metric))
        result[row.configuration, row.metric] = (
            replace(row, versions=same.versions) if same and same.values == row.values else row
        )
    # An update of some metrics (--metric) keeps the rows of the others.
    metrics = {row.metric for row in new}
    other_metrics = [row for row in old if row.configuration in in_run and row.metric not in metrics]
    return [*result.values(), *other_metrics]


def join_seeds(seeds: Iterable[int]) -> str:
    """The seeds as text: "0 1 2"."""
    return " ".join(map(str, seeds))
