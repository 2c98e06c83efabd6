"""Training and evaluation of a pack."""

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from attnbench.cell import Pack
from attnbench.outcome import Outcome, Progress
from attnbench.tasks.base import PAD, source_positions
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import validation_set
from attnbench.tasks.streams import training_stream
from attnbench.training.adam import Adam
from attnbench.training.alignments import Formation, Sentences, read
from attnbench.training.batches import Batch, to_batch
from attnbench.training.build import build_model
from attnbench.training.checkpoint import INVALID, Checkpoints, Unusable
from attnbench.training.metrics import evaluate
from attnbench.training.selection import Selection
from attnbench.training.stack import Stack
from attnbench.training.state import record_bytes, restore, size_of, state_of, tensors_of
from attnbench.training.step import Steps
from attnbench.training.tested import tested
from attnbench.training.trial import try_model

REPORT_EVERY = 0.5  # minimum number of seconds between two progress reports
LOSS_POINTS = 50  # least number of training losses that are logged, if there are as many steps


def train(pack: Pack, device: str = "cpu", report: Callable[[Progress], None] = lambda _: None) -> list[Outcome]:
    """Trains the replicas of a pack as one stacked model and tests each with its best weights on validation.

    Args:
        pack: the cells, which differ in the seed only. Their plugins must have been loaded.
        device: "cpu" or "cuda".
        report: called with the progress, at most about every REPORT_EVERY seconds and after each validation.

    Returns:
        One outcome per seed, in the order of the seeds. A replica with a loss that is not finite has failed; the others
        are trained to the end. With `stop_at` each replica ends by itself. If the pack has a checkpoint, the training
        continues from it, with the same numbers as without the interruption.

    Raises:
        AttnbenchError: if the task has no data for the configured lengths, or a custom model or task has an error.
    """
    training = Training(pack, torch.device(device), report)
    try:
        training.resume()
    except Unusable as error:
        # From the start again: the state may have been restored in part.
        training = Training(pack, torch.device(device), report)
        training._report(note=f"{error}; it starts again")
    return training.run()


