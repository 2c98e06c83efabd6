"""The recurrent model against its equations written out, and what every registered model promises."""

import numpy as np
import pytest
import torch
from rnn_equations import LENGTHS, LONGEST, SCORES, WIDTH, batch, build, describe, run, variants
from systems import Silence
from torch import Tensor

VARIANTS = variants()
EXACT = {"rtol": 0, "atol": 1e-10}
REFERENCE = [(options, score) for options in VARIANTS for score in ("dot", "additive", "coverage")]
# Every way of attending that depends on the previous step, in both orders of query and RNN.
CARRYING = [
    *((score, scope) for score in ("location_conv", "coverage", "gmm") for scope in ("global", "local-m", "hard")),
    *((score, "monotonic") for score in ("additive", "location_conv", "coverage", "gmm")),
]


def log_probabilities(words: Tensor) -> Tensor:
    return words.log_softmax(-1)


@pytest.mark.parametrize(("options", "score"), REFERENCE, ids=lambda x: x if isinstance(x, str) else describe(x))
def test_the_model_is_its_equations(options, score):
    """Every sentence by itself and unpadded in the loops, all together and padded in the model."""
    model = build(score, "global", **options)
    source, lengths, previous = batch()
    found = model(source, lengths, previous)
    for b, length in enumerate(lengths.tolist()):
        words, weights = run(model, options, score, source[b, :length].tolist(), previous[b].tolist())
        np.testing.assert_allclose(found.logits[b].detach(), words, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.weights[b, :, :length].detach(), weights, rtol=0, atol=1e-10)
        assert (found.weights[b, :, length:] == 0).all()


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("feeding", [None, False, True])
@pytest.mark.parametrize(("score", "scope"), CARRYING)
def test_what_attention_carries_goes_from_step_to_step(score, scope, feeding, training):
    """As in the loops, in one pass and step by step; in training the scope monotonic without its noise."""
    # The state of `exact` moves on with the soft context.
    options = {"estimator": "exact"} if scope == "hard" and training else {"window": 1}
    order = {"query": "previous"} if feeding is None else {"query": "current", "input_feeding": feeding}
    model = build(score, scope, **order, **options).train(training)
    if scope == "monotonic":
        model.attention.scope.noise = Silence()
        model.attention.scope.offset.data.fill_(0.3)  # else hardly any position is stopped at
    source, lengths, previous = batch()
    found = model(source, lengths, previous)
    memory, state = model.encode(source, lengths)
    steps = []
    for index, word in enumerate(previous.unbind(1)):
        state, *step = model.step(memory, state, word, index)
        steps.append(step)
    words, weights = (torch.stack(each, 1) for each in zip(*steps, strict=True))
    torch.testing.assert_close(weights, found.weights, **EXACT)
    own = "global" if scope == "hard" and training else scope
    for b, length in enumerate(lengths.tolist()):
        sentence = source[b, :length].tolist(), previous[b].tolist()
        expected, rows = run(model, order, score, *sentence, scope=own, window=1, training=training)
        np.testing.assert_allclose(words[b].detach(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(weights[b, :, :length].detach(), rows, rtol=0, atol=1e-10)
        if own == scope:  # the logits of `exact` are those of the marginal likelihood
            np.testing.assert_allclose(found.logits[b].detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", VARIANTS, ids=describe)
def test_without_attention_the_context_is_the_final_encoder_state(options):
    model = build(None, "none", **options)
    source, lengths, previous = batch()
    found = model(source, lengths, previous)
    assert (found.weights == 0).all()
    for b, length in enumerate(lengths.tolist()):
        words, _ = run(model, options, None, source[b, :length].tolist(), previous[b].tolist())
        np.testing.assert_allclose(found.logits[b].detach(), words, rtol=0, atol=1e-10)


@pytest.mark.parametrize("query", ["previous", "current"])
def test_without_attention_the_decoder_has_the_same_parameters_but_the_scores(query):
    def parameters(score, scope):
        return {name: p.shape for name, p in build(score, scope, query=query).named_parameters()}

    with_score, without = parameters("additive", "global"), parameters("additive", "none")
    assert {name for name in with_score if name not in without} == {
        f"attention.score.{name}.weight" for name in ("query_proj", "key_proj", "v")
    }
    assert without == {name: shape for name, shape in with_score.items() if name in without}


def test_input_feeding_and_init_are_what_they_say_in_parameters():
    """Nothing is built that the equations of a choice do not have."""

    def names(**options):
        return {name.split(".")[0] for name, _ in build("dot", "global", **options).named_parameters()}

    always = {"source_embedding", "target_embedding", "encoder", "word_proj", "recurrent_proj", "readout"}
    assert names() == always | {"feed_proj", "init_proj"}
    assert names(init="zero") == always | {"feed_proj"}
    assert names(query="current") == always | {"combine", "init_proj"}
    assert names(query="current", input_feeding=True) == always | {"combine", "init_proj", "feed_proj"}
    assert build("dot", "global").readout.weight.shape[1] == 2 * WIDTH + 4
    assert build("dot", "global", query="current").readout.weight.shape[1] == WIDTH


@pytest.mark.parametrize("init", ["encoder", "zero"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_zero_closes_the_side_channel_past_attention(cell, init):
    """The state before the first step depends on the source with `encoder` alone, and then on ←h_0 alone."""
    model = build("dot", "global", init=init, cell=cell)
    source, lengths, _ = batch()
    _, (state, carried) = model.encode(source, lengths)
    assert carried == ()
    if init == "zero":
        assert (state == 0).all()
        return
    assert (state[:, :WIDTH] != 0).all()
    assert (state[:, WIDTH:] == 0).all()  # the LSTM's memory
    model.encoder.recurrent_weight.data[0] *= 3  # the forward direction
    assert torch.equal(model.encode(source, lengths)[1].cell, state)


@pytest.mark.parametrize("scope", ["global", "local-m", "local-p", "hard", "none"])
@pytest.mark.parametrize("query", ["previous", "current"])
def test_reverse_source_is_reading_a_source_reversed_by_hand(query, scope):
    """EOS stays last; the weights come back in the order of the words as they stood. With lengths and without."""
    score = None if scope == "none" else "additive"
    model = build(score, scope, query=query)
    turning = build(score, scope, query=query, reverse_source=True)
    turning.load_state_dict(model.state_dict())
    source, lengths, previous = batch()
    by_hand, order = source.clone(), torch.arange(LONGEST).repeat(len(source), 1)
    for b, length in enumerate(lengths.tolist()):
        order[b, : length - 1] = torch.arange(length - 1).flip(0)
        by_hand[b] = source[b, order[b]]
        assert by_hand[b, length - 1] == 2
    for rows, given in ((slice(None), lengths), (slice(1), None)):  # the first sentence fills all positions
        expected, found = model(by_hand[rows], given, previous[rows]), turning(source[rows], given, previous[rows])
        torch.testing.assert_close(found.logits, expected.logits, **EXACT)
        for name in ("weights", "attention_logits"):
            turned_back = torch.stack([getattr(expected, name)[b][:, order[b]] for b in range(len(found.logits))])
            torch.testing.assert_close(getattr(found, name), turned_back, **EXACT)


EXACT_SCOPE = {"estimator": "exact"}


@pytest.mark.parametrize("reverse_source", [False, True])
@pytest.mark.parametrize("query", ["previous", "current"])
@pytest.mark.parametrize("score", ["additive", "dot", "location_conv"])
@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax", "entmax", "ssmax"])
def test_exact_is_the_likelihood_summed_over_positions(normaliser, score, query, reverse_source):
    """log Σ_i α_i p(y | s, h_i), one position at a time: a decoder that is fed h_i for c_t says p(y | s, h_i)."""
    options = {"query": query, "reverse_source": reverse_source, "normaliser": normaliser}
    model = build(score, "hard", **options, **EXACT_SCOPE).train()
    if normaliser in ("sparsemax", "entmax"):
        model.attention.score = _Scaled(model.attention.score)
    soft = build(score, "global", **options).train()  # its states move on with the expected context
    soft.load_state_dict(model.state_dict(), strict=False)
    soft.attention.score = model.attention.score
    source, lengths, previous = batch()
    found, expected = model(source, lengths, previous), soft(source, lengths, previous)
    torch.testing.assert_close(found.weights, expected.weights, **EXACT)
    valid = (torch.arange(LONGEST) < lengths[:, None])[:, None]
    assert bool((found.weights == 0).masked_select(valid).any()) is (normaliser in ("sparsemax", "entmax"))
    for b, length in enumerate(lengths.tolist()):
        alone, words = source[b : b + 1, :length], previous[b : b + 1]
        for t, p in enumerate(_enumerated(soft, alone, words, found.weights[b, :, :length])):
            torch.testing.assert_close(log_probabilities(found.logits[b, t]), p.log(), **EXACT)


def _enumerated(model, source: Tensor, previous: Tensor, alpha: Tensor) -> list[Tensor]:
    """Σ_i α_{t,i} p(y_t | s_t, h_i) at every step, (V,) each."""
    memory, state = model.encode(source, None)
    values = memory.source.values[0]
    if memory.order is not None:
        values = values[memory.order[0]]  # as the words stood, like alpha
    found = []
    for t, y in enumerate(previous[0]):
        embedded = model.target_embedding(y)
        state, _, _ = model.step(memory, state, y[None], t)
        total = torch.zeros(8, dtype=torch.float64)
        for i, h in enumerate(values):
            s = state.cell[0]
            if model.query == "previous":
                read = torch.cat([s, h, embedded])
            else:
                read = torch.tanh(model.combine.weight @ torch.cat([h, s]))
            total = total + alpha[t, i] * (model.readout.weight @ read + model.readout.bias).softmax(-1)
        found.append(total)
    return found


@pytest.mark.parametrize("padded", [False, True])
def test_exact_has_finite_gradients_even_where_a_weight_vanishes(padded):
    model = build("dot", "hard", **EXACT_SCOPE).train()
    with torch.no_grad():
        model.encoder.recurrent_weight.mul_(40)
        model.encoder.input_proj.weight.mul_(40)
        model.init_proj.weight.mul_(400)
        model.attention.score = _Sharp()
    source, lengths, previous = batch()
    given = lengths if padded else None
    output = model(source, given, previous)
    assert (output.weights == 0).any()
    target = torch.full_like(previous, 4)
    likelihood = log_probabilities(output.logits).gather(-1, target[..., None]).squeeze(-1)
    model.objective(output, likelihood, given, torch.ones_like(target, dtype=torch.bool)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_exact_learns_from_a_position_whose_weight_underflows():
    """In float32, a position 110 below the best, where alone the word is likely: p(y) = Σ_i α_i p(y | i)."""
    model = build("dot", "hard", **EXACT_SCOPE).float().train()
    values = torch.zeros(1, 3, WIDTH)
    values[0, [0, 2], 0] = values[0, 1, 1] = 1
    model.encoder, model.attention.score = _Constant(values), _Constant(torch.tensor([[[0.0, -110.0, -1.0]]]))
    with torch.no_grad():
        for parameter in model.readout.parameters():
            parameter.zero_()
        # Given the first or the last position, word 6 has the logit 400; given the second, word 5 has the logit 200.
        model.readout.weight[6, WIDTH], model.readout.weight[5, WIDTH + 1] = 400, 200
    output = model(torch.tensor([[3, 4, 2]]), None, torch.tensor([[1]]))
    found = -log_probabilities(output.logits)[0, 0, 5]
    found.backward()
    expected = torch.nn.Parameter(torch.tensor([0.0, -110.0, -1.0]).double())
    words = (values[0] @ model.readout.weight[:, WIDTH : 2 * WIDTH].T).detach().double()
    loss = -(expected.log_softmax(0) + words.log_softmax(-1)[:, 5]).logsumexp(0)
    loss.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    gradient = model.attention.score.value.grad[0, 0].double()
    torch.testing.assert_close(gradient, expected.grad, rtol=1e-4, atol=1e-5)
    assert gradient[1] < -0.9


def test_exact_has_no_nan_for_a_source_without_valid_positions():
    model = build("dot", "hard", **EXACT_SCOPE).train()
    memory = model.attention.prepare(
        torch.ones(2, 3, WIDTH).double(), torch.ones(2, 3, WIDTH).double(), torch.tensor([0, 2])
    )
    logits = torch.zeros(2, 1, 3).double().requires_grad_()
    found = model._marginal(torch.ones(1, 2, WIDTH).double(), logits, memory, torch.ones(1, 2, 4).double())
    assert found.isfinite().all()
    found.log_softmax(-1)[..., 4].sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[0] == 0).all()


class _Constant(torch.nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(value)

    def forward(self, *_) -> Tensor:
        return self.value


class _Scaled(torch.nn.Module):
    """The logits of a score times 8, so that a sparse normaliser leaves positions out."""

    def __init__(self, score: torch.nn.Module) -> None:
        super().__init__()
        self.score = score
        for name in ("start", "update"):
            if hasattr(score, name):
                setattr(self, name, getattr(score, name))

    def prepare(self, keys: Tensor) -> Tensor:
        return self.score.prepare(keys)

    def compare(self, query: Tensor, prepared: Tensor, *state: Tensor):
        found = self.score.compare(query, prepared, *state)
        return (8 * found[0], found[1]) if state else 8 * found


class _Sharp(torch.nn.Module):
    """Logits so far apart that some weights are exactly 0."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return 1e4 * (query @ keys.mT)


@pytest.mark.parametrize("scope", ["global", "local-p", "hard"])
def test_the_loss_of_coverage_is_part_of_the_objective(scope):
    """Of training, and not of the loss that tables show: Σ_i min(α_i, c_i), the mean over target words."""
    model = build("coverage", scope, **EXACT_SCOPE).train()
    source, lengths, previous = batch()
    output = model(source, lengths, previous)
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 1])[:, None]
    likelihood = -torch.rand(4, 5, generator=torch.Generator().manual_seed(1)).double()
    expected = -(likelihood * mask).sum().item()
    for b in range(4):
        covered = np.zeros(LONGEST)
        for t in range(5):
            row = output.weights[b, t].detach().numpy()
            expected += float(mask[b, t]) * np.minimum(row, covered).sum()
            covered = covered + row
    found = model.objective(output, likelihood, lengths, mask)
    assert found.item() == pytest.approx(expected / 11, abs=1e-12)
    (slope,) = torch.autograd.grad(found, model.attention.score.coverage_proj.weight)
    assert (slope != 0).any()


@pytest.mark.parametrize("score", [score for score in SCORES if score != "coverage"])
@pytest.mark.parametrize("scope", ["global", "local-p"])
def test_objective_is_the_mean_negative_log_likelihood_over_words(score, scope):
    model = build(score, scope).train()
    source, lengths, previous = batch()
    output = model(source, lengths, previous)
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 1])[:, None]
    likelihood = -torch.rand(4, 5, generator=torch.Generator().manual_seed(1)).double()
    likelihood[~mask] = -1e6
    expected = -sum(float(likelihood[b, t]) for b, t in mask.nonzero().tolist()) / 11
    assert model.objective(output, likelihood, LENGTHS, mask).item() == pytest.approx(expected, abs=1e-12)
