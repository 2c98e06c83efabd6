"""The contract of every score under every scope: a new file in either folder is tested here without a new test."""

import copy

import numpy as np
import pytest
import torch
from carried_forms import attend_in_turn
from closed_forms import centre, context
from normaliser_forms import KIND_NAMES, KINDS, SUM_TO_ONE, normalised, numbers_of
from normaliser_forms import build as build_normaliser
from systems import (
    CASES,
    DETERMINISTIC,
    DIFFERENTIABLE,
    LENGTHS,
    SCOPES,
    SCORES,
    WINDOW,
    Case,
    build,
    inputs,
    numpy_state,
    outside,
)  # fmt: skip

from attnbench import Attention, registry
from attnbench.scopes.monotonic import Monotonic

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
ISSUE_SCORES = ["cosine", "additive", "location", "general", "dot", "scaled_dot"]
ISSUE_SCORES += ["location_conv", "coverage", "gmm", "distance", "bilinear", "trilinear"]
ISSUE_SCOPES = ["none", "global", "local-m", "local-p", "hard", "monotonic"]

every_score = pytest.mark.parametrize("score", SCORES)
every_case = pytest.mark.parametrize("case", CASES, ids=str)
deterministic = pytest.mark.parametrize("case", DETERMINISTIC, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def randomised(attend, seed=11):
    """Random parameters, so that one that starts at 0 cannot hide."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in attend.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return attend


def seeded(attend, *arguments, **options):
    """What is drawn is drawn from the same seed."""
    torch.manual_seed(8)
    return attend(*arguments, **options)


def test_everything_due_is_registered():
    assert set(ISSUE_SCORES) <= set(SCORES)
    assert set(ISSUE_SCOPES) <= {case.scope for case in CASES}


def states_of(attend):
    return numpy_state(attend.score), numpy_state(attend.scope)


EQUATIONS = [Case(scope) for scope in ISSUE_SCOPES] + [Case("monotonic", True, noise=False)]


@pytest.mark.parametrize("score", ISSUE_SCORES)
@pytest.mark.parametrize("case", EQUATIONS, ids=str)
@pytest.mark.parametrize(("step", "longest"), [(0, 7), (3, 4)])
def test_equals_the_equations(score, case, step, longest):
    attend = randomised(build(score, case, max_source_length=longest))
    step = 0 if attend.stateful else step  # the first step, without a state
    query, keys, values = (x.numpy() for x in inputs())
    lengths = LENGTHS.numpy()
    found = attend(*inputs(), LENGTHS, step=step)
    if case.scope == "none":
        weights = np.zeros((3, 5, 7))
    else:
        options = {"step": step, "window": WINDOW, "training": case.training}
        _, weights = attend_in_turn(score, case.scope, states_of(attend), query, keys, lengths, **options)
    np.testing.assert_allclose(found.weights.detach().numpy(), weights, rtol=0, atol=1e-10)
    expected = context(case.scope, weights, values, lengths)
    np.testing.assert_allclose(found.context.detach().numpy(), expected, rtol=0, atol=1e-10)


# Of the built-in ones: the others have no closed form.
USE_A_NORMALISER = [
    scope for scope in SCOPES if registry.scope.is_builtin(scope) and registry.scope.entry(scope).takes("normaliser")
]
# The scope hard draws a position, which needs weights that sum to 1.
PRODUCT = [
    pytest.param(scope, name, options, id=f"{scope}-{kind}")
    for scope in USE_A_NORMALISER
    for (name, options), kind in zip(KINDS, KIND_NAMES, strict=True)
    if scope != "hard" or name in SUM_TO_ONE
]


@pytest.mark.parametrize(("scope", "name", "options"), PRODUCT)
@pytest.mark.parametrize("score", ["dot", "location_conv", "coverage"])
def test_every_normaliser_under_every_scope_equals_the_equations(score, scope, name, options):
    """And with what a score carries from step to step, which are the weights after the normaliser and the scope."""
    assert set(USE_A_NORMALISER) == {"global", "self", "local-m", "local-p", "hard"}
    attend = randomised(build(score, Case(scope), normaliser={"name": name, **options}))
    attend.scope.normaliser = build_normaliser(name, options)
    alpha = {"alpha": options["alpha"]} if "alpha" in options else {}

    def normalise(logits, positions):
        return normalised(name, logits, positions, **alpha, **numbers_of(attend.normaliser))

    query, keys, _ = inputs()
    own = "global" if scope == "self" else scope
    arrays = states_of(attend), query.numpy(), keys.numpy(), LENGTHS.numpy()
    _, weights = attend_in_turn(score, own, *arrays, window=WINDOW, normalise=normalise)
    found = attend(*inputs(), LENGTHS).weights.detach().numpy()
    np.testing.assert_allclose(found, weights, rtol=0, atol=1e-10)


@every_score
@every_case
@every_dtype
def test_shapes_dtypes_and_no_weight_on_padding(score, case, dtype):
    out = seeded(build(score, case, dtype=dtype), *inputs(dtype=dtype), LENGTHS)
    assert (out.context.shape, out.context.dtype) == ((3, 5, 6), dtype)
    assert (out.weights.shape, out.weights.dtype) == ((3, 5, 7), dtype)
    assert out.context.isfinite().all()
    assert ((out.weights >= 0) & (out.weights <= 1)).all()
    assert (out.weights.sum(-1) <= 1 + 4 * torch.finfo(dtype).eps).all()
    assert (out.weights.mT[outside(LENGTHS, 7)] == 0).all()


def read_with(filler, score, case, dtype):
    """Context, weights and all gradients when padding holds this number."""
    attend = build(score, case, dtype=dtype)
    query, keys, values = inputs(dtype=dtype)
    keys[outside(LENGTHS, 7)], values[outside(LENGTHS, 7)] = filler, filler
    leaves = [x.requires_grad_() for x in (query, keys, values, *attend.parameters())]
    out = seeded(attend, *leaves[:3], LENGTHS)
    scale = torch.linspace(-1, 1, 6, dtype=dtype)
    gradients = torch.autograd.grad((out.context * scale).sum(), leaves, allow_unused=True)
    return [out.context, out.weights, *(torch.zeros(()) if g is None else g for g in gradients)]


@every_score
@every_case
@every_dtype
def test_the_content_of_padding_changes_no_bit(score, case, dtype):
    expected = read_with(0.0, score, case, dtype)
    for garbage in (-7.0, 1e30, float("nan"), float("inf"), -float("inf")):
        found = read_with(garbage, score, case, dtype)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)), garbage
    for gradient in expected[3:5]:
        assert gradient.dim() == 0 or (gradient[outside(LENGTHS, 7)] == 0).all()


@every_score
@deterministic
def test_masked_equals_truncated(score, case):
    """A sentence in a padded batch is read as it is by itself, with a mask and without one."""
    attend = build(score, case)
    query, keys, values = inputs()
    together = attend(query, keys, values, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        own = slice(b, b + 1)
        for lengths in (LENGTHS[own], None):
            alone = attend(query[own], keys[own, :length], values[own, :length], lengths)
            torch.testing.assert_close(together.context[own], alone.context, rtol=0, atol=1e-12)
            torch.testing.assert_close(together.weights[own, :, :length], alone.weights, rtol=0, atol=1e-12)


@every_score
@deterministic
def test_the_order_of_the_batch_does_not_matter(score, case):
    attend = build(score, case)
    query, keys, values = inputs()
    order = torch.tensor([2, 0, 1])
    found = attend(query[order], keys[order], values[order], LENGTHS[order])
    expected = attend(query, keys, values, LENGTHS)
    torch.testing.assert_close(found.context, expected.context[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.weights, expected.weights[order], rtol=0, atol=1e-12)


@every_score
@deterministic
def test_step_by_step_equals_all_at_once(score, case):
    """A decoder that prepares the source once and reads in portions, with the step and what the attention carries."""
    attend = build(score, case)
    query, keys, values = inputs()
    source = attend.prepare(keys, values, LENGTHS)
    first = 0 if attend.stateful else 1
    whole = attend(query, keys, values, LENGTHS, step=first)
    for sizes in ([1] * 5, [2, 3], [4, 1]):
        state = attend.start(source)
        for portion, t in zip(query.split(sizes, 1), [sum(sizes[:n]) for n in range(len(sizes))], strict=True):
            part = slice(t, t + portion.shape[1])
            read = attend.read(portion, source, step=first + t, state=state)
            state = read.state
            for name in ("context", "weights", "logits"):
                found, expected = getattr(read, name), getattr(whole, name)[:, part]
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (state != ()) == (whole.state != ()) == attend.stateful


@every_score
@every_case
def test_what_is_carried_is_needed_and_belongs_to_the_call(score, case):
    """A step without what the one before it carried is an error; a state is never changed in place."""
    attend = build(score, case)
    query, keys, values = inputs()
    if not attend.stateful:
        assert attend(query, keys, values, LENGTHS, step=3).state == ()
        assert attend.start(attend.prepare(keys, values, LENGTHS)) == ()
        return
    with pytest.raises(ValueError, match="got none at step 1: pass state"):
        attend(query, keys, values, LENGTHS, step=1)
    first = attend(query[:, :1], keys, values, LENGTHS).state
    before = [leaf.clone() for leaf in leaves_of(first)]
    attend(query[:, 1:], keys, values, LENGTHS, step=1, state=first)
    assert all(torch.equal(a, b) for a, b in zip(leaves_of(first), before, strict=True))


def leaves_of(state):
    """All tensors of a state."""
    return [state] if isinstance(state, torch.Tensor) else [leaf for each in state for leaf in leaves_of(each)]


@every_score
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(score, case):
    """In training, that is: the argmax of evaluation has no gradient. The scope `none` has no parameters."""
    attend = build(score, case)
    out = seeded(attend, *inputs(), LENGTHS)
    assert case.scope != "none" or not list(attend.parameters())
    if list(attend.parameters()):
        (out.context * torch.randn(out.context.shape)).sum().backward()
    for name, parameter in attend.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def away_from_steps(score, case, seed, lengths):
    """Whether no p_t of local-p is near a whole number, where its window moves by one."""
    state, query = numpy_state(build(score, case, seed).scope), inputs(seed, steps=2)[0][:2].numpy()
    if case.scope != "local-p":
        return True
    return all(0.1 < centre(state, s, int(n)) % 1 < 0.9 for row, n in zip(query, lengths, strict=True) for s in row)


@every_score
@deterministic
def test_gradcheck(score, case):
    """The weights of the argmax are constant; those of local-p jump where p_t crosses a whole number, and not here."""
    lengths = torch.tensor([4, 3])
    seed = next(seed for seed in range(99) if away_from_steps(score, case, seed, lengths))
    attend = build(score, case, seed)
    names = [name for name, _ in attend.named_parameters()]
    query, keys, values = (x[:2] for x in inputs(seed, steps=2))

    def read(query, keys, values, *parameters):
        state = dict(zip(names, parameters, strict=True))
        out = torch.func.functional_call(attend, state, (query, keys, values, lengths))
        return out.context, out.weights

    leaves = [x.detach().clone().requires_grad_() for x in (query, keys[:, :4], values[:, :4], *attend.parameters())]
    # Entry by entry once per scope; test_scores.py does so for each score.
    assert torch.autograd.gradcheck(read, leaves, fast_mode=score != "additive")


def assert_nothing_is_read(attend, lengths, step, empty):
    """The sentences in `empty` have zero weights and a zero context; all gradients stay finite."""
    leaves = [x.requires_grad_() for x in inputs()]
    out = seeded(attend, *leaves, lengths, step=step)
    assert (out.weights[empty] == 0).all()
    assert (out.context[empty] == 0).all()
    assert out.context.isfinite().all()
    scans = isinstance(attend.scope, Monotonic) and not attend.training  # it may pass the end of a sentence
    if attend.score is not None and not scans:
        others = [b for b in range(3) if b not in empty]
        assert (out.weights[others].sum(-1) > 0).all()
    gradients = torch.autograd.grad(out.context.sum(), [*leaves, *attend.parameters()], allow_unused=True)
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


@every_score
@every_case
def test_an_empty_sentence_gives_zero_weights_and_a_zero_context(score, case):
    """Never NaN, nor a share of the padding."""
    assert_nothing_is_read(build(score, case), torch.tensor([7, 0, 4]), step=0, empty=[1])


@pytest.mark.parametrize("training", [False, True])
def test_a_window_past_the_last_row_of_location_gives_zero_weights_and_a_zero_context(training):
    attend = build("location", Case("local-m", training), max_source_length=3)
    assert_nothing_is_read(attend, LENGTHS, step=5, empty=[0])


@every_score
@deterministic
def test_stacked_replicas_give_what_each_gives_alone(score, case):
    replicas = [randomised(build(score, case), seed) for seed in range(3)]
    step = 0 if replicas[0].stateful else 1
    parameters, buffers = torch.func.stack_module_state(replicas)
    arguments = [torch.stack(x) for x in zip(*(inputs(seed) for seed in range(3)), strict=True)]
    base = copy.deepcopy(replicas[0])

    def read(parameters, buffers, *arguments):
        out = torch.func.functional_call(base, (parameters, buffers), (*arguments, LENGTHS), {"step": step})
        return out.context, out.weights

    stacked = torch.func.vmap(read, randomness="different")(parameters, buffers, *arguments)
    for k, replica in enumerate(replicas):
        alone = replica(*(x[k] for x in arguments), LENGTHS, step=step)
        torch.testing.assert_close(stacked[0][k], alone.context, rtol=0, atol=1e-12)
        torch.testing.assert_close(stacked[1][k], alone.weights, rtol=0, atol=1e-12)


def test_keys_and_values_have_gradients_of_their_own():
    """Where a score takes the keys as they are, and they are the values: added up at every step they take long."""
    states = torch.randn(2, 5, 4, requires_grad=True)
    source = Attention("dot", width=4).prepare(states, states, None)
    assert torch.equal(source.keys, source.values)
    assert torch.autograd.grad(source.keys.sum(), source.keys)[0].shape == states.shape
    assert source.keys.grad_fn is not source.values.grad_fn
