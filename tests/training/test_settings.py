"""What each setting of `train` changes, seen at the batches, the gradients and the weights."""

import pytest
import torch
from small_packs import DATA, pack, stack, validations

from attnbench.training.train import train


def updates(watched, this) -> torch.Tensor:
    """How each weight moved, (steps − 1, K, N)."""
    watched.clear()
    train(this)
    return torch.stack(watched.weights).diff(dim=0)


@pytest.mark.parametrize("rate", [0.001, 0.02])
@pytest.mark.usefixtures("in_float64")
def test_learning_rate_is_adams(watched, rate):
    """Adam's first step is the rate itself, against the gradient's sign."""
    (moved,) = updates(watched, pack((0, 1), learning_rate=rate, steps=2, clip=1e6))
    gradient = watched.gradients[0]
    plain = gradient.abs() > 1e-4  # far above Adam's ε
    torch.testing.assert_close(moved[plain], -rate * gradient[plain].sign(), rtol=1e-3, atol=0)


@pytest.mark.usefixtures("in_float64")
def test_decay_lets_the_rate_fall_to_0_at_the_end(watched):
    """With decay .5 of 8 steps: the full rate in steps 1 to 5, three quarters of it in step 6."""
    constant = updates(watched, pack(steps=8))
    falling = updates(watched, pack(steps=8, decay=0.5))
    torch.testing.assert_close(falling[:5], constant[:5])
    torch.testing.assert_close(falling[5], constant[5] * 3 / 4)


def test_decay_of_the_whole_training_ends_near_0(watched):
    """The 39th of 40 steps has a twentieth of the rate."""
    steady, falling = (
        updates(watched, pack(steps=40, valid_every=40, learning_rate=0.01, decay=decay)).abs().amax((1, 2))
        for decay in (0.0, 1.0)
    )
    assert falling[0] == steady[0]
    assert steady[-1] > 0.005
    assert falling[-1] < 0.0015


@pytest.mark.usefixtures("in_float64")
def test_clip_bounds_the_norm_of_each_replica_by_itself(watched):
    """A replica below the bound keeps its gradient, one above is scaled to the bound and not turned."""
    seeds = (0, 1, 5)
    train(pack(seeds, clip=1e6, steps=1))
    free = watched.gradients[0]
    norms = free.norm(dim=1)
    low, middle, high = norms.sort().values.tolist()
    assert low < middle < high
    bound = (low + middle) / 2
    watched.clear()
    train(pack(seeds, clip=bound, steps=1))
    clipped = watched.gradients[0]
    torch.testing.assert_close(clipped, free * (bound / norms).clamp(max=1)[:, None], rtol=1e-4, atol=0)
    assert torch.equal(clipped[norms.argmin()], free[norms.argmin()])


@pytest.mark.parametrize("size", [1, 3, 40])
def test_batch_size_is_the_sentences_per_replica_and_step(watched, size):
    train(pack((0, 1), batch_size=size, steps=3))
    assert [batch.source.shape[:2] for batch in watched.batches] == [(2, size)] * 3


def test_every_trained_length_is_shown_and_no_other(watched):
    train(pack(steps=60, batch_size=1, valid_every=60))
    assert {batch.source.shape[2] - 1 for batch in watched.batches} == {3, 4, 5}
    assert all(batch.source[0, :, -1].tolist() == [2] for batch in watched.batches)


def test_steps_is_how_many_batches_are_trained_on(watched):
    train(pack(steps=7, valid_every=100))
    assert len(watched.batches) == 7


@pytest.mark.usefixtures("in_float64")
def test_gradients_do_not_pile_up_from_step_to_step(watched):
    """Before every step the gradient is that of this step's loss alone."""
    this = pack((0, 1), steps=3, clip=1e6)
    train(this)
    gradients, weights, batches = (list(seen) for seen in (watched.gradients, watched.weights, watched.batches))
    again = stack(this)
    for gradient, before, batch in zip(gradients, weights, batches, strict=True):
        start = 0
        for parameter in again.parameters.values():
            size = parameter[0].numel()
            parameter.data.copy_(before[:, start : start + size].reshape(parameter.shape))
            parameter.grad = None
            start += size
        again.loss(batch)[0].sum().backward()
        own = torch.cat([p.grad.reshape(2, -1) for p in again.parameters.values()], dim=1)
        torch.testing.assert_close(own, gradient)


def test_stop_at_ends_each_replica_by_itself(accuracies):
    """Replica 0 arrives at the second validation, replica 2 at the third; replica 1 never does."""
    accuracies([(0.4, 0.1, 0.2), (0.6, 0.4, 0.3), (0.45, 0.7), (0.2,), (0.3,)])
    found = train(pack((0, 1, 2), steps=25, valid_every=5, stop_at={"exact_match": 0.5}))
    assert [[row["step"] for row in validations(outcome)] for outcome in found] == [
        [5, 10],
        [5, 10, 15, 20, 25],
        [5, 10, 15],
    ]
    assert [[row["valid/exact_match"] for row in validations(outcome)][-1] for outcome in found] == [0.6, 0.3, 0.7]
    assert [outcome.status for outcome in found] == ["done"] * 3


def test_without_stop_at_all_steps_are_taken(accuracies):
    accuracies([(1.0, 1.0)] * 5)
    found = train(pack((0, 1), steps=25, valid_every=5))
    assert [row["step"] for row in validations(found[0])] == [5, 10, 15, 20, 25]


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("scope", ["global", "hard"])
def test_a_replica_that_goes_on_alone_has_the_numbers_that_it_has_alone(accuracies, scope):
    """Replica 0 leaves at the first validation; the others keep their weights, moments of Adam, and data."""
    described = {"score": "additive", "scope": scope, "steps": 20, "valid_every": 5}
    accuracies([(0.9, 0.1, 0.1)] + [(0.1, 0.1)] * 3)
    together = train(pack((3, 4, 7), **described, stop_at={"exact_match": 0.5}))
    for outcome in together[1:]:
        accuracies([(0.1,)] * 4)
        (alone,) = train(pack((outcome.seed,), **described))
        losses, expected = ([row["train/loss"] for row in one.history] for one in (outcome, alone))
        assert losses == pytest.approx(expected, rel=1e-9)
        assert outcome.metrics["loss"] == pytest.approx(alone.metrics["loss"], rel=1e-9)


def test_the_longest_source_of_training_sizes_location():
    """One row per position, EOS included; a longer test source is no error."""
    data = DATA.model_copy(update={"test_lengths": (9,)})
    (found,) = train(pack(score="location", data=data, steps=1))
    (plain,) = train(pack(score="dot", data=data, steps=1))
    assert found.metrics["parameters"] - plain.metrics["parameters"] == (DATA.max_length + 1) * 8
    assert found.metrics["loss@9"] is not None
