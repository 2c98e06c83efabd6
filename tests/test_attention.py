"""The contract of every score under every scope: a new file in either folder is tested here without a new test."""

import copy

import numpy as np
import pytest
import torch
from closed_forms import centre, context, scope_weights, score_logits
from systems import (
    CASES,
    DETERMINISTIC,
    DIFFERENTIABLE,
    LENGTHS,
    SCORES,
    WINDOW,
    Case,
    build,
    inputs,
    numpy_state,
    outside,
)  # fmt: skip

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
ISSUE_SCORES = ["cosine", "additive", "location", "general", "dot", "scaled_dot"]
ISSUE_SCOPES = ["none", "global", "local-m", "local-p", "hard"]

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


@pytest.mark.parametrize("score", ISSUE_SCORES)
@pytest.mark.parametrize("scope", ISSUE_SCOPES)
@pytest.mark.parametrize(("step", "longest"), [(0, 7), (3, 4)])
def test_equals_the_equations(score, scope, step, longest):
    attend = randomised(build(score, Case(scope), max_source_length=longest))
    query, keys, values = (x.numpy() for x in inputs())
    lengths = LENGTHS.numpy()
    logits = np.zeros((3, 5, 7)) if scope == "none" else score_logits(score, numpy_state(attend.score), query, keys)
    weights = scope_weights(scope, numpy_state(attend.scope), logits, query, lengths, step, WINDOW)
    found = attend(*inputs(), LENGTHS, step=step)
    np.testing.assert_allclose(found.weights.detach().numpy(), weights, rtol=0, atol=1e-10)
    expected = context(scope, weights, values, lengths)
    np.testing.assert_allclose(found.context.detach().numpy(), expected, rtol=0, atol=1e-10)


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
    """A decoder that prepares the source once and reads with one query after the other, telling its step."""
    attend = build(score, case)
    query, keys, values = inputs()
    source = attend.prepare(keys, values, LENGTHS)
    whole = attend(query, keys, values, LENGTHS, step=1)
    for t in range(5):
        one = attend.read(query[:, t : t + 1], source, step=1 + t)
        torch.testing.assert_close(one.context, whole.context[:, t : t + 1], rtol=0, atol=1e-12)
        torch.testing.assert_close(one.weights, whole.weights[:, t : t + 1], rtol=0, atol=1e-12)


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
    if attend.score is not None:
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
    parameters, buffers = torch.func.stack_module_state(replicas)
    arguments = [torch.stack(x) for x in zip(*(inputs(seed) for seed in range(3)), strict=True)]
    base = copy.deepcopy(replicas[0])

    def read(parameters, buffers, *arguments):
        out = torch.func.functional_call(base, (parameters, buffers), (*arguments, LENGTHS), {"step": 1})
        return out.context, out.weights

    stacked = torch.func.vmap(read, randomness="different")(parameters, buffers, *arguments)
    for k, replica in enumerate(replicas):
        alone = replica(*(x[k] for x in arguments), LENGTHS, step=1)
        torch.testing.assert_close(stacked[0][k], alone.context, rtol=0, atol=1e-12)
        torch.testing.assert_close(stacked[1][k], alone.weights, rtol=0, atol=1e-12)
