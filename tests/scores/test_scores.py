"""Every score equals its equation, has the parameters of the table and no others, and differentiates."""

import math

import numpy as np
import pytest
import torch
from carried_forms import CARRYING
from closed_forms import score_logits
from systems import LONGEST, SCORES, WIDTH, inputs, numpy_state

import attnbench
from attnbench import registry
from attnbench.scores import hidden_layer

# score, its own options, and the names and shapes of its state_dict as semantics.md §2 has them
TABLE = [
    ("cosine", {}, {"strength": ()}),
    ("cosine", {"strength": 1.0}, {}),
    ("cosine", {"strength": 2.5}, {}),
    ("additive", {}, {"query_proj.weight": (6, 6), "key_proj.weight": (6, 6), "v.weight": (1, 6)}),
    ("additive", {"hidden": 3}, {"query_proj.weight": (3, 6), "key_proj.weight": (3, 6), "v.weight": (1, 3)}),
    ("location", {}, {"proj.weight": (7, 6)}),
    ("general", {}, {"key_proj.weight": (6, 6)}),
    ("dot", {}, {}),
    ("scaled_dot", {}, {}),
    ("distance", {}, {"scale": ()}),
    ("bilinear", {}, {"query_proj.weight": (8, 6), "key_proj.weight": (8, 6)}),
    ("bilinear", {"rank": 2}, {"query_proj.weight": (2, 6), "key_proj.weight": (2, 6)}),
    ("trilinear", {}, {f"{part}_proj.weight": (1, 6) for part in ("query", "key", "product")}),
]


def built(name, longest=LONGEST, **options):
    """A score in float64 with random parameters: those that start at 0 would hide a missing one."""
    torch.manual_seed(3)
    score = attnbench.build_score(name, width=WIDTH, max_source_length=longest, **options).double()
    with torch.no_grad():
        for parameter in score.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return score


@pytest.mark.parametrize(("name", "options", "shapes"), TABLE)
def test_state_dict_is_the_tables(name, options, shapes):
    assert {k: tuple(v.shape) for k, v in built(name, **options).state_dict().items()} == shapes


@pytest.mark.parametrize(("name", "options", "_shapes"), TABLE)
def test_equals_the_equation(name, options, _shapes):
    score = built(name, **options)
    query, keys, _ = inputs()
    found = score(query, keys).detach().numpy()
    expected = score_logits(name, numpy_state(score), query.numpy(), keys.numpy(), options.get("strength"))
    assert found.shape == (3, 5, 7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("queries", "rows"), [(5, 1), (5, 2), (1, 1)])
