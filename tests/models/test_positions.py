"""What the Transformer is told of positions: the papers' formulas one number at a time, and what follows of it."""

import itertools
import math

import numpy as np
import pytest
import torch
from transformer_equations import MAX_POSITIONS, POSITIONS, SCORES, WIDTH, batch, build, sinusoid, slope, turn

from attnbench.models.positions import distance_bias, rotate, sinusoids

VECTORS = torch.randn(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # (B,H,T,D)
LIKE = torch.zeros((), dtype=torch.float64)
EXACT = {"rtol": 0, "atol": 1e-12}
CLOSE = {"rtol": 0, "atol": 1e-10}  # after all layers


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_sinusoids_are_their_formula(width, start):
    expected = np.stack([sinusoid(start + t, width) for t in range(6)])
    np.testing.assert_allclose(sinusoids(start, 6, width, LIKE), expected, **EXACT)


def test_the_last_sinusoid_of_a_wide_vector_is_slow():
    """Wavelengths run from 2π to 10000·2π."""
    row = sinusoids(1, 1, 512, LIKE)[0]
    assert math.isclose(row[0], math.sin(1), abs_tol=1e-12)
    assert math.isclose(row[510], math.sin(10000 ** (-510 / 512)), abs_tol=1e-12)


@pytest.mark.parametrize("start", [0, 4])
def test_rotation_is_multiplication_of_complex_numbers(start):
    found = rotate(VECTORS, start)
    for b in range(2):
        for h in range(3):
            for t in range(5):
                expected = turn(VECTORS[b, h, t].numpy(), start + t)
                np.testing.assert_allclose(found[b, h, t], expected, **EXACT)


def test_the_dot_product_of_rotated_vectors_depends_on_their_distance_alone():
    query, key = VECTORS[0, 0, :2]

    def product(t, i):
        return (rotate(query[None], t) @ rotate(key[None], i).mT).item()

    for distance in (-7, -2, 0, 1, 5):
        found = [product(i + distance, i) for i in (7, 8, 20, 300)]
        np.testing.assert_allclose(found, found[0], rtol=0, atol=1e-11)
    at_distances = [product(t, 7) for t in range(15)]  # and it does depend on that
    assert min(abs(a - b) for n, a in enumerate(at_distances) for b in at_distances[:n]) > 1e-6
    assert math.isclose(product(9, 9), query @ key, abs_tol=1e-12)


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("heads", [1, 3, 4, 8])
def test_alibi_is_its_formula(heads, start):
    """−m_h·|t − i| with t from `start` on and i from 0 on."""
    found = distance_bias(heads, start, 3, 6, LIKE)
    assert found.shape == (heads, 3, 6)
    for h in range(heads):
        for t in range(3):
            for i in range(6):
                expected = -slope(h, heads) * abs(start + t - i)
                assert math.isclose(found[h, t, i], expected, abs_tol=1e-14)


def test_alibis_slopes_are_the_papers():
    """1/2, 1/4, …, 1/256 for 8 heads (Press et al. 2022, §3); farther is less, on both sides alike."""
    found = distance_bias(8, 0, 4, 4, LIKE)
    assert (-found[:, 1, 0]).tolist() == [1 / 2**n for n in range(1, 9)]
    assert torch.equal(found, found.mT)
    assert (found.diagonal(dim1=1, dim2=2) == 0).all()
    assert (found[:, 0].diff() < 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_positions_come_in_the_dtype_asked_for(dtype):
    like = torch.zeros((), dtype=dtype)
    assert sinusoids(0, 3, 4, like).dtype == dtype
    assert rotate(like.expand(3, 4), 0).dtype == dtype
    assert distance_bias(2, 0, 3, 3, like).dtype == dtype


ORDER = torch.tensor([4, 6, 0, 5, 2, 1, 3])


def orders():
    """Distinct words and EOS, the same in another order, and previous words."""
    source = torch.tensor([[3, 9, 4, 8, 5, 7, 2], [6, 3, 8, 9, 4, 5, 2]])
    return source, source[:, ORDER], batch()[2][:2]


@pytest.mark.parametrize("score", [score for score in SCORES if score != "location"])
def test_without_positions_a_source_and_its_permutation_are_equal(score):
    """The encoder's states and the cross-weights are permuted with the source, EOS too; the logits stay."""
    model = build(score, "none")
    source, permuted, previous = orders()
    for one, other in zip(model.encode(source, None)[0].sources, model.encode(permuted, None)[0].sources, strict=True):
        torch.testing.assert_close(other.keys, one.keys[:, :, ORDER], **CLOSE)
        torch.testing.assert_close(other.values, one.values[:, :, ORDER], **CLOSE)
    before, after = model(source, None, previous), model(permuted, None, previous)
    torch.testing.assert_close(after.logits, before.logits, **CLOSE)
    torch.testing.assert_close(after.heads, before.heads[..., ORDER], **CLOSE)
    assert (after.heads - before.heads).abs().max() > 1e-3


ORDERED = [(score, positions) for score, positions in itertools.product(SCORES, POSITIONS) if positions != "none"]


@pytest.mark.parametrize(("score", "positions"), [*ORDERED, ("location", "none")])
def test_with_positions_the_order_matters(score, positions):
    """Score location tells it by itself, having a parameter per position."""
    model = build(score, positions, seed=2)  # with which no score is so sure that its weights are 0 and 1
    source, permuted, previous = orders()
    before, after = model(source, None, previous), model(permuted, None, previous)
    assert (after.logits - before.logits).abs().amax(-1).min() > 1e-6
    assert (after.heads - before.heads[..., ORDER]).abs().amax((2, 3)).min() > 1e-7  # in every head


@pytest.mark.parametrize("positions", [kind for kind in POSITIONS if kind != "none"])
def test_the_decoder_depends_on_its_step(positions):
    """One word said again and again: without positions every step is the same, with them steps differ."""
    source, lengths, previous = batch()
    same = torch.full_like(previous, 4)
    words = {kind: build("dot", kind)(source, lengths, same).logits for kind in ("none", positions)}
    torch.testing.assert_close(words["none"], words["none"][:, :1].expand_as(words["none"]), **CLOSE)
    if positions in ("sinusoidal", "learned"):  # the others tell distances: values alike mix to the same
        assert (words[positions][:, 1] - words[positions][:, 0]).abs().max() > 1e-6
    else:
        torch.testing.assert_close(words[positions], words[positions][:, :1].expand_as(words[positions]), **CLOSE)


def test_positions_beyond_the_last_learned_one_take_that():
    """Source and target have a table each, and what is learned for one position changes that one."""
    model = build("dot", "learned")
    assert model.position_table.shape == (2, MAX_POSITIONS, WIDTH)
    longer = build("dot", "learned", max_positions=9)
    source, lengths, previous = batch()
    rows = torch.arange(9).clamp(max=MAX_POSITIONS - 1)
    state = model.state_dict()
    longer.load_state_dict(state | {"position_table": state["position_table"][:, rows]})
    expected, found = longer(source, lengths, previous), model(source, lengths, previous)
    assert torch.equal(found.logits, expected.logits)
    with torch.no_grad():
        model.position_table[1, 2] += torch.arange(WIDTH)  # not a constant, which the norm takes away
    changed = (model(source, lengths, previous).logits - found.logits).abs().amax(-1) > 1e-9
    assert changed.tolist() == [[False, False, True, True, True, True]] * 4
    with torch.no_grad():
        model.position_table[0, 3] += torch.arange(WIDTH)
    values = [m.encode(source, lengths)[0].sources[0].values for m in (model, longer)]
    differs = (values[0] - values[1]).abs().amax((1, 2, 3)) > 1e-9
    assert differs.tolist() == [True, True, False, False]  # those with a fourth position


def test_all_choices_of_positions_differ():
    """With the same weights otherwise."""
    source, lengths, previous = batch()
    state = build("dot", "none").state_dict()
    outputs = []
    for positions in POSITIONS:
        model = build("dot", positions)
        model.load_state_dict(state, strict=False)
        outputs.append(model(source, lengths, previous).logits)
    for one, other in itertools.combinations(outputs, 2):
        assert (one - other).abs().max() > 1e-3
