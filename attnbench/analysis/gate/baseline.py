"""The baseline: the accuracies that CI holds a run against, one row per configuration and metric.

A configuration is a cell without its seed, named by a hash of all its settings: files of data by their content, and no
plugin's code, since changed code is what the gate is there to test. The settings themselves are kept beside the hash,
to say what differs where one has changed.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnbench import __version__
from attnbench.analysis.gate.judge import ALLOWANCES
from attnbench.analysis.labels import text
from attnbench.cell import KINDS
from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.grid.identity import DIGITS, PATHS
from attnbench.messages import NO_VALUE
from attnbench.store.store import Store

DEFAULT_METRICS = ("exact_match", "aer")
DECIMALS = 4
_PLAIN = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Configuration:
    """The cells of a run that differ in seed alone.

    Attributes:
        key: the hash of its settings; "" where no cell is finished, so that nobody knows them.
        labels: by column, as text.
        settings: every resolved field by its dotted path, as text.
        metrics: by seed, of the cells that are done.
        failed: the error by seed.
        waiting: the seeds that are not finished.
        versions: of attnbench and torch.
    """

    key: str
    labels: dict[str, str]
    settings: dict[str, str]
    metrics: dict[int, dict[str, float | None]]
    failed: dict[int, str]
    waiting: tuple[int, ...]
    versions: str

    def values(self, metric: str) -> dict[int, float]:
        """By seed, as a baseline writes them; seeds where the metric has no meaning are left out."""
        found = {seed: metrics.get(metric) for seed, metrics in sorted(self.metrics.items())}
        return {seed: round(value, DECIMALS) for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class BaselineRow:
    """A configuration's metric by seed; `line` of the file it was read from, else 0."""

    labels: dict[str, str]
    configuration: str
    metric: str
    values: dict[int, float]
    settings: dict[str, str]
    versions: str
    line: int = 0


def configurations(store: Store) -> list[Configuration]:
    """What a run's plan asks for, in its order, with what is finished of it.

    Raises:
        AttnbenchError: when the plan, or a file of data that a cell was trained on, cannot be read.
    """
    states = store.states()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell in store.plan()["cells"]:
        groups.setdefault(tuple(text(v) for k, v in cell["labels"].items() if k != "seed"), []).append(cell)
    return [_configuration(store, cells, states) for cells in groups.values()]


def _configuration(store: Store, cells: list[dict[str, Any]], states: dict[str, str]) -> Configuration:
    records = {c["labels"]["seed"]: store.read(c["id"]) for c in cells if c["id"] in states}
    settings: dict[str, str] = {}
    for record in records.values():
        settings = settings_of(record["config"])
    torch = sorted({str(r["versions"]["torch"]) for r in records.values() if "torch" in r["versions"]})
    return Configuration(
        key=key_of(settings) if records else "",
        labels={name: text(value) for name, value in cells[0]["labels"].items() if name != "seed"},
        settings=settings,
        metrics={seed: r["metrics"] for seed, r in records.items() if r["status"] == "done"},
        failed={seed: r["error"] or "" for seed, r in records.items() if r["status"] == "failed"},
        waiting=tuple(c["labels"]["seed"] for c in cells if c["id"] not in states),
        versions=" ".join([f"attnbench {__version__}", *(f"torch {version}" for version in torch)]),
    )


def settings_of(config: dict[str, Any]) -> dict[str, str]:
    """The fields of a cell but its seed, by dotted path, as text; a component's options beside its name.

    Raises:
        AttnbenchError: when a file of data cannot be read.
    """
    found: dict[str, str] = {}
    for section, value in config.items():
        fields = value if isinstance(value, dict) else {}  # the seed is none
        if section in KINDS:
            found[section] = _setting(fields.get("name"))
            fields = fields.get("options", {})
        for name, item in fields.items():
            if (section, name) == ("train", "timeout"):
                continue  # no number depends on it
            is_file = section == "data" and name in PATHS and item is not None
            found[f"{section}.{name}"] = _digest(item) if is_file else _setting(item)
    return found


