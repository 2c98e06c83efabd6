"""Scores that carry something from step to step, against loops over the steps, and what follows from them."""

import math

import numpy as np
import pytest
import torch
from carried_forms import CARRYING, Carried, attend_in_turn, step_logits
from scipy import stats
from systems import LENGTHS, WIDTH, inputs, numpy_state, outside

import attnbench
from attnbench import registry
from attnbench.scores import hidden_layer

# score, its options, and the names and shapes of its state_dict
TABLE = [
    *(
        (
            "location_conv",
            {"filters": filters, "kernel": kernel, "over": over},
            {
                "query_proj.weight": (6, 6),
                "key_proj.weight": (6, 6),
                "filter.weight": (filters, kernel),
                "feature_proj.weight": (6, filters),
                "feature_proj.bias": (6,),
                "v.weight": (1, 6),
            },
        )
        for filters, kernel in ((8, 5), (1, 1), (3, 15))
        for over in ("last", "sum")
    ),
    (
        "coverage",
        {},
        {"query_proj.weight": (6, 6), "key_proj.weight": (6, 6), "coverage_proj.weight": (6, 1), "v.weight": (1, 6)},
    ),
    *(
        (
            "gmm",
            {"components": count},
            {
                "hidden_proj.weight": (6, 6),
                "hidden_proj.bias": (6,),
                "window_proj.weight": (3 * count, 6),
                "window_proj.bias": (3 * count,),
            },
        )
        for count in (1, 5)
    ),
]
NAMES = ["-".join([name, *map(str, options.values())]) for name, options, _ in TABLE]
every_row = pytest.mark.parametrize(("name", "options", "shapes"), TABLE, ids=NAMES)


@pytest.fixture(params=["kept", "chunked"])
def _hidden_layer(request, monkeypatch):
    """The hidden layer is kept for the backward pass, or computed in chunks of two positions of three sentences."""
    if request.param == "chunked":
        monkeypatch.setattr(hidden_layer, "KEPT", 0)
        monkeypatch.setattr(hidden_layer, "AT_ONCE", 2 * 3 * WIDTH)


def attention(name, scope="global", **options):
    """An attention with random parameters, in float64."""
    torch.manual_seed(3)
    attend = attnbench.Attention({"name": name, **options}, scope, width=WIDTH).double()
    with torch.no_grad():
        for parameter in attend.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return attend


def test_every_score_that_carries_something_is_tested():
    entries = [registry.score.entry(name) for name in registry.score.names()]
    assert {entry.name for entry in entries if entry.declares("start")} == set(CARRYING)
    assert {name for name, _, _ in TABLE} == set(CARRYING)


def test_defaults_are_those_of_the_table():
    resolved = {name: registry.score.entry(name).resolve({}) for name in CARRYING}
    assert resolved == {
        "location_conv": {"filters": 8, "kernel": 5, "over": "last"},
        "coverage": {"weight": 1.0},
        "gmm": {"components": 5},
    }


@every_row
def test_parameters_are_those_of_the_equation(name, options, shapes):
    score = attnbench.build_score({"name": name, **options}, width=WIDTH)
    assert {k: tuple(v.shape) for k, v in score.state_dict().items()} == shapes


@pytest.mark.usefixtures("_hidden_layer")
@every_row
def test_every_step_equals_the_loop(name, options, shapes):
    del shapes
    attend = attention(name, **options)
    query, keys, values = inputs(steps=9)
    own = {"over": options["over"]} if "over" in options else {}
    states = numpy_state(attend.score), {}
    logits, weights = attend_in_turn(name, "global", states, query.numpy(), keys.numpy(), LENGTHS.numpy(), **own)
    found = attend(query, keys, values, LENGTHS)
    np.testing.assert_allclose(found.weights.detach(), weights, rtol=0, atol=1e-10)
    inside = ~outside(LENGTHS, 7)[:, None].expand(3, 9, 7)
    np.testing.assert_allclose(found.logits.detach()[inside], logits[inside], rtol=0, atol=1e-10)
    # Else a score that carries nothing would pass.
    alone = attend.score(query, keys)
    assert (alone[inside] - found.logits[inside]).abs().max() > 0.01


