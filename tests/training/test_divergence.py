"""A replica that diverges is a failed outcome with its reason; and the weights best on validation are those tested."""

import math

import pytest
import torch
from small_packs import pack, validations
from test_train import same, without_times
from torch import nn

from attnbench import registry
from attnbench.training import train as train_module
from attnbench.training.adam import Adam
from attnbench.training.stack import Stack
from attnbench.training.train import train

SEEDS = (0, 1, 5)


@pytest.fixture
def before_step(monkeypatch):
    """`before_step(n, f)`: calls f(stack) before step n's loss, and from then on before every step's."""

    def install(number, change):
        plain, calls = Stack.loss, iter(range(1, 1_000_000))

        def loss(stack, batch):
            if next(calls) >= number:
                change(stack)
            return plain(stack, batch)

        monkeypatch.setattr(Stack, "loss", loss)

    return install


def poison(value):
    def change(stack):
        with torch.no_grad():
            for parameter in stack.parameters.values():
                parameter[1] = value

    return change


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 4, 8, 10])
def test_a_diverged_replica_fails_with_the_step_and_its_mates_do_not_notice(before_step, step, value):
    this = pack(SEEDS, "additive", valid_every=4)
    expected = train(this)
    before_step(step, poison(value))
    found = train(this)
    assert [outcome.status for outcome in found] == ["done", "failed", "done"]
    assert same([found[0], found[2]], [expected[0], expected[2]])
    failed = found[1]
    assert failed.error is not None
    assert "diverged" in failed.error
    assert "nan" in failed.error
    assert f"step {step}" in failed.error
    assert (failed.cell, failed.seed) == ("cell-1", 1)
    assert not failed.metrics or all(value is None for value in failed.metrics.values())
    assert all(math.isfinite(value) for row in failed.history for value in row.values())


def test_a_score_that_gives_nan_in_one_replica_fails_that_cell_alone(monkeypatch):
    health = iter([1.0, math.nan, 1.0])

    class Sick(nn.Module):
        """The dot product, times NaN in the second replica that is built."""

        def __init__(self) -> None:
            super().__init__()
            self.health = nn.Parameter(torch.tensor(next(health)))

        def forward(self, query, keys):
            return self.health * (query @ keys.mT)

    monkeypatch.setattr(registry.score, "_added", {})
    registry.score("sick")(Sick)
    monkeypatch.setattr(train_module, "try_model", lambda *_: None)  # which would build more of them
    found = train(pack(SEEDS, "sick"))
    assert [outcome.status for outcome in found] == ["done", "failed", "done"]
    assert found[1].error is not None
    assert "step 1" in found[1].error


def test_when_all_have_diverged_training_ends(before_step, monkeypatch):
    steps = []
    before_step(3, lambda stack: [p.data.fill_(math.nan) for p in stack.parameters.values()])
    plain = Stack.loss
    monkeypatch.setattr(Stack, "loss", lambda stack, batch: steps.append(1) or plain(stack, batch))
    found = train(pack((0, 1), steps=100, valid_every=5))
    assert [outcome.status for outcome in found] == ["failed", "failed"]
    assert len(steps) == 5


def test_a_diverged_replica_does_not_keep_its_mates_from_stopping(before_step, accuracies):
    before_step(2, poison(math.nan))
    accuracies([(0.4, 0.0), (0.6, 0.0), (0.9, 0.0)])
    found = train(pack((0, 1), steps=15, valid_every=5, stop_at={"exact_match": 0.5}))
    assert [row["step"] for row in validations(found[0])] == [5, 10]
    assert [outcome.status for outcome in found] == ["done", "failed"]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_that_leaves_no_finite_weights_is_a_divergence_too(steps):
    """After the last step no training loss is computed any more: the validation tells."""
    found = train(pack((0, 1), steps=steps, learning_rate=1e38, valid_every=steps))
    for outcome in found:
        assert all(math.isfinite(v) for v in outcome.metrics.values() if v is not None), without_times(outcome)
        assert outcome.status == "failed"
        assert outcome.error is not None
        assert "diverged" in outcome.error


def test_weights_lost_in_the_very_last_step_fail_that_replica_though_earlier_ones_were_good(monkeypatch):
    this = pack(SEEDS, "additive")
    expected = train(this)
    steps, step = iter(range(1, 100)), Adam.step

    def losing_the_last(self, *arguments) -> None:
        step(self, *arguments)
        if next(steps) == this.cell.train.steps:
            for parameter in self.parameters:
                parameter.data[1] = math.nan

    monkeypatch.setattr(Adam, "step", losing_the_last)
    found = train(this)
    assert [outcome.status for outcome in found] == ["done", "failed", "done"]
    assert same([found[0], found[2]], [expected[0], expected[2]])


def test_what_is_tested_are_the_weights_best_on_validation(before_step):
    """Training that is ruined after step 15 reports what a training of 15 steps does."""
    best = train(pack((0, 1), "additive", steps=15))

    def ruin(stack):
        with torch.no_grad():
            stack.parameters["model.readout.weight"].mul_(-50)

    before_step(16, ruin)
    found = train(pack((0, 1), "additive", steps=25))
    for ruined, good in zip(found, best, strict=True):
        assert ruined.history[:3] != ruined.history
        assert ruined.history[-1]["valid/loss"] > 2 * good.history[-1]["valid/loss"]
        for name, value in good.metrics.items():
            if name not in ("seconds", "tokens_per_second"):
                assert ruined.metrics[name] == value, name
        assert (ruined.alignments.weights == good.alignments.weights).all()


def test_each_replica_is_tested_with_its_own_best_weights(before_step):
    """Only replica 1 is ruined: replica 0 goes on and is tested as it stands at the end."""
    whole, short = (train(pack((0, 1), "additive", steps=steps)) for steps in (25, 15))

    def ruin(stack):
        with torch.no_grad():
            stack.parameters["model.readout.weight"][1] *= -50

    before_step(16, ruin)
    found = train(pack((0, 1), "additive", steps=25))
    assert found[0].metrics["loss"] == whole[0].metrics["loss"] != short[0].metrics["loss"]
    assert found[1].metrics["loss"] == short[1].metrics["loss"] != whole[1].metrics["loss"]