def _setting(value: Any) -> str:
    """A word as it is, all else as JSON, in one line and without the sign that parts settings."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, sort_keys=True).replace(";", "\\u003b")


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:DIGITS]}"
    except OSError as error:
        hint = "the run was trained on it; a baseline knows it by its content"
        raise fail(f"cannot be read: {error.strerror}", path, hint) from None


def key_of(settings: dict[str, str]) -> str:
    """The hash that names a configuration."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]


def rows_of(store: Store, metrics: Sequence[str] = ()) -> list[BaselineRow]:
    """A baseline of a run: a row per configuration and metric that it has.

    Args:
        store: of a run whose cells are all done.
        metrics: exact_match and aer unless given.

    Raises:
        AttnbenchError: with every cell that is not done, every metric that cannot be gated or that no cell has, and
            every configuration where only some seeds have it.
    """
    found = configurations(store)
    wanted = [metric for metric in dict.fromkeys(metrics or DEFAULT_METRICS) if not unknown_metric(metric)]
    problems = [*_undone(store, found), *(p for metric in metrics if (p := unknown_metric(metric)))]
    rows = [
        BaselineRow(one.labels, one.key, metric, values, one.settings, one.versions)
        for one in found
        for metric in wanted
        if (values := one.values(metric))
    ]
    there = {row.metric for row in rows}
    problems += [Problem(f"no cell has {m}", "--metric") for m in metrics if not problems and m not in there]
    seeds = {one.key: len(one.metrics) for one in found}
    problems += [
        Problem(f"only seeds {join(row.values)} have {row.metric}", name_of(row.labels))
        for row in rows
        if len(row.values) < seeds[row.configuration]
    ]
    if problems:
        raise AttnbenchError(*problems)
    return rows


def _undone(store: Store, found: Iterable[Configuration]) -> list[Problem]:
    hint = "a baseline is made from a run whose cells are all done: attnbench run carries on"
    states = [(one, "failed", tuple(one.failed)) for one in found] + [(o, "not finished", o.waiting) for o in found]
    problems = [
        Problem(f"seeds {join(seeds)}: {what}", name_of(one.labels), hint) for one, what, seeds in states if seeds
    ]
    broken = [store.broken[cell["id"]] for cell in store.plan()["cells"] if cell["id"] in store.broken]
    return [*problems, *(Problem(f"cannot be read: {what}", store.name, hint) for what in broken)]


def unknown_metric(metric: str) -> Problem | None:
    """What is wrong with a metric's name, if anything."""
    name, at, length = metric.partition("@")
    if name in ALLOWANCES and (not at or length.isdecimal()):
        return None
    return Problem(f"{metric!r} is not a metric that can be gated", "--metric", did_you_mean(metric, ALLOWANCES))


def name_of(labels: dict[str, str]) -> str:
    """A configuration's name for people: "rnn · dot · global · copy · model.width 64"."""
    return " · ".join([labels[name] for name in KINDS if labels[name] != NO_VALUE] + [
        f"{name} {value}" for name, value in labels.items() if name not in KINDS and value != NO_VALUE
    ])  # fmt: skip


def same_labels(first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether they agree in every column that both have: a grid may have won or lost an axis."""
    return all(second[column] == value for column, value in first.items() if column in second)


def update(old: Sequence[BaselineRow], new: Sequence[BaselineRow]) -> list[BaselineRow]:
    """The old rows with the new ones in their place.

    A row of the same values stays as it is, versions and all. Rows of a configuration that the run has not are kept,
    for a run may be a part of the grid; but one whose labels the run has with other settings has been replaced.
    """
    before = {(row.configuration, row.metric): row for row in old}
    run = {row.configuration for row in new}
    changed = [row for row in new if row.configuration not in {other.configuration for other in old}]
    kept = [
        row
        for row in old
        if row.configuration not in run and not any(same_labels(row.labels, other.labels) for other in changed)
    ]
    result = {(row.configuration, row.metric): row for row in kept}
    for row in new:
        same = before.get((row.configuration, row.metric))
        result[row.configuration, row.metric] = (
            replace(row, versions=same.versions) if same and same.values == row.values else row
        )
    metrics = {row.metric for row in new}
    others = [row for row in old if row.configuration in run and row.metric not in metrics]
    return [*result.values(), *others]


def join(seeds: Iterable[int]) -> str:
    return " ".join(map(str, seeds))