def test_additive_on_long_sources_equals_the_equation_and_differentiates(monkeypatch, queries, rows):
    """Where the hidden layer is not kept: in chunks of so many queries, alone and stacked."""
    query, keys, _ = inputs()
    query = query[:, :queries]
    monkeypatch.setattr(hidden_layer, "KEPT", 0)
    monkeypatch.setattr(hidden_layer, "AT_ONCE", rows * query[..., 0, :].numel() * keys.shape[1])
    score = built("additive", hidden=4)
    expected = score_logits("additive", numpy_state(score), query.numpy(), keys.numpy())
    np.testing.assert_allclose(score(query, keys).detach().numpy(), expected, rtol=0, atol=1e-10)
    leaves = [query.requires_grad_(), keys.requires_grad_(), *score.parameters()]
    torch.autograd.gradcheck(lambda query, keys, *_: score(query, keys), leaves)
    chunked = torch.autograd.grad(score(query, keys).sin().sum(), leaves)
    stacked = torch.func.vmap(score)(torch.stack([query, 2 * query]), torch.stack([keys, keys]))
    torch.testing.assert_close(stacked[1], score(2 * query, keys), rtol=0, atol=1e-12)
    monkeypatch.undo()
    whole = torch.autograd.grad(score(query, keys).sin().sum(), leaves)
    for a, b in zip(chunked, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_additive_in_half_precision_is_no_worse_than_its_tanh(monkeypatch, dtype, autocast, chunked):
    """With v of one sign, the terms of 2σ(2x) − 1 are all rounded before the large Σv is subtracted again."""
    if chunked:
        monkeypatch.setattr(hidden_layer, "KEPT", 0)
        monkeypatch.setattr(hidden_layer, "AT_ONCE", 3 * 256 * 20)
    torch.manual_seed(0)
    score = attnbench.build_score("additive", width=256)
    score.v.weight.data.uniform_(0, 0.3)
    query, keys = torch.randn(2, 8, 256), torch.randn(2, 20, 256)
    if not autocast:
        score, query, keys = score.to(dtype), query.to(dtype), keys.to(dtype)
    with torch.autocast("cpu", dtype, enabled=autocast):
        queries, prepared, found = score.query_proj(query), score.key_proj(keys), score(query, keys)
    assert queries.dtype == dtype
    hidden = (queries.double().unsqueeze(2) + prepared.double().unsqueeze(1)).tanh()
    expected = hidden @ score.v.weight[0].double()
    assert 2 < expected.abs().max() < 8
    assert (found.double() - expected).abs().max() < 0.02
    # The gradient, against float64: autocast has other dtypes in the backward pass than in the forward pass.
    found.float().sum().backward()
    assert score.v.weight.grad.dtype == score.v.weight.dtype
    torch.testing.assert_close(score.v.weight.grad[0].double(), hidden.sum((0, 1, 2)), rtol=0.02, atol=1)


@pytest.mark.parametrize("stacked", [False, True])
def test_additive_on_long_sources_has_second_derivatives(monkeypatch, stacked):
    monkeypatch.setattr(hidden_layer, "KEPT", 0)
    monkeypatch.setattr(hidden_layer, "AT_ONCE", 1)
    score = built("additive", hidden=3)
    query, keys, _ = inputs(steps=2)
    leaves = [x.detach().requires_grad_() for x in (query[:2], keys[:2, :3], *score.parameters())]
    names = [name for name, _ in score.named_parameters()]

    def logits(query, keys, *parameters):
        given = dict(zip(names, parameters, strict=True))
        if not stacked:
            return torch.func.functional_call(score, given, (query, keys))
        pairs = torch.stack([query, query.flip(1)]), torch.stack([keys, 2 * keys])
        return torch.func.vmap(lambda *pair: torch.func.functional_call(score, given, pair))(*pairs)

    assert torch.autograd.gradgradcheck(logits, leaves)


def test_additive_on_long_sources_computes_no_more_than_a_chunk_at_a_time(monkeypatch):
    """Also of one query of several replicas: larger chunks fragment the memory of a training (see `_ChunkedSum`)."""
    monkeypatch.setattr(hidden_layer, "KEPT", 0)
    monkeypatch.setattr(hidden_layer, "AT_ONCE", 64)
    sizes = []
    original = hidden_layer._hidden_layer
    monkeypatch.setattr(hidden_layer, "_hidden_layer", lambda *parts: _noted(sizes, original(*parts)))
    score = attnbench.build_score("additive", width=4)
    query, keys = torch.randn(3, 2, 1, 4), torch.randn(3, 2, 50, 4)
    torch.func.vmap(score)(query.requires_grad_(), keys).sum().backward()
    assert max(sizes) <= 64
    assert sum(sizes) == 2 * 3 * 2 * 50 * 4, "forward and backward"


def _noted(sizes, tensor):
    sizes.append(tensor.numel())
    return tensor


def test_every_score_is_in_a_table():
    """The others carry something from step to step: tests/scores/test_carrying_scores.py."""
    assert {name for name, _, _ in TABLE} | set(CARRYING) == set(SCORES)


def test_distance_starts_with_the_factor_of_scaled_dot_and_is_zero_at_the_query():
    for width in (4, 64, 512):
        score = attnbench.build_score("distance", width=width).double()
        query = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(0)).double()
        found, products = score(query, query), query @ query.mT / math.sqrt(width)
        torch.testing.assert_close(found.diagonal(dim1=1, dim2=2), torch.zeros(2, 3).double(), rtol=0, atol=1e-12)
        squares = (query * query).sum(-1) / (2 * math.sqrt(width))
        torch.testing.assert_close(found, products - squares.unsqueeze(1) - squares.unsqueeze(2), rtol=1e-6, atol=1e-6)


