"""The scopes none, global, local-m and local-p by themselves: windows, centres, masks and limits.

The others have files of their own, test_hard.py and test_monotonic.py.
"""

import math

import normaliser_forms
import numpy as np
import pytest
import torch
from closed_forms import centre, scope_weights
from systems import CASES, LENGTHS, SCOPES, Case, build, inputs, numpy_state
from torch.nn import functional

import attnbench
from attnbench import registry
from attnbench.masking import masked_log_softmax

GLOBAL = Case("global")


def attend_to_logits(scope, logits, lengths=None, training=False, step=0, **options):
    """Weights of given logits (B,T,S): with keys that are the unit matrix, the dot product is the query itself."""
    width = logits.shape[-1]
    attend = attnbench.Attention("dot", scope, width=width, **options).to(logits.dtype).train(training)
    keys = torch.eye(width, dtype=logits.dtype).expand(len(logits), -1, -1)
    return attend(logits, keys, keys, lengths, step)


@pytest.mark.parametrize("scope", SCOPES)
def test_docstring_has_the_formula_and_its_source(scope):
    doc = registry.scope.entry(scope).doc
    assert "Formula: " in doc
    assert "Source: " in doc


@pytest.mark.parametrize("case", [Case("local-m"), Case("local-p")], ids=str)
@pytest.mark.parametrize("score", ["additive", "location", "dot"])
@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_a_window_as_wide_as_the_source_is_global(score, case, lengths):
    query, keys, values = inputs()
    expected = build(score, GLOBAL, seed=5)(query, keys, values, lengths)
    attend = build(score, case, seed=5, window=keys.shape[1])
    if case.scope == "local-p":
        narrow = attend(query, keys, values, lengths)
        assert (narrow.weights - expected.weights).abs().max() > 0.01
        attend.scope.deviation = math.inf
    found = attend(query, keys, values, lengths)
    torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-14)
    torch.testing.assert_close(found.context, expected.context, rtol=0, atol=1e-14)


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("step", [0, 2, 9])
def test_local_m_is_centred_on_the_step_within_each_sentence(step, window):
    """p_t = min(t, L_b − 1) with the sentence's own L_b, counted from `step`; the window is clipped by exclusion."""
    found = attend_to_logits("local-m", torch.zeros(3, 7, 7).double(), LENGTHS, step=step, window=window).weights
    for b, length in enumerate(LENGTHS.tolist()):
        for t in range(7):
            p = min(step + t, length - 1)
            inside = [i for i in range(length) if abs(i - p) <= window]
            expected = [1 / len(inside) if i in inside else 0 for i in range(7)]
            assert found[b, t].tolist() == pytest.approx(expected, abs=1e-15)


def test_local_m_centre_at_a_few_places_known_by_hand():
    out = attend_to_logits("local-m", torch.zeros(1, 9, 9), torch.tensor([6]), window=2)
    support = [row.nonzero().flatten().tolist() for row in out.weights[0]]
    assert support[0] == [0, 1, 2]
    assert support[3] == [1, 2, 3, 4, 5]
    assert support[5] == support[8] == [3, 4, 5]


