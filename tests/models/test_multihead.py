"""Multi-head attention against torch's own, and with every score against loops over heads, queries and keys."""

import normaliser_forms
import numpy as np
import pytest
import torch
from torch import nn
from transformer_equations import LONGEST, SCORES, arrays, attention, multihead, randomised

from attnbench.models.multihead import MultiHead
from attnbench.models.positions import distance_bias
from attnbench.registry import score as register

WIDTH, HEADS = 8, 2
EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = torch.tensor([6, 3, 1])
T, S = 4, 6  # more keys than `location` has rows
PADDING = (torch.arange(S) < LENGTHS[:, None])[:, None]  # (B,1,S)
CAUSAL = torch.ones(S, S, dtype=torch.bool).tril()


def build(score, heads=HEADS, width=WIDTH, rotary=False, **options):
    return randomised(MultiHead(width, heads, attention(score, **options), rotary))


def vectors(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def torchs(ours, heads):
    """torch.nn.MultiheadAttention with these weights."""
    theirs = nn.MultiheadAttention(ours.query_proj.in_features, heads, bias=False, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query_proj.weight, ours.key_proj.weight, ours.value_proj.weight]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
    return theirs


@pytest.mark.parametrize("kind", ["self", "causal", "cross"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_with_scaled_dot_it_is_torchs_multihead_attention(heads, kind):
    """Contexts, each head's weights, and the gradients of inputs and parameters."""
    ours = build("scaled_dot", heads)
    theirs = torchs(ours, heads)
    keys = vectors(3, S, WIDTH).requires_grad_()
    query = vectors(3, T, WIDTH, seed=2).requires_grad_() if kind == "cross" else keys
    mask = {"self": None, "causal": CAUSAL, "cross": PADDING}[kind]
    masks = {"self": {}, "causal": {"attn_mask": ~CAUSAL}, "cross": {"key_padding_mask": ~PADDING[:, 0]}}[kind]
    found = ours.read(query, ours.prepare(keys), mask)
    expected = theirs(query, keys, keys, average_attn_weights=False, **masks)
    inputs = [keys, query] if kind == "cross" else [keys]
    gradients = []
    for (context, weights), module in ((found, ours), (expected, theirs)):
        loss = (context * vectors(*context.shape, seed=3)).sum() + (weights * vectors(*weights.shape, seed=4)).sum()
        gradients.append(torch.autograd.grad(loss, [*inputs, *module.parameters()]))
    n = len(inputs)
    mine, reference = gradients
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(mine[:n], reference[:n], **EXACT)
    torch.testing.assert_close(torch.cat(mine[n : n + 3]), reference[n], **EXACT)
    torch.testing.assert_close(mine[n + 3], reference[n + 1], **EXACT)


@pytest.mark.parametrize("kind", ["cross", "causal"])
@pytest.mark.parametrize("told", ["", "rotary", "alibi"])
@pytest.mark.parametrize("score", SCORES)
def test_every_score_in_every_head_is_its_loop(score, told, kind):
    """Under a padding mask and under the causal one; every head with parameters of its own."""
    model = build(score, rotary=told == "rotary")
    keys = vectors(3, S, WIDTH)
    query = vectors(3, T, WIDTH, seed=2) if kind == "cross" else keys
    bias = distance_bias(HEADS, 0, query.shape[1], S, keys) if told == "alibi" else None
    context, weights = model.read(query, model.prepare(keys), PADDING if kind == "cross" else CAUSAL, bias)
    for b, length in enumerate(LENGTHS.tolist()):
        allowed = [range(length)] * T if kind == "cross" else [range(t + 1) for t in range(S)]
        expected = multihead(arrays(model), score, query[b].numpy(), keys[b].numpy(), HEADS, allowed, told)
        np.testing.assert_allclose(context[b].detach(), expected[0], **EXACT)
        np.testing.assert_allclose(weights[b].detach(), expected[1], **EXACT)
    assert (weights.masked_select(~(PADDING[:, None] if kind == "cross" else CAUSAL)) == 0).all()


@pytest.mark.parametrize("kind", ["cross", "causal"])
@pytest.mark.parametrize("normaliser", normaliser_forms.NAMES)
def test_every_normaliser_in_every_head_is_its_loop(normaliser, kind):
    """Its n is the number of positions that a query may use, under the causal mask another for every query."""
    model = build("scaled_dot", normaliser=normaliser)
    keys, query = vectors(3, S, WIDTH), vectors(3, T, WIDTH, seed=2)
    query = query if kind == "cross" else keys
    context, weights = model.read(query, model.prepare(keys), PADDING if kind == "cross" else CAUSAL)
    for b, length in enumerate(LENGTHS.tolist()):
        allowed = [range(length)] * T if kind == "cross" else [range(t + 1) for t in range(S)]
        expected = multihead(
            arrays(model), "scaled_dot", query[b].numpy(), keys[b].numpy(), HEADS, allowed, normaliser=normaliser
        )
        np.testing.assert_allclose(context[b].detach(), expected[0], **EXACT)
        np.testing.assert_allclose(weights[b].detach(), expected[1], **EXACT)


def test_a_head_has_a_scale_of_ssmax_of_its_own():
    named = dict(build("dot", heads=4, normaliser="ssmax").named_parameters())
    scales = [named[f"attention.{h}.attention.scope.normaliser.scale"] for h in range(4)]
    assert all(scale.shape == () for scale in scales)
    assert len({scale.item() for scale in scales}) == 4


@pytest.mark.parametrize("score", ["cosine", "additive", "location", "general"])
def test_a_head_has_its_own_score(score):
    """Changing the parameters of head 1's score changes the weights of head 1 alone."""
    model, keys = build(score, heads=4), vectors(2, 5, WIDTH)
    before = model.read(keys, model.prepare(keys), None)[1]
    with torch.no_grad():
        for parameter in model.attention[1].parameters():
            parameter.add_(1)
            parameter.mul_(torch.linspace(1, 2, parameter.numel()).view(parameter.shape))
    after = model.read(keys, model.prepare(keys), None)[1]
    unchanged = [torch.equal(before[:, h], after[:, h]) for h in range(4)]
    assert unchanged == [True, False, True, True]


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_keys_prepared_one_by_one_are_those_prepared_at_once(score, rotary):
    model, states = build(score, rotary=rotary), vectors(2, S, WIDTH)
    whole = model.prepare(states)
    grown = model.prepare(states[:, :2])
    for i in range(2, S):
        grown = grown.followed_by(model.prepare(states[:, i : i + 1], i))
    torch.testing.assert_close(grown, whole, **EXACT)
    everything = model.read(states, whole, None)
    last = model.read(states[:, -1:], grown, None, start=S - 1)
    torch.testing.assert_close(last[0], everything[0][:, -1:], **EXACT)
    torch.testing.assert_close(last[1], everything[1][:, :, -1:], **EXACT)


def test_keys_may_be_wider_than_values():
    """Additive's hidden layer is as wide as the user says."""
    model, states = build("additive", hidden=7), vectors(2, S, WIDTH)
    source = model.prepare(states)
    assert source.keys.shape == (2, HEADS, S, 7)
    assert source.values.shape == (2, HEADS, S, WIDTH // HEADS)
    _, weights = model.read(states, source, CAUSAL)
    for b in range(2):
        x = states[b].numpy()
        _, expected = multihead(arrays(model), "additive", x, x, HEADS, [range(t + 1) for t in range(S)])
        np.testing.assert_allclose(weights[b].detach(), expected, **EXACT)


@pytest.mark.parametrize("score", SCORES)
def test_a_row_without_any_position_reads_nothing(score):
    """Zero weights, a zero context and finite gradients."""
    model, states = build(score), vectors(2, S, WIDTH).requires_grad_()
    mask = torch.tensor([True, False])[:, None, None].expand(2, 1, S)
    context, weights = model.read(states, model.prepare(states), mask)
    assert (weights[1] == 0).all()
    assert (context[1] == 0).all()
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(HEADS, S, dtype=torch.float64), **EXACT)
    (context.sum() + weights.square().sum()).backward()
    assert states.grad is not None
    assert states.grad.isfinite().all()
    without = {"key_proj.weight"} if score == "location" else set()  # which does not look at keys
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in without)
        assert parameter.grad is None or parameter.grad.isfinite().all()


@pytest.mark.parametrize("told", ["", "rotary", "alibi"])
@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_the_numerical_ones(score, told):
    """Of queries, keys and every parameter, the last query and the first key masked away from each other."""
    model = build(score, width=4, rotary=told == "rotary")
    query, keys = vectors(1, 2, 4).requires_grad_(), vectors(1, 3, 4, seed=2).requires_grad_()
    mask = torch.tensor([[True, True, False], [False, True, True]])
    bias = distance_bias(HEADS, 0, 2, 3, keys) if told == "alibi" else None

    def attend(query, keys, *_):
        return model.read(query, model.prepare(keys), mask, bias)

    assert torch.autograd.gradcheck(attend, (query, keys, *model.parameters()))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_has_the_papers_four_matrices_and_a_score_per_head(heads):
    """No biases; a head's score is of its share of the width."""
    inside = WIDTH // heads
    own = {
        "cosine": {"strength": ()},
        "additive": {"query_proj.weight": (inside,) * 2, "key_proj.weight": (inside,) * 2, "v.weight": (1, inside)},
        "location": {"proj.weight": (LONGEST, inside)},
        "general": {"key_proj.weight": (inside, inside)},
        "dot": {},
        "scaled_dot": {},
        "distance": {"scale": ()},
        "bilinear": {"query_proj.weight": (8, inside), "key_proj.weight": (8, inside)},
        "trilinear": {f"{part}_proj.weight": (1, inside) for part in ("query", "key", "product")},
    }
    for score in SCORES:
        found = {name: tuple(p.shape) for name, p in build(score, heads).named_parameters()}
        expected = {f"{name}_proj.weight": (WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
        for h in range(heads):
            expected |= {f"attention.{h}.attention.score.{name}": shape for name, shape in own[score].items()}
        assert found == expected


def test_a_head_has_its_own_buffers():
    """A user's score may have some."""

    @register("fixed_projection")
    class FixedProjection(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.randn(width, width))

        def forward(self, query, keys):
            return query @ self.matrix @ keys.mT

    model = randomised(MultiHead(8, 2, attention("fixed_projection")))
    states = torch.randn(2, 5, 8, dtype=torch.float64)
    _, weights = model.read(states, model.prepare(states), None)
    for h in range(2):
        rows = slice(4 * h, 4 * h + 4)
        query, keys = model.query_proj(states)[..., rows], model.key_proj(states)[..., rows]
        own = model.attention[h].attention.score.matrix
        torch.testing.assert_close(weights[:, h], (query @ own @ keys.mT).softmax(-1))
