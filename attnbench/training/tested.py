"""The outcomes of a trained pack: each replica with the weights that were best on validation, on the test sets.

A pack of tuning is measured on the validation set instead. No test set is made for it.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from attnbench.outcome import Outcome
from attnbench.tasks.base import Examples
from attnbench.tasks.fixed_sets import test_set, test_set_at, test_set_unseen
from attnbench.tasks.listed import Listed
from attnbench.training.alignments import Sentences, test_alignments
from attnbench.training.batches import to_batch
from attnbench.training.metrics import Metrics, evaluate

if TYPE_CHECKING:
    from attnbench.training.train import Training


def tested(training: "Training") -> list[Outcome]:
    """Evaluates the selected weights; returns one outcome per seed, in the order of the seeds."""
    training.stack.load(training.selection.best)
    if training.cell.tuning:
        return [_outcome(training, k, row, None) for k, row in enumerate(_evaluate(training, training.validation))]
    tests = test_set(*training.data)
    metrics = _evaluate(training, tests)
    for length in training.cell.data.test_lengths:
        at_length = _evaluate(training, test_set_at(*training.data, length))
        for row, more in zip(metrics, at_length, strict=True):
            row |= {f"{name}@{length}": value for name, value in more.items()}
    aligned = test_alignments(training.stack, tests, training.task, training.device) if training.attends else None
    unseen = _test_unseen(training)
    flops = _flops(training)
    for row, exact_match in zip(metrics, unseen, strict=True):
        row |= {"exact_match_unseen": exact_match, "flops": flops}
    return [_outcome(training, k, row, aligned) for k, row in enumerate(metrics)]


def _evaluate(training: "Training", groups: list[Examples]) -> list[Metrics]:
    return evaluate(training.stack, groups, training.task, training.attends, training.device)


def _test_unseen(training: "Training") -> list[float | None]:
    """Returns the exact match of each replica on unseen symbols; None if the task has none."""
    groups = test_set_unseen(*training.data)
    if not groups:
        return [None] * len(training.pack.seeds)
    return [row["exact_match"] for row in _evaluate(training, groups)]


def _flops(training: "Training") -> int:
    """Returns the floating-point operations of a training step of one replica on the longest training sources."""
    longest = training.validation[-1]
    rows = np.resize(np.arange(len(longest)), training.settings.batch_size)
    return training.stack.flops(to_batch(longest[rows], training.device))


def _outcome(training: "Training", k: int, row: Metrics, aligned: Sentences | None) -> Outcome:
    """Returns the outcome of replica k.

    Args:
        training: of the pack, which has ended.
        k: index of the replica.
        row: its metrics.
        aligned: the alignments of all replicas; None if the model has none.
    """
    history, failed = training.history[k], training.errors[k] is not None
    steps_to_95 = next((r["step"] for r in history if r.get("valid/exact_match", 0) >= 0.95), None)
    # Replicas that are trained or tested together are assigned equal shares of the time.
    shared = training.seconds_since_shared() / len(training.pack.seeds)
    row |= {
        "steps_to_95": steps_to_95,
        "parameters": training.stack.size(),
        "seconds": float(training.seconds[k]) + shared,
        "tokens_per_second": training.words / training.training_seconds,
    }
    return Outcome(
        cell=training.pack.ids[k],
        status="failed" if failed else "done",
        seed=training.pack.seeds[k],
        metrics={} if failed else row,
        history=history,
        error=training.errors[k],
        alignments=None if failed or aligned is None else training.formations[k].join(aligned, k),
        versions={"torch": torch.__version__},
        facts=training.task.facts() if isinstance(training.task, Listed) else {},
    )