def test_local_p_is_not_renormalised_and_uses_each_sentence_own_length():
    """p_t is spread over the sentence, never over the padding, so a row has its window's Gaussian mass and no more."""
    attend = build("dot", Case("local-p"), seed=2)
    torch.nn.init.normal_(attend.scope.centre_v.weight, std=3)
    query, keys, values = inputs(steps=40)
    sums = attend(query, keys, values, LENGTHS).weights.sum(-1)
    assert (sums <= 1 + 1e-12).all()
    assert (sums[:2] < 0.99).any()
    state = numpy_state(attend.scope)
    centres = [[centre(state, s, int(length)) for s in row] for row, length in zip(query.numpy(), LENGTHS, strict=True)]
    assert max(centres[1]) - min(centres[1]) > 1.5  # else a centre that stands still would pass
    logits = (query @ keys.mT).numpy()
    expected = scope_weights("local-p", state, logits, query.numpy(), LENGTHS.numpy(), window=1)
    np.testing.assert_allclose(sums.detach().numpy(), expected.sum(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("drive", "inside"), [(40.0, [2, 3]), (-40.0, [0, 1])])
def test_local_p_at_both_ends_of_a_sentence(drive, inside):
    """p_t saturates at 0 and at L_b − 1 = 3; with σ = ½ a neighbour has e⁻² of its softmax weight."""
    attend = attnbench.Attention("dot", "local-p", width=7, window=1).double()
    torch.nn.init.eye_(attend.scope.centre_proj.weight)
    torch.nn.init.zeros_(attend.scope.centre_v.weight)
    attend.scope.centre_v.weight.data[0, 6] = drive
    query = torch.zeros(1, 1, 7).double()
    query[0, 0, 6] = 100.0  # beyond the sentence, so all logits within it are 0
    keys = torch.eye(7).double()[None]
    weights = attend(query, keys, keys, torch.tensor([4])).weights[0, 0]
    expected = [0.0] * 7
    near = inside[1] if drive > 0 else inside[0]
    for i in inside:
        expected[i] = 0.5 if i == near else 0.5 * math.exp(-2)
    assert weights.tolist() == pytest.approx(expected, abs=1e-12)


def test_local_p_gradient_reaches_the_centre_through_the_gaussian_alone():
    query, keys, values = inputs()
    for deviation, reached in ((0.7, True), (math.inf, False)):
        attend = build("dot", Case("local-p"), seed=2)
        attend.scope.deviation = deviation
        out = attend(query, keys, values, LENGTHS)
        (out.context * torch.randn(out.context.shape)).sum().backward()
        for parameter in attend.scope.parameters():
            assert bool((parameter.grad != 0).any()) is reached


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", [c for c in CASES if c.scope != "none"], ids=str)
def test_very_negative_logits_normalise(case, dtype):
    """Softmax first and mask after would be 0/0: what is excluded has logit 0 or more, what is not −1000 and below."""
    logits = torch.linspace(-1000, -1048, 7).repeat(2, 3, 1).to(dtype)
    logits[1, :, 4:] = 0
    lengths = torch.tensor([7, 4])
    options = dict(case.options) | ({"window": 1} if case.scope.startswith("local") else {})
    torch.manual_seed(0)
    weights = attend_to_logits(case.scope, logits, lengths, case.training, **options).weights
    assert weights.isfinite().all()
    assert (weights[1, :, 4:] == 0).all()
    if case.scope == "monotonic":  # no position is likely enough to stop at
        assert (weights == 0).all()
    elif case.scope != "local-p":  # its rows may sum to less
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, dtype=dtype))


