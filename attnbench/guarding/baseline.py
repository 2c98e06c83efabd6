"""The trained part's numbers as a baseline, compared by the rule of `attnbench check`."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from attnbench import __version__
from attnbench.analysis.gate import baseline_file
from attnbench.analysis.gate.baseline import BaselineRow, Configuration, update
from attnbench.analysis.gate.check import check
from attnbench.analysis.settings import key_of
from attnbench.errors import fail
from attnbench.guarding import trained
from attnbench.guarding.report import Report
from attnbench.guarding.trained import Training
from attnbench.messages import NO_VALUE

METRICS = ("exact_match", "steps_to_95")


def read(file: Path) -> list[BaselineRow]:
    """The rows of a baseline.

    Raises:
        AttnbenchError: if it cannot be read.
    """
    if not file.exists():
        raise fail("there is no such baseline", str(file), "add --update to write it")
    return baseline_file.read(file)


def write(file: Path, report: Report, trainings: Mapping[str, Training]) -> str:
    """Writes the numbers of the trained part; rows of other attentions in the file stay. Returns a message.

    Raises:
        AttnbenchError: if nothing was trained, training was cut short, a check failed, or the file cannot be written.
    """
    if report.failed:
        names = ", ".join(result.name for result in report.failed)
        raise fail(
            f"a baseline needs an attention that passes; failed: {names}", str(file), "leave --update out to see why"
        )
    rows = [
        BaselineRow(one.labels, one.key, metric, one.values(metric), one.settings, one.versions)
        for one in configurations(report, trainings)
        for metric in METRICS
    ]
    if not rows:
        raise fail("nothing was trained, so there is nothing to keep", str(file))
    for task, training in trainings.items():
        if training.cut:
            what = f"the time limit ended the training on {task} after {training.steps} of {trained.STEPS} steps"
            raise fail(f"{what}: such numbers are no baseline", str(file), "write it on a faster or idle machine")
    before = baseline_file.read(file) if file.exists() else []
    baseline_file.write(update(before, rows), file)
    return f"wrote {len(rows)} rows to {file}"


def compare(file: Path, rows: list[BaselineRow], report: Report, trainings: Mapping[str, Training]) -> Report:
    """The report with the comparison of its trained part with the rows of its attention."""
    run = configurations(report, trainings)
    own = [row for row in rows if row.labels.get("score") == label_of(report)]
    command = f"attnbench guard {shlex.quote(report.name)} --baseline {shlex.quote(str(file))} --update"
    return replace(report, comparison=check(report.name, str(file), own, run, update=command))


def label_of(report: Report) -> str:
    """What stands for the attention in the column score of a baseline."""
    return report.name.replace(" ", "")


def configurations(report: Report, trainings: Mapping[str, Training]) -> list[Configuration]:
    """A configuration per task."""
    return [_configuration(report, task, training) for task, training in trainings.items()]


def _configuration(report: Report, task: str, training: Training) -> Configuration:
    name = label_of(report)
    settings = {
        "model": "rnn",
        "score": name,
        "scope": "null",
        "task": task,
        "train.steps": str(trained.STEPS),
        "train.valid_every": str(trained.VALID_EVERY),
        "train.learning_rate": str(trained.RATE),
        "train.batch_size": str(trained.BATCH),
        "data.vocabulary": str(trained.DATA.vocabulary),
        "data.max_length": str(trained.DATA.max_length),
    }
    labels = {"model": "rnn", "score": name, "scope": NO_VALUE, "task": task}
    metrics: dict[int, dict[str, float | None]] = {
        seed: {"exact_match": exact, "steps_to_95": steps}
        for seed, exact, steps in zip(trained.SEEDS, training.exact_match, training.steps_to_95, strict=True)
    }
    versions = f"attnbench {__version__} torch {torch.__version__}"
    return Configuration(key_of(settings), labels, settings, metrics, {}, (), versions)