def test_bilinear_of_full_rank_is_general_and_of_low_rank_is_not():
    query, keys, _ = inputs()
    for rank in (1, 3, 6, 8):
        score = built("bilinear", rank=rank)
        matrix = score.query_proj.weight.T @ score.key_proj.weight
        assert torch.linalg.matrix_rank(matrix) == min(rank, WIDTH)
        general = built("general")
        with torch.no_grad():
            general.key_proj.weight.copy_(matrix)
        torch.testing.assert_close(score(query, keys), general(query, keys), rtol=0, atol=1e-12)
    with pytest.raises(attnbench.AttnbenchError, match="rank"):
        built("bilinear", rank=0)


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("location_conv", "gmm")])
def test_no_biases(name):
    """Only `location_conv` and `gmm` have some. Without them the logits of a zero query and zero keys are 0."""
    assert not any("bias" in key for key in built(name).state_dict())
    assert torch.equal(built(name)(torch.zeros(1, 2, WIDTH).double(), torch.zeros(1, 3, WIDTH).double()).abs(),
                       torch.zeros(1, 2, 3).double())  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_prepare_then_compare_is_forward(name):
    """Step by step against keys prepared once gives what one call gives."""
    score = built(name)
    if not hasattr(score, "prepare"):
        pytest.skip("this score has no half that depends on the keys alone")
    query, keys, _ = inputs()
    prepared = score.prepare(keys)
    if name in CARRYING:  # as every query were at the first step
        steps = [score.compare(each, prepared, score.start(prepared))[0] for each in query.split(1, 1)]
    else:
        steps = [score.compare(query[:, t : t + 1], prepared) for t in range(query.shape[1])]
    torch.testing.assert_close(torch.cat(steps, 1), score(query, keys), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_gradcheck(name):
    score = built(name)
    names, parameters = zip(*score.named_parameters(), strict=True) if list(score.parameters()) else ((), ())
    query, keys, _ = inputs(steps=2)

    def logits(query, keys, *parameters):
        return torch.func.functional_call(score, dict(zip(names, parameters, strict=True)), (query, keys))

    leaves = [x.detach().requires_grad_() for x in (query[:2, :, :], keys[:2, :4], *parameters)]
    assert torch.autograd.gradcheck(logits, leaves)


@pytest.mark.parametrize("longest", [1, 3, 7, 12])
def test_location_with_sources_shorter_and_longer_than_its_matrix(longest):
    score = built("location", longest=longest)
    query, keys, _ = inputs()
    found = score(query, keys).detach().numpy()
    np.testing.assert_allclose(
        found, score_logits("location", numpy_state(score), query.numpy(), keys.numpy()), rtol=0, atol=1e-10
    )
    assert np.isneginf(found[..., longest:]).all()
    assert np.isfinite(found[..., :longest]).all()


def test_location_does_not_look_at_the_keys():
    score = built("location")
    query, keys, _ = inputs()
    assert torch.equal(score(query, keys), score(query, keys * torch.nan))


def test_cosine_of_a_zero_vector_is_zero_with_a_finite_gradient():
    score = built("cosine")
    query, keys, _ = inputs()
    query[0, 1], keys[1, 2] = 0, 0
    query.requires_grad_()
    keys.requires_grad_()
    logits = score(query, keys)
    assert (logits[0, 1] == 0).all()
    assert (logits[1, :, 2] == 0).all()
    (logits * torch.randn(logits.shape)).sum().backward()
    for leaf in (query, keys, score.strength):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


def test_cosine_is_capped_by_its_strength():
    """The learned β never falls below 1, and the raw cosine of the article is β = 1."""
    score = built("cosine")
    vectors = torch.eye(WIDTH, dtype=torch.float64)[None] * 7
    for strength in (-50.0, 0.0, 3.0):
        torch.nn.init.constant_(score.strength, strength)
        expected = math.log1p(math.exp(strength)) + 1
        assert score(vectors, vectors).diagonal(dim1=1, dim2=2).tolist()[0] == pytest.approx([expected] * WIDTH)
    assert built("cosine", strength=1.0)(vectors, vectors).amax().item() == pytest.approx(1)


def test_scaled_dot_keeps_the_variance_of_wide_vectors_at_one():
    score = attnbench.build_score("scaled_dot", width=256)
    torch.manual_seed(0)
    logits = score(torch.randn(1, 300, 256), torch.randn(1, 300, 256))
    assert logits.var().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", SCORES)
def test_docstring_has_the_formula_and_its_source(name):
    doc = registry.score.entry(name).doc
    assert "Formula: " in doc
    assert "Source: " in doc
