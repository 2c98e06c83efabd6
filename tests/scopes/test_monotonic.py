"""The scope monotonic: the expected alignment, the scan that it is the expectation of, and what follows from both."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from carried_forms import expected_stops, sigmoid
from scipy import stats
from systems import Silence

import attnbench
from attnbench.scopes.monotonic import Monotonic, arriving


def weigh(logits, lengths=None, training=True, noise=False, offset=-1.0):
    """The weights of given logits (B,T,S): with keys that are the unit matrix, the dot product is the query itself."""
    attend = attnbench.Attention("dot", "monotonic", width=logits.shape[-1]).to(logits.dtype).train(training)
    attend.scope.offset.data.fill_(offset)
    if not noise:
        attend.scope.noise = Silence()
    keys = torch.eye(logits.shape[-1], dtype=logits.dtype).expand(len(logits), -1, -1)
    return attend(logits, keys, keys, lengths).weights


def draw(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_offset_is_the_only_parameter_and_starts_at_minus_one():
    attend = attnbench.Attention("dot", "monotonic", width=4)
    assert {name: p.item() for name, p in attend.named_parameters()} == {"scope.offset": -1.0}
    assert attend.normaliser is None
    with pytest.raises(attnbench.AttnbenchError, match="uses no normaliser"):
        attnbench.Attention("dot", "monotonic", "sparsemax", width=4)


@pytest.mark.parametrize("offset", [-1.0, 0.5])
def test_expected_alignment_is_the_formula(offset):
    logits, lengths = draw(3, 6, 7), [7, 4, 1]
    found = weigh(logits, torch.tensor(lengths), offset=offset).detach()
    for b, length in enumerate(lengths):
        row = np.eye(7)[0]
        for t in range(6):
            p = [sigmoid(e + offset) if i < length else 0.0 for i, e in enumerate(logits[b, t].tolist())]
            row = expected_stops(p, row)
            np.testing.assert_allclose(found[b, t], row, rtol=0, atol=1e-12)


def test_expected_alignment_is_the_average_of_sampled_scans():
    """100,000 scans: each goes on from its last position and stops at a position with probability p."""
    count, size, steps = 100_000, 6, 4
    random = np.random.default_rng(0)
    logits = draw(1, steps, size, scale=1.0)
    p = torch.sigmoid(logits[0] - 1).numpy()
    where = np.zeros(count, dtype=int)  # `size` for a scan that has passed the end
    positions = np.arange(size)
    rows = []
    for t in range(steps):
        stops = (random.random((count, size)) < p[t]) & (positions >= where[:, None])
        where = np.where(stops.any(1), stops.argmax(1), size)
        rows.append(np.bincount(where, minlength=size + 1)[:size] / count)
    expected = weigh(logits)[0].detach().numpy()
    error = np.sqrt(expected * (1 - expected) / count)
    assert error.max() < 0.002  # else anything would agree
    assert (np.abs(np.stack(rows) - expected) < 4.5 * error + 1e-12).all()
    assert expected[-1].sum() < 0.9  # some scans have ended


def test_evaluation_is_the_scan_itself():
    """On from the last position, which may be taken again; a scan that passes the end never comes back."""
    logits, lengths = draw(40, 6, 7, scale=3.0), torch.arange(40) % 7 + 1
    found = weigh(logits, lengths, training=False)
    ended = moved = stayed = 0
    for b, length in enumerate(lengths.tolist()):
        place = 0
        for t in range(6):
            scan = [i for i in range(place, length) if logits[b, t, i] - 1 > 0]
            expected = [float(bool(scan) and i == scan[0]) for i in range(7)]
            assert found[b, t].tolist() == expected
            ended, moved = ended + (not scan), moved + bool(scan and scan[0] > place)
            stayed += bool(t and scan and scan[0] == place)
            place = scan[0] if scan else length
    assert min(ended, moved, stayed) > 10


def test_the_scan_is_the_expectation_of_certain_probabilities():
    """With logits of ±1000, p is 0 or 1 in training as well."""
    logits = 1000 * draw(5, 4, 7).sign()
    lengths = torch.tensor([7, 5, 4, 2, 1])
    assert torch.equal(weigh(logits, lengths), weigh(logits, lengths, training=False))


def test_a_logit_that_is_just_enough_is_none():
    """p = ½ exactly is no stop: p > ½ is, as the paper has it."""
    logits = torch.tensor([[[1.0, 1.5, 0.0]]]).double()
    assert weigh(logits, training=False).tolist() == [[[0, 1, 0]]]


@pytest.mark.parametrize("training", [False, True])
def test_rows_sum_to_at_most_one_and_never_to_more_than_the_row_before(training):
    """What has passed the end is lost; and the expected position moves forward: fewer and fewer are before i."""
    weights = weigh(draw(20, 9, 7), training=training).detach()
    sums = weights.sum(-1)
    assert (sums <= 1 + 1e-12).all()
    assert (sums[:, 1:] <= sums[:, :-1] + 1e-12).all()
    assert (sums[:, -1] < 0.99).any()
    until = weights.cumsum(-1)  # that the position is at i or before
    assert (until[:, 1:] <= until[:, :-1] + 1e-12).all()


def test_training_adds_standard_normal_noise_and_evaluation_none():
    """Recovered from the first step of a source of one position: α = σ(e + r + noise)."""
    torch.manual_seed(0)
    found = weigh(torch.full((5000, 1, 1), 0.3).double(), noise=True)[:, 0, 0].detach()
    noise = torch.logit(found) - 0.3 + 1
    assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-3
    # Of later steps α_t = p_t α_{t−1}: every step has noise of its own.
    steps = weigh(torch.full((2000, 2, 1), 0.3).double(), noise=True)[..., 0].detach()
    first, second = (torch.logit(p) + 0.7 for p in (steps[:, 0], steps[:, 1] / steps[:, 0]))
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.1
    logits = draw(2, 5, 7)
    assert torch.equal(weigh(logits, noise=True, training=False), weigh(logits, training=False))
    # Other numbers at every step, position and pass.
    attend = attnbench.Attention("dot", "monotonic", width=3).double()
    keys = torch.eye(3).double().expand(2, -1, -1)
    passes = [attend(torch.zeros(2, 4, 3).double(), keys, keys).weights for _ in range(2)]
    assert not torch.isclose(passes[0], passes[1]).any()
    assert passes[0][:, 0, 0].unique().numel() == 2


def exact(logits: list[list[float]]) -> list[Fraction]:
    """α after all steps, without rounding, from the recurrence q_i = (1 − p_{i−1}) q_{i−1} + α_{t−1,i}."""
    row = [Fraction(int(i == 0)) for i in range(len(logits[0]))]
    for step in logits:
        stop, passing = ([Fraction(sigmoid(sign * x)) for x in step] for sign in (1, -1))
        q, new = Fraction(0), []
        for i in range(len(step)):
            q = row[i] + (passing[i - 1] * q if i else 0)
            new.append(stop[i] * q)
        row = new
    return row


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("pattern", ["likely", "certain", "unlikely"])
def test_long_sources_do_not_underflow(pattern, dtype, bound):
    """S = 400: products of (1 − p) are far below the smallest number, and a division by them would be 0/0 or ∞."""
    size, steps = 400, 2
    logits = {
        "likely": torch.full((1, steps, size), 3.0),  # (1 − σ(3))^400 is 10^−527
        "certain": torch.full((1, steps, size), 60.0),  # 1 − p is 0 in float64
        "unlikely": torch.full((1, steps, size), -6.0),
    }[pattern].to(dtype)
    if pattern == "likely":
        logits[:, 1, :390] = -1000  # the second step passes over 390 positions, and has a weight at the last ones
    leaf = logits.clone().requires_grad_()
    weights = weigh(leaf, offset=0.0)
    for t in range(steps):
        expected = [float(each) for each in exact(logits[0, : t + 1].tolist())]
        np.testing.assert_allclose(weights[0, t].detach().double(), expected, rtol=bound, atol=1e-35)
    assert weights[0, 1 if pattern == "likely" else 0].sum() > 0.3
    weights[0, -1].square().sum().backward()
    assert leaf.grad.isfinite().all()
    if pattern == "likely":
        assert (leaf.grad[0, :, 390:] != 0).any()


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_arriving_is_the_sum_of_products(size):
    random = torch.Generator().manual_seed(0)
    last, passing = (torch.rand(2, size, generator=random).double().requires_grad_() for _ in range(2))
    found = arriving(last, passing)
    for b in range(2):
        for i in range(size):
            a, c = last[b].tolist(), passing[b].tolist()
            assert found[b, i].item() == pytest.approx(sum(a[k] * math.prod(c[k:i]) for k in range(i + 1)), abs=1e-13)
    assert torch.autograd.gradcheck(arriving, [last, passing])
    assert torch.autograd.gradgradcheck(arriving, [last, passing])
    both = torch.func.vmap(arriving)(torch.stack([last, last * 2]), torch.stack([passing, passing]))
    torch.testing.assert_close(both[1], 2 * found, rtol=0, atol=1e-13)


def test_gradcheck_through_several_steps():
    logits = draw(2, 4, 5, scale=1.0).requires_grad_()
    lengths = torch.tensor([5, 3])
    assert torch.autograd.gradcheck(lambda x: weigh(x, lengths), [logits])


@pytest.mark.parametrize("training", [False, True])
def test_positions_that_location_does_not_know_are_passed(training):
    """Their logit is −∞, which is a probability of 0, with finite gradients."""
    attend = attnbench.Attention("location", "monotonic", width=4, max_source_length=3).double().train(training)
    query, keys = draw(2, 6, 4).requires_grad_(), draw(2, 5, 4, seed=1)
    found = attend(query, keys, keys)
    assert found.logits[..., 3:].isneginf().all()
    assert found.weights.isfinite().all()
    assert (found.weights[..., 3:] == 0).all()
    if training:
        assert (found.weights[..., :3] > 0).all()
        found.context.square().sum().backward()
        assert all(leaf.grad.isfinite().all() for leaf in (query, *attend.parameters()))


def test_alignments_of_a_scan_that_goes_back_cannot_be_had():
    """What `reverse` asks for: from the last position to the first. What `copy` asks for can be had exactly."""
    size = 5
    forward = torch.full((1, size, size), -1000.0).double()
    forward[0].fill_diagonal_(1000.0)
    for training in (False, True):
        assert torch.equal(weigh(forward, training=training)[0], torch.eye(size).double())
        backward = weigh(forward.flip(1), training=training)[0]
        assert backward[0].tolist() == [0, 0, 0, 0, 1]
        assert (backward[1:] == 0).all()


def test_every_row_of_a_state_is_its_own():
    scope = Monotonic()
    first = scope.start(torch.zeros(2, 3, 4))
    assert first.tolist() == [[1, 0, 0], [1, 0, 0]]
