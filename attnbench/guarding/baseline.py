"""The trained part's numbers as a baseline, compared by the rule of `attnbench check`."""

import os
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


def read(file: Path, update: bool) -> list[BaselineRow]:
    """The rows of a baseline; before training, so that a file that cannot be used is reported at once.

    Args:
        file: the baseline.
        update: whether it will be written; then it need not exist.

    Raises:
        AttnbenchError: if it cannot be read, or cannot be written although it will be.
    """
    if not file.exists() and not update:
        raise fail("there is no such baseline", str(file), "add --update to write it")
    rows = baseline_file.read(file) if file.exists() else []
    if update and not file.parent.is_dir():
        raise fail("cannot be written: there is no such folder", str(file.parent), "create it first")
    if update and not os.access(file if file.exists() else file.parent, os.W_OK):
        raise fail("cannot be written: it is read-only", str(file), "give another name, or allow it: chmod u+w")
    return rows


def write(file: Path, before: list[BaselineRow], report: Report, trainings: Mapping[str, Training]) -> str:
    """Writes the numbers of the trained part; rows of other attentions in the file stay. Returns a message.

    An attention that fails is not written, and the message says so.

    Raises:
        AttnbenchError: if nothing was trained to its end, or the file cannot be written.
    """
    if report.failed:
        names = ", ".join(result.name for result in report.failed)
        return f"{file} was not written: a baseline needs an attention that passes; failed: {names}"
    rows = [
        BaselineRow(one.labels, one.key, metric, one.values(metric), one.settings, one.versions)
        for one in configurations(report, trainings)
        for metric in METRICS
    ]
    if not rows:
        raise fail("nothing was trained to its end, so there is nothing to keep", str(file))
    baseline_file.write(update(before, rows), file)
    return f"wrote {len(rows)} rows to {file}"


def compare(file: Path, rows: list[BaselineRow], report: Report, trainings: Mapping[str, Training]) -> Report:
    """The report with the comparison of its trained part with the rows of its attention."""
    run = configurations(report, trainings)
    cut = [task for task, training in trainings.items() if training.cut]
    own = [row for row in rows if row.labels["score"] == label_of(report) and row.labels["task"] not in cut]
    command = f"attnbench guard {shlex.quote(report.name)} --baseline {shlex.quote(str(file))} --update"
    return replace(report, comparison=check(report.name, str(file), own, run, update=command))


def label_of(report: Report) -> str:
    """What stands for the attention in the column score of a baseline."""
    return _without_spaces(report.name)


def _without_spaces(text: str) -> str:
    """The text as a value of a setting, which ends at a space or at the end of the line."""
    return "".join(text.split())


def configurations(report: Report, trainings: Mapping[str, Training]) -> list[Configuration]:
    """A configuration per task; without those that the time limit ended, whose numbers depend on the machine."""
    return [_configuration(report, task, training) for task, training in trainings.items() if not training.cut]


def _configuration(report: Report, task: str, training: Training) -> Configuration:
    name = label_of(report)
    settings = {
        "model": "rnn",
        "score": name,
        "scope": "null",
        "task": task,
        "build": _without_spaces(report.built) or "null",
        "causal": str(report.causal).lower(),
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
