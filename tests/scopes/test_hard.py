"""Hard attention: what is drawn, and what each estimator sends back through the draw."""

import copy
import math

import numpy as np
import pytest
import torch
from closed_forms import softmax
from normaliser_forms import normalised
from scipy import stats
from torch import Tensor

import attnbench
from attnbench import registry

LOGITS = torch.tensor([[1.0, -0.5, 0.3], [-1.2, 0.4, 0.9]]).double()  # (T,S)
ALPHA = np.array([softmax(row.numpy(), range(3)) for row in LOGITS])


def hard(estimator="reinforce", training=True, width=3, normaliser=None, **options):
    attend = attnbench.Attention("dot", "hard", normaliser, width=width, estimator=estimator, **options)
    return attend.double().train(training)


def weigh(attend, logits: Tensor, lengths=None) -> Tensor:
    """Weights of given logits (B,T,S): with keys that are the unit matrix, the dot product is the query itself."""
    keys = torch.eye(logits.shape[-1], dtype=logits.dtype).expand(len(logits), -1, -1)
    return attend(logits, keys, keys, lengths).weights


def is_one_hot(weights: Tensor) -> bool:
    return bool((((weights == 0) | (weights == 1)).all(-1) & (weights.sum(-1) == 1)).all())


def next_minibatch(attend, likelihood: float = -1.0) -> None:
    """Ends a minibatch of `reinforce`, of one sentence with one word."""
    one = torch.ones(1, 1)
    zeros = torch.zeros(1, 1, 3).double()
    attend.objective(one.double() * likelihood, zeros, zeros, None, one.bool())


def sampling(attend):
    """The attention at a minibatch that is drawn, not soft."""
    while not is_one_hot(weigh(attend, LOGITS[None])):
        next_minibatch(attend)
    return attend


@pytest.mark.parametrize("estimator", ["reinforce", "straight_through", "gumbel", "exact"])
def test_evaluation_takes_the_argmax(estimator):
    logits = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    logits[..., 4:] += 10  # the largest are padding
    weights = weigh(hard(estimator, training=False, width=6), logits, torch.tensor([4, 3, 2, 1, 4]))
    for b, length in enumerate((4, 3, 2, 1, 4)):
        for t in range(4):
            best = max(range(length), key=lambda i: logits[b, t, i].item())
            assert weights[b, t].tolist() == [float(i == best) for i in range(6)]