class Training:
    """The state of training one pack."""

    def __init__(self, pack: Pack, device: torch.device, report: Callable[[Progress], None]) -> None:
        self.pack, self.cell, self.device, self.report = pack, pack.cell, device, report
        self.started = time.perf_counter()
        self.settings = self.cell.train
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # its default is True; evaluation is in float32
        self.task = build_task(self.cell.task, self.cell.data)
        self.data = (self.task, self.cell.task, self.cell.data)
        self.validation = validation_set(*self.data)
        self.stream = training_stream(*self.data, pack.seeds, self.settings.batch_size)
        longest = source_positions(self.task, self.stream.longest)
        # Before anything is trained, so that an error in a custom model is reported at once.
        try_model(self.cell, self.task, longest)
        self.stack = Stack(lambda seed: build_model(self.cell, self.task, longest, seed), pack.seeds, device)
        self.adam = Adam(list(self.stack.parameters.values()))
        self.taking = Steps(self.stack, self.adam, self.settings.clip, device, lambda why: self._report(note=why))
        self.attends = self.cell.score is not None and self.stack.template.model.aligns
        self.selection = Selection(self.stack.state(), len(pack.seeds))
        self.formations = [Formation() for _ in pack.seeds]
        self.history: list[list[dict[str, float]]] = [[] for _ in pack.seeds]
        self.errors: list[str | None] = [None] * len(pack.seeds)
        self.active = list(range(len(pack.seeds)))  # the replicas that are still trained
        self.seconds = np.zeros(len(pack.seeds))  # each replica's share of the time
        self.counted_until = self.started
        self.words = 0
        self.training_seconds = 0.0
        self.steps = 0  # taken so far
        self.ended = False  # whether the last one has been taken
        self.resumed = 0  # the step of the checkpoint that the training continued from
        self.checkpoints = Checkpoints(pack.checkpoint, device, size_of(tensors_of(self)))

    def run(self) -> list[Outcome]:
        """Trains with regular validation, then tests, and returns the outcomes."""
        losses: list[torch.Tensor] = []
        reported = 0.0
        if not self.steps:
            self._note_alignment()
        begun = time.perf_counter()
        while not self.ended:
            # The losses stay tensors until the next validation: reading one would wait for the GPU at every step.
            losses.append(self._step())
            if self.steps % self.settings.valid_every == 0 or self.steps == self.settings.steps:
                self._report(losses[-1], evaluating=True)  # waits for the steps on a GPU
                self.training_seconds += time.perf_counter() - begun
                self._note_divergence(losses)
                self._validate(self._note_losses(losses))
                losses = []
                self.ended = not self._retire() or self.steps == self.settings.steps
                if remark := self.checkpoints.write(lambda: state_of(self, time.perf_counter() - self.started)):
                    self._report(note=remark)
                begun = time.perf_counter()
            if time.perf_counter() - reported > REPORT_EVERY and losses:
                reported = time.perf_counter()
                self._report(losses[-1])
        self._report(evaluating=True)
        self.taking.forget()
        return tested(self)

    def resume(self) -> None:
        """Continues from the pack's checkpoint, if it has one.

        Raises:
            Unusable: if the checkpoint cannot be used. The state is then undefined.
        """
        saved = self.checkpoints.read(lambda: record_bytes(self))
        if saved is None:
            return
        try:
            restore(self, saved)
        except INVALID as error:
            raise self.checkpoints.unusable(error) from error
        self.resumed = self.steps
        # As if the time between the checkpoint and now had not passed.
        self.counted_until = time.perf_counter()
        self.started = self.counted_until - saved.facts.elapsed
        self._report()

    def _step(self) -> torch.Tensor:
        """Takes the next step with all replicas; returns the loss (K,) in nats per target word."""
        self.steps += 1
        return self.taking.take(self.next_batch(), self._rate(self.steps))

    def next_batch(self) -> Batch:
        """Returns the next training batch, and counts its words."""
        examples = self.stream.batch()
        # Counted on the NumPy arrays, because counting on the GPU would wait for it. EOS is not in the examples yet.
        self.words += int((examples.target != PAD).sum()) + examples.target[..., 0].size
        return to_batch(examples, self.device)

    def _rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 1.

        It is constant and then falls linearly towards 0 over the last share `decay` of the steps.
        """
        left = self.settings.steps - (step - 1)
        falling = self.settings.decay * self.settings.steps
        return self.settings.learning_rate * (min(1.0, left / falling) if falling else 1.0)

    def _note_divergence(self, losses: list[torch.Tensor]) -> None:
        """Records an error for each replica with a loss that is not finite, among the losses of the last steps."""
        finite = torch.stack(losses).isfinite()  # (steps, K)
        for row, k in enumerate(self.active):
            if self.errors[k] is None and not finite[:, row].all():
                index = int((~finite[:, row]).nonzero()[0])
                value, first = float(losses[index][row]), self.steps - len(losses) + index + 1
                self.errors[k] = f"diverged: the training loss was {value} at step {first}"

    def _note_losses(self, losses: list[torch.Tensor]) -> torch.Tensor:
        """Logs the training losses of the last steps, except the last mean, which it returns as (K,).

        Each is a mean over at most a LOSS_POINTS-th of the steps so far: wherever training ends, there are LOSS_POINTS
        points if there were as many steps, and a long training does not have many more.
        """
        size = max(1, self.steps // LOSS_POINTS)
        first = self.steps - len(losses)
        parts = torch.stack(losses).split(size)
        means = torch.stack([part.mean(0) for part in parts])  # (parts, K)
        for number, row in enumerate(means[:-1].tolist(), 1):
            for k, loss in zip(self.active, row, strict=True):
                if math.isfinite(loss):
                    self.history[k].append({"step": first + number * size, "train/loss": loss})
        return means[-1]

    def _validate(self, loss: torch.Tensor) -> None:
        """Evaluates on the validation set; `loss` (K,) is the mean training loss of the last steps."""
        metrics = evaluate(self.stack, self.validation, self.task, self.attends, self.device)
        self._note_alignment()
        self.selection.offer(self.stack.state(), metrics, self.active)
        self._share_time()
        seconds = time.perf_counter() - self.started
        for k, row, mean in zip(self.active, metrics, loss.tolist(), strict=True):
            # The last step may have spoilt the weights although its own loss was finite.
            if self.errors[k] is None and not math.isfinite(row["loss"] or 0.0):
                self.errors[k] = f"diverged: the validation loss was {row['loss']} at step {self.steps}"
            shown = {
                f"valid/{n}": row[n]
                for n in ("loss", "exact_match", "token_accuracy", "aer", "bleu", "phoneme_error_rate")
            }
            series = {"train/loss": mean, **shown, "seconds": seconds}
            finite = {name: value for name, value in series.items() if value is not None and math.isfinite(value)}
            self.history[k].append({"step": self.steps, **finite})
        self._report(loss)

    def _note_alignment(self) -> None:
        """Records the alignment of a validation sentence, one of the longest trained length."""
        if self.attends:
            found = self.alignment()
            for row, k in enumerate(self.active):
                self.formations[k].note(self.steps, found, row)

    def alignment(self) -> Sentences:
        """Returns the alignment of the sentence whose weights are recorded."""
        return read(self.stack, self.validation[-1][:1], self.task, self.device)

    def _share_time(self) -> None:
        """Adds the time since the last call to the replicas in training, in equal shares."""
        now = time.perf_counter()
        self.seconds[self.active] += (now - self.counted_until) / len(self.active)
        self.counted_until = now

    def seconds_since_shared(self) -> float:
        """Returns the time that has not been added to any replica yet."""
        return time.perf_counter() - self.counted_until

    def _retire(self) -> bool:
        """Ends the training of the replicas that have reached the exact match of `stop_at`.

        Each stops by itself: if it waited for the others, its numbers would depend on which seeds are in its pack.

        Returns:
            Whether any replica is left to train.
        """
        stop = self.settings.stop_at
        arrived = {
            k for k in self.active if stop is not None and self.history[k][-1]["valid/exact_match"] >= stop.exact_match
        }
        rows = [row for row, k in enumerate(self.active) if self.errors[k] is None and k not in arrived]
        # A replica that has diverged stays where it is, so that the others go on bit for bit as they would without it.
        if rows and arrived:
            self.keep(rows)
        return bool(rows)

    def keep(self, rows: list[int]) -> None:
        """Continues with these of the active replicas alone."""
        self.stack.keep(rows)
        self.adam.keep(list(self.stack.parameters.values()), rows)
        self.taking.forget()
        self.stream.keep(rows)
        self.active = [self.active[row] for row in rows]

    def _report(self, loss: torch.Tensor | None = None, evaluating: bool = False, note: str | None = None) -> None:
        """Reports the step, the mean over the replicas of `loss` (default: the last logged) and of the exact match."""
        last = [rows[-1] for rows in self.history if rows]
        if loss is None:
            loss = torch.tensor([row.get("train/loss", math.nan) for row in last])
        mean = float(loss.nanmean())
        exact = float(np.mean([row["valid/exact_match"] for row in last])) if last else None
        place = (self.pack.ids[0], self.steps, self.settings.steps)
        shown = mean if math.isfinite(mean) else None
        self.report(Progress(*place, shown, exact, evaluating, self.resumed, note))