@pytest.mark.parametrize("case", [Case(scope) for scope in ("global", "local-m", "local-p", "hard")], ids=str)
def test_very_negative_logits_equal_the_equation(case):
    """The keys of padding are nulled, so its logits are 0 beside valid ones of −1000 to −1100."""
    logits = -1000 - 100 * torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(0)).double()
    attend = attnbench.Attention(
        "dot", {"name": case.scope} | ({"window": 1} if "local" in case.scope else {}), width=7
    )
    keys = torch.eye(7).double().expand(3, -1, -1)
    found = attend.double().eval()(logits, keys, keys, LENGTHS).weights.detach().numpy()
    state = numpy_state(attend.scope)
    expected = scope_weights(case.scope, state, logits.numpy(), logits.numpy(), LENGTHS.numpy(), window=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert expected[0].any(-1).all()


def test_local_m_window_of_very_negative_logits_next_to_large_ones():
    logits = torch.full((1, 1, 7), 900.0)
    logits[0, 0, :2] = torch.tensor([-1000.0, -1200.0])
    assert attend_to_logits("local-m", logits, window=1).weights[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("masked", [False, True])
def test_scaled_dot_global_is_torchs(masked):
    query, keys, values = inputs()
    lengths = LENGTHS if masked else None
    mask = (torch.arange(7) < LENGTHS[:, None])[:, None] if masked else None
    expected = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    found = build("scaled_dot", GLOBAL)(query, keys, values, lengths).context
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_log_weights_are_the_logarithm_of_the_weights_also_where_these_underflow():
    """−∞ exactly where the weight is 0 in exact arithmetic: outside the mask and outside the window."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 5, 7, generator=generator).double()
    mask = (torch.arange(7) < LENGTHS[:, None])[:, None]
    query = torch.randn(3, 5, 6, generator=generator).double()
    for case in (Case("global"), Case("local-m"), Case("local-p"), Case("self")):
        scope = build("dot", case, seed=2).scope
        arguments = (mask, query, LENGTHS, 0)
        weights = scope(logits, *arguments)
        found = scope.log_weights(logits, *arguments)
        assert torch.equal(found == -torch.inf, weights == 0)
        torch.testing.assert_close(found.exp(), weights, rtol=0, atol=1e-14)
        # In float32, logits 2000 times as far apart.
        wide = scope.float().log_weights(2000 * logits.float(), mask, query.float(), LENGTHS, 0)
        exact = scope.double().log_weights(2000 * logits, *arguments)
        assert wide.min(-1).values.isneginf().any()
        assert exact[exact.isfinite()].min() < -1000
        torch.testing.assert_close(wide.double(), exact, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("name", normaliser_forms.NAMES)
@pytest.mark.parametrize("scope", ["global", "local-m", "local-p", "self"])
def test_log_weights_are_those_of_the_normaliser(scope, name):
    """−∞ exactly where the weight is 0; of a positive normaliser that is outside the mask and the window alone."""
    normaliser = normaliser_forms.build(name)
    for scale in (1.0, 2000.0):
        logits = scale * torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(3)).double()
        mask = (torch.arange(7) < LENGTHS[:, None])[:, None]
        query = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(4)).double()
        built = build("dot", Case(scope), seed=2).scope
        built.normaliser = normaliser
        leaf = logits.clone().requires_grad_()
        found, weights = (each(leaf, mask, query, LENGTHS, 0) for each in (built.log_weights, built))
        if registry.normaliser.entry(name).declares("positive"):
            reached = build("dot", Case(scope), seed=2).scope(0 * logits, mask, query, LENGTHS, 0) > 0
            assert torch.equal(found.isfinite(), reached)
        else:
            assert torch.equal(found.isneginf(), weights == 0)
        torch.testing.assert_close(found.exp(), weights, rtol=1e-10, atol=1e-14)
        found.masked_fill(found.isneginf(), 0).sum().backward()
        assert leaf.grad.isfinite().all()


def test_log_weights_of_a_row_without_valid_positions_have_no_nan():
    mask = torch.tensor([[[False, False, False]], [[True, False, True]]])
    for fill in (0.0, -torch.inf):
        logits = torch.full((2, 1, 3), fill).double().requires_grad_()
        found = masked_log_softmax(logits, mask)
        assert found[0].isneginf().all()
        found.masked_fill(found.isneginf(), 0).sum().backward()
        assert logits.grad.isfinite().all()
        assert (logits.grad[0] == 0).all()


def test_none_gives_the_final_encoder_state_at_every_step():
    query, keys, values = inputs()
    out = build("dot", Case("none"))(query, keys, values, LENGTHS)
    assert (out.weights == 0).all()
    assert out.weights.shape == (3, 5, 7)
    for b, last in ((0, 6), (1, 3), (2, 0)):
        for t in range(5):
            assert torch.equal(out.context[b, t], torch.cat([values[b, last, :3], values[b, 0, 3:]]))
    unmasked = build("dot", Case("none"))(query, keys, values).context
    assert torch.equal(unmasked[1, 0], torch.cat([values[1, 6, :3], values[1, 0, 3:]]))


def test_a_long_source_in_bfloat16_keeps_its_window():
    """bfloat16 counts by twos past 256: positions must not be counted in it."""
    lengths = torch.tensor([303])
    for scope in ("local-m", "local-p"):
        attend = attnbench.Attention("dot", scope, width=4, window=2).to(torch.bfloat16)
        if scope == "local-p":
            torch.nn.init.constant_(attend.scope.centre_proj.weight, 5)
            torch.nn.init.constant_(attend.scope.centre_v.weight, 50)  # p_t = 302
        zeros = torch.zeros(1, 303, 4, dtype=torch.bfloat16)
        out = attend(torch.ones(1, 1, 4, dtype=torch.bfloat16), zeros, zeros, lengths, step=302)
        used = out.weights[0, 0].nonzero().flatten().tolist()
        assert set(used) <= {300, 301, 302}