@pytest.mark.parametrize("estimator", ["reinforce", "straight_through", "gumbel"])
def test_draws_follow_alpha_independently_at_every_step(estimator):
    """The counts of the pairs (i_1, i_2) fit α_1 α_2: a draw shared by the steps would not."""
    attend = hard(estimator)
    if estimator == "reinforce":
        sampling(attend)
    torch.manual_seed(1)
    count = 20_000
    weights = weigh(attend, LOGITS.expand(count, -1, -1)).detach()
    assert is_one_hot(weights)
    pairs = torch.einsum("bi,bj->ij", weights[:, 0], weights[:, 1]).numpy()
    expected = np.outer(ALPHA[0], ALPHA[1]) * count
    assert stats.chisquare(pairs.ravel(), expected.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("estimator", ["straight_through", "gumbel"])
def test_padding_is_never_drawn(estimator):
    torch.manual_seed(1)
    logits = LOGITS.expand(2000, -1, -1) * 5
    weights = weigh(hard(estimator), logits, torch.full((2000,), 2)).detach()
    assert is_one_hot(weights)
    assert (weights[..., 2] == 0).all()


def jacobian(weights: Tensor, logits: Tensor) -> np.ndarray:
    """∂ weight_i / ∂ logit_j of every row, (B,T,S,S)."""
    rows = [torch.autograd.grad(weights[..., i].sum(), logits, retain_graph=True)[0] for i in range(logits.shape[-1])]
    return torch.stack(rows, -2).numpy()


def test_straight_through_is_one_hot_forward_and_alpha_backward():
    logits = LOGITS.repeat(50, 1, 1).requires_grad_()
    weights = weigh(hard("straight_through"), logits)
    assert is_one_hot(weights)
    soft = [[[a_i * ((i == j) - a_j) for j, a_j in enumerate(a)] for i, a_i in enumerate(a)] for a in ALPHA.tolist()]
    np.testing.assert_allclose(jacobian(weights, logits), np.broadcast_to(soft, (50, 2, 3, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_gumbel_backward_is_the_relaxed_softmax(temperature):
    """The Jacobian (diag(y) − yyᵀ)/τ gives y, and y = softmax((log α + g)/τ) the noise, which must be Gumbel's."""
    torch.manual_seed(4)
    logits = LOGITS.repeat(1500, 1, 1).requires_grad_()
    weights = weigh(hard("gumbel", temperature=temperature), logits)
    assert is_one_hot(weights)
    slopes = -jacobian(weights, logits) * temperature  # off the diagonal y_i y_j
    triples = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    squares = [slopes[..., i, j] * slopes[..., i, k] / slopes[..., j, k] for i, j, k in triples]
    y = np.sqrt(np.stack(squares, -1))
    np.testing.assert_allclose(y.sum(-1), 1, atol=1e-6)
    assert (y.argmax(-1) == weights.detach().numpy().argmax(-1)).all()
    log_alpha = np.log(ALPHA)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        noise = temperature * np.log(y[..., i] / y[..., j]) - (log_alpha[:, i] - log_alpha[:, j])
        # The difference of two standard Gumbel variables is logistic.
        assert stats.kstest(noise.ravel(), "logistic").pvalue > 1e-3


# The normalisers other than the softmax whose weights sum to 1, with one position that has no weight but under ssmax.
OTHERS = ("sparsemax", "entmax", "ssmax")
every_other = pytest.mark.parametrize("name", OTHERS)


def other(name, estimator="reinforce", training=True, **options):
    """Hard attention with another normaliser, for sources of 3 positions."""
    attend = hard(estimator, training, normaliser=name, max_source_length=3, **options)
    if name == "ssmax":
        attend.normaliser.scale.data.fill_(2.0)
    return attend


def alpha_of(name) -> np.ndarray:
    """α (T,S) of LOGITS, from the equation."""
    return np.array([normalised(name, row.tolist(), range(3), scale=2.0) for row in LOGITS])


def test_the_other_normalisers_are_those_that_sum_to_one():
    names = [name for name in registry.normaliser.names() if registry.normaliser.entry(name).declares("sums_to_one")]
    assert set(names) == {"softmax", *OTHERS}
    for name in ("sparsemax", "entmax"):
        assert (alpha_of(name) == 0).any()
    assert (alpha_of("ssmax") > 0).all()


@every_other
@pytest.mark.parametrize("estimator", ["reinforce", "straight_through", "gumbel", "exact"])
def test_evaluation_takes_the_largest_weight_of_every_normaliser(estimator, name):
    weights = weigh(other(name, estimator, training=False), LOGITS[None])
    assert weights[0].tolist() == [[1, 0, 0], [0, 0, 1]]


@every_other
@pytest.mark.parametrize("estimator", ["reinforce", "straight_through", "gumbel"])
def test_draws_follow_the_weights_of_every_normaliser(estimator, name):
    """A position without weight is never drawn."""
    attend = other(name, estimator)
    if estimator == "reinforce":
        sampling(attend)
    count, alpha = 20_000, alpha_of(name)
    weights = weigh(attend, LOGITS.expand(count, -1, -1)).detach()
    assert is_one_hot(weights)
    assert (weights[:, torch.as_tensor(alpha == 0)] == 0).all()
    pairs = torch.einsum("bi,bj->ij", weights[:, 0], weights[:, 1]).numpy()
    expected = np.outer(alpha[0], alpha[1]) * count
    drawn = expected > 0
    assert stats.chisquare(pairs[drawn], expected[drawn]).pvalue > 1e-3


class Given(torch.nn.Module):
    """Gumbel noise that is given."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise

    def begin(self) -> None:
        pass

    def gumbel(self, like: Tensor, _step: int) -> Tensor:
        return self.noise.expand_as(like)


@every_other
def test_straight_through_has_the_gradient_of_the_normaliser(name):
    logits = LOGITS[None].clone().requires_grad_()
    attend = other(name, "straight_through")
    weights = weigh(attend, logits)
    assert is_one_hot(weights)
    leaf = LOGITS[None].clone().requires_grad_()
    np.testing.assert_allclose(jacobian(weights, logits), jacobian(attend.normaliser(leaf), leaf), rtol=0, atol=1e-12)


@every_other
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_gumbel_has_the_gradient_of_the_relaxed_weights(name, temperature):
    """softmax((log α + g) / τ) over the positions that have weight, with the noise g of the draw."""
    noise = torch.tensor([[0.3, -1.0, 1.9], [2.5, 0.1, -0.4]]).double()
    attend = other(name, "gumbel", temperature=temperature)
    attend.scope.noise = Given(noise)
    logits = LOGITS[None].clone().requires_grad_()
    weights = weigh(attend, logits)
    leaf = LOGITS[None].clone().requires_grad_()
    alpha, relaxed = attend.normaliser(leaf), torch.zeros(1, 2, 3).double()
    for t in range(2):
        there = torch.as_tensor(alpha_of(name)[t] > 0).nonzero().flatten()
        noisy = alpha[0, t, there].log() + noise[t, there]
        assert weights[0, t].argmax() == there[noisy.argmax()]
        relaxed[0, t, there] = (noisy / temperature).softmax(-1)
    np.testing.assert_allclose(jacobian(weights, logits), jacobian(relaxed, leaf), rtol=0, atol=1e-12)
    assert is_one_hot(weights)


@every_other
def test_exact_has_the_weights_of_every_normaliser(name):
    attend = other(name, "exact")
    np.testing.assert_allclose(weigh(attend, LOGITS[None])[0].detach(), alpha_of(name), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: weigh(attend, x), [LOGITS[None].clone().requires_grad_()])


def test_exact_draws_nothing():
    logits = LOGITS[None].clone().requires_grad_()
    attend = hard("exact")
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.testing.assert_allclose(weigh(attend, logits)[0].detach(), ALPHA, rtol=0, atol=1e-12)
    assert attend.scope.marginalises
    assert not attend.eval().scope.marginalises
    assert torch.autograd.gradcheck(lambda x: weigh(attend.train(), x), [logits])


def test_reinforce_takes_every_other_minibatch_soft():
    """A minibatch ends with its objective: all its steps are soft, or all are drawn."""
    attend = hard()
    kinds: list[bool] = []
    for _ in range(10):
        of_this = {is_one_hot(weigh(attend, LOGITS[None])) for _ in range(3)}
        assert len(of_this) == 1
        if not of_this.copy().pop():
            np.testing.assert_allclose(weigh(attend, LOGITS[None])[0], ALPHA, rtol=0, atol=1e-12)
        kinds += of_this
        next_minibatch(attend)
    assert kinds in ([True, False] * 5, [False, True] * 5)


def test_reinforce_baseline_is_the_moving_average():
    """b ← .9 b + .1 R with R the mean log p(y | positions) of the sentences; evaluation leaves it alone."""
    attend = sampling(hard())
    torch.manual_seed(0)
    for _ in range(6):
        drawn = is_one_hot(weigh(attend, LOGITS[None]))
        before = attend.scope.baseline.item()
        likelihood = -torch.rand(4, 2).double() * 5
        target = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]]).bool()
        logits = LOGITS.expand(4, -1, -1)
        attend.objective(likelihood, logits, weigh(attend, logits), None, target)
        if drawn:
            reward = sum(likelihood[b, t].item() for b in range(4) for t in range(2) if target[b, t]) / 4
            assert attend.scope.baseline.item() == pytest.approx(0.9 * before + 0.1 * reward, rel=1e-6)
    before = copy.deepcopy(attend.state_dict())
    attend.eval().objective(likelihood, logits, weigh(attend, logits), None, target)
    assert all(torch.equal(before[key], value) for key, value in attend.state_dict().items())


@pytest.mark.parametrize("drawn", [False, True])
def test_entropy_is_rewarded(drawn):
    """λ_e = .002 by default: the loss falls by λ_e Σ_t H(α_t), and its gradient by that of the entropy, per word."""
    losses, gradients = [], []
    target = torch.tensor([[True, True], [True, False]])
    for options in ({}, {"entropy_weight": 0.0}):
        attend = sampling(hard(**options)) if drawn else hard(**options)
        logits = LOGITS.repeat(2, 1, 1).requires_grad_()
        torch.manual_seed(0)
        weights = weigh(attend, logits)
        loss = attend.objective(torch.full((2, 2), -1.0).double(), logits, weights, None, target)
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, logits)[0])
    leaf = LOGITS.repeat(2, 1, 1).requires_grad_()
    alpha = leaf.softmax(-1)
    bonus = 0.002 * -((alpha * alpha.log()).sum(-1) * target).sum() / 3
    assert losses[1] - losses[0] == pytest.approx(bonus.item(), abs=1e-12)
    expected = torch.autograd.grad(bonus, leaf)[0]
    torch.testing.assert_close(gradients[1] - gradients[0], expected, rtol=0, atol=1e-12)


def test_words_beyond_the_target_and_empty_sentences_teach_nothing():
    attend = sampling(hard())
    logits = LOGITS.repeat(3, 1, 1).requires_grad_()
    mask = torch.tensor([3, 0, 3])[:, None, None] > torch.arange(3)
    target = torch.tensor([[True, True], [True, True], [True, False]])
    weights = weigh(attend, logits, torch.tensor([3, 0, 3]))
    loss = attend.objective(torch.full((3, 2), -4.0).double(), logits, weights, mask, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert (gradient[1] == 0).all()
    assert (gradient[2, 1] == 0).all()
    assert (gradient[[0, 0, 2], [0, 1, 0]] != 0).any(-1).all()


# A tiny case: one parameter vector moves the logits of both steps and the likelihood of every pair of positions.
TO_LOGITS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(7)).double()
TO_FIRST = torch.randn(3, 4, generator=torch.Generator().manual_seed(8)).double()
TO_SECOND = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(9)).double()
PARAMETERS = torch.tensor([0.4, -0.3, 0.8, 0.1]).double()
# What the logits of each step are multiplied by, so that a sparse normaliser leaves out a position and keeps two.
FACTORS = {"sparsemax": (1.0, 0.28), "entmax": (1.75, 0.5)}


def case_logits(parameters: Tensor, normaliser: str) -> Tensor:
    """The logits (…,2,3) of both steps."""
    factors = torch.tensor(FACTORS.get(normaliser, (1.0, 1.0))).double()
    return torch.einsum("tip,...p->...ti", TO_LOGITS, parameters) * factors[:, None]


def tables(parameters: Tensor, normaliser: str = "softmax") -> tuple[Tensor, Tensor, Tensor]:
    """α (…,2,3), log p(y_1|i) (…,3) and log p(y_2|i,j) (…,3,3)."""
    alpha = hard(normaliser=normaliser, max_source_length=3).normaliser(case_logits(parameters, normaliser))
    first = torch.nn.functional.logsigmoid(torch.einsum("ip,...p->...i", TO_FIRST, parameters) * 2)
    second = torch.nn.functional.logsigmoid(torch.einsum("ijp,...p->...ij", TO_SECOND, parameters) * 2)
    return alpha, first, second


def enumerated(parameters: Tensor, normaliser: str = "softmax") -> tuple[Tensor, Tensor]:
    """The expectation Σ_{ij} α_i α_j log p(y|i,j), and the exact objective log Σ_{ij} α_i α_j p(y|i,j)."""
    alpha, first, second = tables(parameters, normaliser)
    pairs = [(alpha[0, i] * alpha[1, j], first[i] + second[i, j]) for i in range(3) for j in range(3)]
    return torch.stack([w * r for w, r in pairs]).sum(), torch.stack([w * r.exp() for w, r in pairs]).sum().log()


def reinforce_samples(baseline: float, normaliser: str = "softmax", count: int = 40_000) -> Tensor:
    """The ascent gradient of `objective` with λ_e = 0, one draw per row, (N,4). Two words per sentence."""
    torch.manual_seed(2)
    attend = sampling(hard(normaliser=normaliser, max_source_length=3, entropy_weight=0.0))
    attend.scope.baseline.fill_(baseline)
    leaf = PARAMETERS.repeat(count, 1).requires_grad_()
    logits = case_logits(leaf, normaliser)
    weights = weigh(attend, logits)
    _, first, second = tables(leaf, normaliser)
    likelihood = torch.stack(
        [(weights[:, 0] * first).sum(-1), torch.einsum("bi,bj,bij->b", weights[:, 0], weights[:, 1], second)], -1
    )
    loss = attend.objective(likelihood, logits, weights, None, torch.ones(count, 2).bool())
    return -torch.autograd.grad(loss, leaf)[0] * (2 * count)


@pytest.mark.parametrize("normaliser", ["softmax", *OTHERS])
@pytest.mark.parametrize("baseline", [0.0, -3.0])
def test_reinforce_gradient_is_unbiased_for_the_enumerated_expectation_and_not_for_the_exact_objective(
    baseline, normaliser
):
    leaf = PARAMETERS.clone().requires_grad_()
    alpha = tables(leaf, normaliser)[0]
    assert bool((alpha == 0).any()) is (normaliser in ("sparsemax", "entmax"))  # else the case shows nothing of them
    assert ((alpha > 0).sum(-1) > 1).all()
    found = enumerated(leaf, normaliser)
    expectation, exact = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for value in found)
    samples = reinforce_samples(baseline, normaliser)
    error = samples.std(0) / math.sqrt(len(samples))
    assert (error < 0.05 * expectation.norm()).all()  # else the interval would hold anything
    assert ((samples.mean(0) - expectation).abs() < 4.5 * error).all()
    assert ((samples.mean(0) - exact).abs() > 4.5 * error).any()


def test_the_enumerated_expectation_is_below_the_exact_objective():
    expectation, exact = enumerated(PARAMETERS)
    assert expectation < exact


class Minibatch(torch.nn.Module):
    """Attends and ends the minibatch, so that one functional_call covers both."""

    def __init__(self, attend):
        super().__init__()
        self.attend = attend

    def forward(self, logits, likelihood, target):
        keys = torch.eye(3).double().expand(2, -1, -1)
        out = self.attend(logits, keys, keys)
        return self.attend.objective(likelihood, out.logits, out.weights, None, target)


def test_every_stacked_replica_has_its_own_baseline():
    minibatches = [Minibatch(hard()) for _ in range(3)]
    _, buffers = torch.func.stack_module_state(minibatches)
    likelihood = torch.tensor([-1.0, -2.0, -4.0]).double()[:, None, None].expand(3, 2, 2)
    target = torch.ones(2, 2).bool()
    logits = torch.randn(3, 2, 2, 3, generator=torch.Generator().manual_seed(0)).double()

    def loss(logits, buffers, likelihood):
        return torch.func.functional_call(minibatches[0], buffers, (logits, likelihood, target))

    for _ in range(3):
        torch.func.vmap(torch.func.grad(loss), randomness="different")(logits, buffers, likelihood)
    # A constant reward is its own moving average: two words at log p each.
    assert buffers["attend.scope.baseline"].tolist() == pytest.approx([-2.0, -4.0, -8.0])


def test_a_soft_minibatch_reinforces_no_position():
    """Without a draw there is nothing to reward: the gradient is that of the likelihood and the entropy alone."""
    attend = hard(entropy_weight=0.002)
    logits = LOGITS[None].clone().requires_grad_()
    weights = weigh(attend, logits)
    assert not is_one_hot(weights)
    likelihood = (weights * torch.tensor([0.2, 0.5, 0.3])).sum(-1).log()  # (1,T)
    attend.scope.baseline.fill_(-7.0)  # a large surprise, were it used
    loss = attend.objective(likelihood, logits, weights, None, torch.ones(1, 2, dtype=torch.bool))
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    alpha = logits.softmax(-1)
    entropy = -(alpha * alpha.log()).sum()
    (expected,) = torch.autograd.grad(-(likelihood.sum() + 0.002 * entropy) / 2, logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_soft_minibatch_leaves_the_baseline():
    attend = hard()
    next_minibatch(attend, -3.0)  # soft: the start
    next_minibatch(attend, -1.0)  # drawn
    after_draw = attend.scope.baseline.item()
    assert after_draw == pytest.approx(0.9 * -3.0 + 0.1 * -1.0, rel=1e-6)
    next_minibatch(attend, -50.0)  # soft
    assert attend.scope.baseline.item() == after_draw
