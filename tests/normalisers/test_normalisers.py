"""Every normaliser equals its equation, differentiates, and keeps the laws of masks: a new file is tested here too."""

import math

import numpy as np
import pytest
import torch
from closed_forms import score_logits
from normaliser_forms import KIND_NAMES, KINDS, LONGEST, NAMES, SUM_TO_ONE, build, normalised, rows_of
from torch.func import functional_call, stack_module_state, vmap

import attnbench
from attnbench import registry
from attnbench.masking import log_weights_of

SHAPE = (3, 5, 7)
every_kind = pytest.mark.parametrize(("name", "options"), KINDS, ids=KIND_NAMES)
EXACT = {"rtol": 0, "atol": 1e-12}


def logits_of(seed=0, scale=2.0, shape=SHAPE):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def mask_of():
    """(3,5,7): other positions for every query, none for two of them, one for another."""
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.6
    mask[0, 0], mask[1, 2], mask[2, 3] = False, False, torch.arange(7) == 4
    return mask


def test_everything_due_is_registered_and_tested():
    assert set(NAMES) >= {"softmax", "sparsemax", "entmax", "softmax1", "ssmax", "sigmoid", "softpick"}
    assert {name for name, _ in KINDS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_has_the_formula_and_its_source(name):
    doc = registry.normaliser.entry(name).doc
    assert "Formula: " in doc
    assert "Source: " in doc


@every_kind
@pytest.mark.parametrize("scale", [1e-6, 0.3, 2.0, 30.0])
def test_equals_the_equation(name, options, scale):
    module, logits, mask = build(name, options), logits_of(scale=scale), mask_of()
    for given in (mask, None):
        expected = rows_of(name, options, module, logits.numpy(), np.ones(SHAPE) if given is None else given.numpy())
        np.testing.assert_allclose(module(logits, given).detach(), expected, rtol=0, atol=1e-10)


@every_kind
def test_small_weights_are_exact_too(name, options):
    """Relative to each weight: a sum of the differences of exponentials would lose the digits of small logits."""
    module = build(name, options)
    logits = torch.tensor([[[1e-9, -1e-9, 3e-9, 0.0], [1e-4, 2e-4, -1e-4, 5e-5], [0.0, 3.0, -8.0, 1e-7]]]).double()
    expected = rows_of(name, options, module, logits.numpy(), np.ones(logits.shape))
    np.testing.assert_allclose(module(logits).detach(), expected, rtol=1e-9, atol=0)


@every_kind
def test_half_precision_is_computed_with_more(name, options):
    """The error is that of rounding the result, as with torch's own softmax; the steps before do not add to it."""
    for dtype, bound in ((torch.float32, 2e-6), (torch.bfloat16, 2**-8)):
        module, logits = build(name, options, dtype), logits_of(scale=60.0).to(dtype)
        found = module(logits, mask_of())
        assert found.dtype == dtype
        exact = build(name, options)
        for own, parameter in zip(exact.parameters(), module.parameters(), strict=True):
            own.data.copy_(parameter)
        torch.testing.assert_close(found.double(), exact(logits.double(), mask_of()), rtol=0, atol=bound)


@every_kind
def test_sums_and_range_are_what_is_declared(name, options):
    module, mask = build(name, options), mask_of()
    entry = registry.normaliser.entry(name)
    assert entry.declares("sums_to_one") == (name in SUM_TO_ONE)
    for scale in (0.1, 2.0, 100.0):
        weights = module(logits_of(scale=scale), mask)
        assert ((weights >= 0) & (weights <= 1)).all()
        if entry.declares("sums_to_one"):
            torch.testing.assert_close(weights.sum(-1), mask.any(-1).double(), **EXACT)
        elif name != "sigmoid":
            assert (weights.sum(-1) <= 1 + 1e-12).all()
    # `positive`: every position that may be used has a weight, or at least a logarithm of it.
    logarithms = log_weights_of(module, logits_of(scale=1000.0), mask)
    if entry.declares("positive"):
        assert torch.equal(logarithms.isfinite(), mask)
    assert not (module(logits_of(scale=1000.0)) > 0).all()


@every_kind
def test_no_weight_outside_the_mask_and_none_without_positions(name, options):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        weights = build(name, options, dtype)(logits_of().to(dtype), mask_of())
        assert weights.isfinite().all()
        assert (weights[~mask_of()] == 0).all()
        assert (weights[0, 0] == 0).all()


@every_kind
def test_what_stands_outside_the_mask_changes_no_bit(name, options):
    module, mask = build(name, options), mask_of()
    results = []
    for filler in (0.0, -7.0, 1e30, -1e30, math.inf, -math.inf):
        logits = logits_of().masked_fill(~mask, filler).requires_grad_()
        weights = module(logits, mask)
        leaves = [logits, *module.parameters()]
        gradients = torch.autograd.grad((weights * logits_of(3)).sum(), leaves)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert (gradients[0][~mask] == 0).all()
        results.append([weights, *gradients])
    for found in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, results[0], strict=True))