@every_row
def test_called_by_itself_every_query_is_at_the_first_step(name, options, shapes):
    del shapes
    score = attention(name, **options).score
    query, keys, _ = inputs()
    own = {"over": options["over"]} if "over" in options else {}
    for b in range(3):
        for t in range(5):
            expected = step_logits(name, numpy_state(score), query[b, t].numpy(), keys[b].numpy(), Carried(), **own)
            np.testing.assert_allclose(score(query, keys)[b, t].detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("_hidden_layer")
@every_row
def test_gradcheck_through_the_steps(name, options, shapes):
    """By the query, the keys, every parameter and what is carried: first and second derivatives."""
    del shapes
    score = attention(name, **options).score
    names = [each for each, _ in score.named_parameters()]
    query, keys, _ = inputs(steps=1)
    prepared = score.prepare(keys[:2, :4])
    state = torch.rand(score.start(prepared).shape, generator=torch.Generator().manual_seed(0)).double()

    class Compare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.score = score

        def forward(self, query, keys, state):
            logits, carried = self.score.compare(query, self.score.prepare(keys), state)
            weights = logits.softmax(-1)
            update = getattr(self.score, "update", None)
            return logits, carried if update is None else update(carried, weights)

    def step(query, keys, state, *parameters):
        given = {f"score.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Compare(), given, (query, keys, state))

    leaves = [x.detach().clone().requires_grad_() for x in (query[:2], keys[:2, :4], state, *score.parameters())]
    assert torch.autograd.gradcheck(step, leaves)
    assert torch.autograd.gradgradcheck(step, leaves, fast_mode=True)


@pytest.mark.parametrize("name", ["additive", "coverage", "location_conv"])
@pytest.mark.parametrize("axes", [(0, 0, 0), (None, 0, 0), (0, None, None), (None, None, 0), (0, 0, None)])
@pytest.mark.usefixtures("_hidden_layer")
def test_a_stack_is_what_its_replicas_are_one_by_one(name, axes):
    """Replicas with axes of their own for the query, the keys and the state; without one, they share it."""
    score = attention(name).score
    query, keys, _ = inputs(steps=1)
    given = [query, keys, torch.rand(3, 7, generator=torch.Generator().manual_seed(0)).double()]
    given = [one if axis is None else torch.stack([one, one.flip(-1)]) for one, axis in zip(given, axes, strict=True)]

    def logits(query, keys, state):
        prepared = score.prepare(keys)
        return score.compare(query, prepared, *([] if name == "additive" else [state]))

    def first(found):
        return found if name == "additive" else found[0]

    def gradients(found):
        return torch.autograd.grad(found.sin().sum(), list(score.parameters()))

    rows = [[one if axis is None else one[k] for one, axis in zip(given, axes, strict=True)] for k in range(2)]
    expected = torch.stack([first(logits(*row)) for row in rows])
    found = torch.func.vmap(lambda *row: first(logits(*row)), in_dims=axes)(*given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for a, b in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", ["additive", "coverage", "location_conv"])
def test_gradients_in_half_precision_are_near_those_in_float64(name, autocast, dtype, chunked, monkeypatch):
    if chunked:
        monkeypatch.setattr(hidden_layer, "KEPT", 0)
        monkeypatch.setattr(hidden_layer, "AT_ONCE", 3 * 64)

    def gradients(dtype, module_dtype):
        torch.manual_seed(0)
        score = attnbench.build_score(name, width=64)
        query, keys, state, above = torch.randn(2, 1, 64), torch.randn(2, 20, 64), torch.rand(2, 20), torch.randn(2, 20)
        score = score.to(module_dtype)
        leaves = [one.to(module_dtype).requires_grad_() for one in (query, keys, state)]
        with torch.autocast("cpu", dtype, enabled=dtype is not module_dtype):
            prepared = score.prepare(leaves[1])
            carried = [] if name == "additive" else leaves[2:]
            found = score.compare(leaves[0], prepared, *carried)
        logits = found if name == "additive" else found[0]
        inputs = [*leaves[: 2 + len(carried)], *score.parameters()]
        return torch.autograd.grad((logits.squeeze(1).double() * above.double()).sum(), inputs)

    expected = gradients(torch.float64, torch.float64)
    found = gradients(dtype, torch.float32 if autocast else dtype)
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).norm() < 0.02 * other.norm()


@pytest.mark.parametrize("over", ["last", "sum"])
def test_the_convolution_reads_no_padding(over):
    """A sentence whose end is within reach of the filters is read as it is by itself, whatever stands behind it."""
    attend = attention("location_conv", kernel=5, over=over)
    query, keys, values = inputs()
    length = torch.tensor([4, 4, 4])
    alone = attend(query, keys[:, :4], values[:, :4])
    for filler in (0.0, 5.0, math.nan):
        keys[:, 4:], values[:, 4:] = filler, filler
        found = attend(query, keys, values, length)
        torch.testing.assert_close(found.weights[..., :4], alone.weights, rtol=0, atol=1e-14)
    # The features of a sentence's last position have no share of what is behind it.
    state = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double()
    prepared = attend.score.prepare(keys[:1, :4])
    short, _ = attend.score.compare(query[:1, :1], prepared, state)
    padded = torch.cat([state, torch.zeros(1, 3).double()], 1)
    longer, _ = attend.score.compare(query[:1, :1], attend.score.prepare(torch.randn(1, 7, 6).double()), padded)
    assert longer.shape == (1, 1, 7)
    again, _ = attend.score.compare(query[:1, :1], torch.cat([prepared, prepared[:, :3]], 1), padded)
    torch.testing.assert_close(again[..., :4], short, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["location_conv", "coverage"])
def test_a_source_that_has_become_longer_has_no_earlier_weight_at_its_end(name):
    score = attention(name).score
    query, keys, _ = inputs(steps=1)
    prepared = score.prepare(keys)
    state = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).double()
    found, carried = score.compare(query, prepared, state)
    expected, _ = score.compare(query, prepared, torch.cat([state, torch.zeros(3, 2).double()], 1))
    assert torch.equal(found, expected)
    assert score.update(carried, torch.rand(3, 1, 7).double()).shape == (3, 7)


def test_the_centres_of_gmm_move_forward_only_and_the_keys_have_no_say():
    attend = attention("gmm", components=3)
    query, keys, values = inputs(steps=20)
    source = attend.prepare(keys, values, LENGTHS)
    state, centres = attend.start(source), [torch.zeros(3, 3).double()]
    assert torch.equal(state[0], centres[0])
    for t in range(20):
        state = attend.read(query[:, t : t + 1], source, t, state=state).state
        centres.append(state[0])
        assert (centres[-1] > centres[-2]).all()
    assert torch.equal(attend.score(query, keys), attend.score(query, torch.full_like(keys, math.nan)))
    assert torch.equal(attend(query, keys, values, LENGTHS).weights, attend(query, -keys, values, LENGTHS).weights)


def test_gmm_of_one_component_is_a_normal_density():
    """With the biases alone: ŵ has no say, κ_t = (t + 1) softplus(κ̂), σ = softplus(σ̂) + 0.1."""
    score = attnbench.build_score("gmm", width=WIDTH, components=1).double()
    with torch.no_grad():
        for parameter in score.parameters():
            parameter.zero_()
        score.window_proj.bias.copy_(torch.tensor([5.0, 1.0, 0.5]))
    query, keys, _ = inputs()
    prepared = score.prepare(keys)
    state = score.start(prepared)
    for t in range(3):
        logits, state = score.compare(query[:, t : t + 1], prepared, state)
        centre, sigma = (t + 1) * math.log1p(math.e), math.log1p(math.exp(0.5)) + 0.1
        expected = stats.norm(centre, sigma).logpdf(np.arange(7))
        np.testing.assert_allclose(logits.detach(), np.broadcast_to(expected, (3, 1, 7)), rtol=0, atol=1e-12)


def test_gmm_far_from_its_centres_has_finite_logits_and_gradients():
    """A density that underflows: position 4999 of a source, 5000 deviations from the centre."""
    score = attnbench.build_score("gmm", width=WIDTH)
    query = torch.zeros(1, 1, WIDTH, requires_grad=True)
    logits = score(query, torch.zeros(1, 5000, WIDTH))
    assert logits.isfinite().all()
    weights = logits.softmax(-1)
    weights.square().sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_gmm_in_half_precision_keeps_its_place():
    """bfloat16 has no odd numbers above 256: the centres are carried in float32."""
    score = attnbench.build_score("gmm", width=WIDTH).to(torch.bfloat16)
    with torch.no_grad():
        score.window_proj.weight.zero_()
        score.window_proj.bias[5:10] = 1.0
        score.window_proj.bias[10:] = -2.0
    query, keys = torch.zeros(1, 1, WIDTH, dtype=torch.bfloat16), torch.zeros(1, 400, WIDTH, dtype=torch.bfloat16)
    state = score.start(keys)
    with torch.no_grad():
        for _ in range(250):
            logits, state = score.compare(query, keys, state)
    move = float(torch.nn.functional.softplus(score.window_proj.bias[5].detach().float()))
    assert logits.dtype == torch.bfloat16
    assert state.tolist()[0] == pytest.approx([250 * move] * 5, rel=0.01)
    assert abs(int(logits.argmax()) - 250 * move) < 4


@pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
def test_the_loss_of_coverage_is_the_loop(weight):
    """λ Σ_i min(α_{t,i}, c_{t,i}), the mean over target words, besides the mean negative log-likelihood."""
    attend = attention("coverage", weight=weight)
    random = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 4, 5, generator=random).double().requires_grad_()
    likelihood = -torch.rand(2, 4, generator=random).double()
    target = torch.tensor([[True, True, True, True], [True, True, False, False]])
    expected = 0.0
    for b in range(2):
        covered = np.zeros(5)
        for t in range(4):
            row = weights[b, t].detach().numpy()
            if target[b, t]:
                expected -= likelihood[b, t].item()
                expected += weight * sum(min(a, c) for a, c in zip(row, covered, strict=True))
            covered = covered + row
    loss = attend.objective(likelihood, weights, weights, None, target)
    assert loss.item() == pytest.approx(expected / 6, abs=1e-12)
    penalty = attend.score.penalty(weights)
    assert penalty.shape == (2, 4)
    assert (penalty[:, 0] == 0).all()
    assert torch.autograd.gradcheck(attend.score.penalty, [weights])


WRONG = [
    ("location_conv", {"kernel": 4}, "odd"),
    ("location_conv", {"kernel": 0}, "kernel"),
    ("location_conv", {"filters": 0}, "filters"),
    ("location_conv", {"over": "first"}, "over"),
    ("coverage", {"weight": -1.0}, "weight"),
    ("gmm", {"components": 0}, "components"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_a_wrong_option_is_reported(name, options, message):
    with pytest.raises(attnbench.AttnbenchError, match=message):
        attnbench.build_score(name, width=4, **options)