@every_kind
def test_masked_equals_truncated(name, options):
    """The number of positions is that of those a query may use, and the padding is not among them."""
    module, logits = build(name, options), logits_of()
    for length in (1, 2, 4, 7):
        mask = (torch.arange(7) < length).expand(SHAPE)
        found = module(logits, mask)
        torch.testing.assert_close(found[..., :length], module(logits[..., :length]), **EXACT)
        for broadcast in (mask[:, :1], mask[:1, :1], mask[0, 0]):
            assert torch.equal(module(logits, broadcast), found)


@every_kind
def test_rows_are_independent_and_positions_have_no_order(name, options):
    module, logits, mask = build(name, options), logits_of(), mask_of()
    weights = module(logits, mask)
    order, places = torch.tensor([2, 0, 1]), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(module(logits[order], mask[order]), weights[order], **EXACT)
    torch.testing.assert_close(module(logits[..., places], mask[..., places]), weights[..., places], **EXACT)
    torch.testing.assert_close(module(logits[1:2, 3:4], mask[1:2, 3:4]), weights[1:2, 3:4], **EXACT)


@every_kind
def test_a_logit_of_minus_infinity_is_a_position_that_is_not_used(name, options):
    """As the score `location` gives beyond its matrix. It does not count among the n positions either."""
    module, mask = build(name, options), mask_of()
    mask[2, 4] = True
    hidden = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) < 0.3
    hidden[2, 4] = True  # all of a row
    logits = logits_of().masked_fill(hidden, -math.inf).requires_grad_()
    found = module(logits, mask)
    torch.testing.assert_close(found, module(logits_of(), mask & ~hidden), **EXACT)
    assert (found[hidden] == 0).all()
    gradients = torch.autograd.grad((found * logits_of(3)).sum(), [logits, *module.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_kind
def test_gradcheck(name, options):
    """First and second derivatives, by the logits and the parameter; the rows are not near a change of the support."""
    module, mask = build(name, options), mask_of()[:2]
    names = [each for each, _ in module.named_parameters()]

    def weights(logits, *parameters):
        return functional_call(module, dict(zip(names, parameters, strict=True)), (logits, mask))

    leaves = [logits_of(scale=0.6)[:2].requires_grad_(), *module.parameters()]
    assert torch.autograd.gradcheck(weights, leaves)
    assert torch.autograd.gradgradcheck(weights, leaves)


@every_kind
def test_stacked_replicas_give_what_each_gives_alone(name, options):
    """Values and gradients, as torch.func computes them for a stack."""
    replicas = [build(name, options) for _ in range(3)]
    for k, replica in enumerate(replicas):
        for parameter in replica.parameters():
            parameter.data.fill_(0.2 + k)
    own, _ = stack_module_state(replicas)
    logits, mask, scale = torch.stack([logits_of(seed) for seed in range(3)]), mask_of(), logits_of(3)

    def loss(own, logits):
        return (functional_call(replicas[0], own, (logits, mask)) * scale).sum()

    values = vmap(lambda own, x: functional_call(replicas[0], own, (x, mask)))(own, logits)
    slopes = vmap(torch.func.grad(loss, argnums=1))(own, logits)
    for k, replica in enumerate(replicas):
        leaf = logits[k].clone().requires_grad_()
        alone = replica(leaf, mask)
        torch.testing.assert_close(values[k], alone, **EXACT)
        (slope,) = torch.autograd.grad((alone * scale).sum(), leaf)
        torch.testing.assert_close(slopes[k], slope, **EXACT)


@every_kind
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_logits_have_equal_weights(name, options, count):
    module = build(name, options)
    for value in (-3.0, 0.0, 0.7, 1e4):
        logits = torch.full((1, 1, 7), value - 0.25).double()
        logits[..., :count] = value
        weights = module(logits)[0, 0]
        assert (weights[:count] == weights[0]).all()
        assert (weights[count:] == weights[-1]).all()
        expected = rows_of(name, options, module, logits.numpy(), np.ones(logits.shape))[0, 0]
        np.testing.assert_allclose(weights.detach(), expected, rtol=0, atol=1e-10)


STABLE = [
    [1e4, -1e4, 0.0, 1e4, 9999.0],
    [-1e4, -1e4, -9999.0, -1e4, -1e4],
    [1e4] * 5,
    [-1e4] * 5,
    [1e4, 1e4 - 64, 1e4 - 128, -1e4, -1e4 + 64],
]


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stable_at_logits_of_ten_thousand(name, options, dtype):
    """Weights and gradients, where the exponentials and the powers are beyond the range of the numbers."""
    module, logits = build(name, options, dtype), torch.tensor([STABLE]).to(dtype)
    mask = torch.tensor([[True, True, True, True, True]]) & (torch.arange(5) != 2)
    for given in (None, mask):
        leaf = logits.clone().requires_grad_()
        weights = module(leaf, given)
        scale = torch.linspace(-1, 1, 5, dtype=dtype)
        gradients = torch.autograd.grad((weights * scale).sum(), [leaf, *module.parameters()])
        assert weights.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)
        exact = build(name, options)
        for own, parameter in zip(exact.parameters(), module.parameters(), strict=True):
            own.data.copy_(parameter)
        allowed = np.ones((1, 5, 5)) if given is None else np.broadcast_to(given.numpy(), (1, 5, 5))
        expected = rows_of(name, options, exact, logits.double().numpy(), allowed)
        bound = 1e-6 if dtype == torch.float32 else 2**-8
        torch.testing.assert_close(weights.double(), torch.as_tensor(expected), rtol=0, atol=bound)


def test_a_diverged_model_is_seen_and_stops_nothing():
    """A logit of NaN gives NaN, in every normaliser: training reports it. It must not be an error of an index."""
    for name, options in KINDS:
        weights = build(name, options)(torch.tensor([[[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]]]).double())
        assert weights[0, 0].isnan().any(), name
        assert weights[0, 1].isfinite().all(), name


# The largest weight of a raw cosine among 20 keys: its own key at 1, the others at −1 or at 0 (semantics.md §9).
LARGEST = [
    ("softmax", {}, 0.280, 0.125),
    ("ssmax", {}, 0.955, 0.513),
    ("sparsemax", {}, 1, 1),
    ("entmax", {}, 1, 0.449),
]


@pytest.mark.parametrize(("name", "options", "opposite", "orthogonal"), LARGEST)
def test_the_largest_weight_of_a_raw_cosine(name, options, opposite, orthogonal):
    """Through `Attention`, and with s = 1 as the table has it."""
    score = {"name": "cosine", "strength": 1.0}
    attend = attnbench.Attention(score, "global", {"name": name, **options}, width=4, max_source_length=20).double()
    if name == "ssmax":
        attend.normaliser.scale.data.fill_(1)
    query = torch.tensor([[[3.0, 0, 0, 0]]]).double()
    for other, expected in ((-1.0, opposite), (0.0, orthogonal)):
        keys = torch.tensor([[other, 1.0 - abs(other), 0, 0]]).double().repeat(1, 20, 1)
        keys[0, 11] = torch.tensor([0.5, 0, 0, 0])
        cosines = score_logits("cosine", {}, query.numpy(), keys.numpy(), strength=1.0)
        assert sorted(set(cosines.ravel().tolist())) == [other, 1.0]
        weights = attend(query, keys, keys).weights[0, 0]
        assert weights.argmax() == 11
        assert weights.max().item() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("longest", [1, 2, 9, 400])
def test_ssmax_starts_as_the_softmax_of_the_longest_source(longest):
    module = attnbench.build_normaliser("ssmax", max_source_length=longest)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {"scale": ()}
    assert module.scale.item() == pytest.approx(1 / math.log(max(longest, 2)))
    logits = 3 * torch.randn(1, 2, longest, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(logits), logits.softmax(-1))
    with pytest.raises(attnbench.AttnbenchError, match="max_source_length"):
        attnbench.build_normaliser("ssmax")


@pytest.mark.parametrize("name", ["ssmax", "sigmoid"])
def test_n_is_the_number_of_positions_that_a_query_may_use(name):
    """In a window it is that of the window, under a causal mask that of the past: never the padded length."""
    options = {"ssmax": {"scale": 0.7}, "sigmoid": {}}[name]
    logits = logits_of(shape=(2, 7, 7))
    keys = torch.eye(7).double().expand(2, -1, -1)
    lengths = torch.tensor([7, 4])
    windows = {"name": "local-m", "window": 1}
    attend = attnbench.Attention("dot", windows, name, width=7, max_source_length=LONGEST).double().eval()
    attend.scope.normaliser = build(name)
    found = attend(logits, keys, keys, lengths).weights.detach()
    for b, length in enumerate(lengths.tolist()):
        for t in range(7):
            centre = min(t, length - 1)
            inside = [i for i in range(length) if abs(i - centre) <= 1]
            assert len(inside) in (2, 3)
            np.testing.assert_allclose(found[b, t], normalised(name, logits[b, t], inside, **options), atol=1e-10)
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    found = build(name)(logits, causal).detach()
    for t in range(7):
        np.testing.assert_allclose(found[0, t], normalised(name, logits[0, t], range(t + 1), **options), atol=1e-10)
    assert not np.allclose(found[0, 2], normalised(name, logits[0, 2], range(7), **options))


def test_a_learned_sink_starts_at_zero_and_is_the_only_parameter():
    learned, zero = (attnbench.build_normaliser("softmax1", sink=sink) for sink in ("learned", "zero"))
    assert {name: p.item() for name, p in learned.named_parameters()} == {"sink_logit": 0.0}
    assert not list(zero.parameters())
    assert not list(attnbench.build_normaliser("softmax1").parameters())
    logits = logits_of().float()
    assert torch.equal(learned(logits), zero(logits))


def test_sparsemax_at_the_boundary_of_its_support():
    """[z − τ]₊ with z_2 = τ exactly: no weight, and no more gradient than of any position without weight."""
    for logits, weights in (([1.0, 0.0, -5.0], [1, 0, 0]), ([0.5, 0.5, -0.5, -0.5], [0.5, 0.5, 0, 0])):
        leaf = torch.tensor([[logits]]).double().requires_grad_()
        found = build("sparsemax")(leaf)
        assert found[0, 0].tolist() == weights
        scale = torch.arange(1.0, len(logits) + 1).double()
        (gradient,) = torch.autograd.grad((found * scale).sum(), leaf)
        support = torch.tensor(weights) > 0
        expected = torch.where(support, scale - scale[support].mean(), 0)
        torch.testing.assert_close(gradient[0, 0], expected, **EXACT)


WRONG = [
    ("entmax", {"alpha": 1}, "alpha"),
    ("entmax", {"alpha": 0.5}, "alpha"),
    ("entmax", {"alpha": 4.5}, "alpha"),
    ("entmax", {"alpha": math.nan}, "alpha"),
    ("softmax1", {"sink": "one"}, "sink"),
    ("softmax", {"alpha": 2}, "takes no options"),
    ("sparsmax", {}, "sparsemax"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_a_wrong_option_is_reported(name, options, message):
    with pytest.raises(attnbench.AttnbenchError, match=message):
        attnbench.build_normaliser(name, **options)
