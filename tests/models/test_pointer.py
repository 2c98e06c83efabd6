"""The pointer network against its equations written out as loops, and what follows from them."""

import math

import numpy as np
import pytest
import torch
from pointer_equations import EXACT, PAIRS, SHORT, VALID, Given, close, distributions, pointer, run, target_of
from rnn_equations import EMBEDDING, LONGEST, SCORES, VOCABULARY, WIDTH, batch
from torch.func import functional_call

from attnbench.attention import Attention
from attnbench.errors import AttnbenchError
from attnbench.registry import REGISTRIES
from attnbench.training.batches import Batch
from attnbench.training.stack import Replica, Stack

CPU = torch.device("cpu")
SCOPES, WORDS = ("global", "local-m", "local-p"), 3 + VOCABULARY
every_cell = pytest.mark.parametrize("kind", ["gru", "lstm"])
every_count = pytest.mark.parametrize("glimpses", [0, 1, 2])
every_pair = pytest.mark.parametrize(
    ("score", "scope", "options"), PAIRS, ids=[f"{s}-{scope}{'-short' if o else ''}" for s, scope, o in PAIRS]
)


@every_cell
@every_count
@every_pair
def test_the_model_is_its_equations(score, scope, options, glimpses, kind):
    """Each sentence by itself in the loops; all together and padded, in one pass and step by step, in the model."""
    model = pointer(score, scope, glimpses=glimpses, cell=kind, **options)
    source, lengths, previous = batch()
    previous[1, 3:] = torch.tensor([2, 0])  # so that every special word is fed somewhere
    found = model(source, lengths, previous)
    memory, state = model.encode(source, lengths)
    steps = []
    for index, word in enumerate(previous.unbind(1)):
        state, *step = model.step(memory, state, word, index)
        steps.append(step)
    for words, weights in ((found.logits, found.weights), [torch.stack(each, 1) for each in zip(*steps, strict=True)]):
        for b, length in enumerate(lengths.tolist()):
            expected, named = run(model, kind, score, scope, source[b, :length].tolist(), previous[b].tolist())
            close(weights[b, :, :length], expected)
            assert (weights[b, :, length:] == 0).all()
            close(words[b].exp(), named)
            there = named > 1e-200
            close(words[b][torch.as_tensor(there)], np.log(named[there]))


@every_count
@every_pair
def test_weights_are_a_distribution_over_the_sentence(score, scope, options, glimpses):
    """Of mass 1, under local-p of at most 1; nothing where location has no position of the window; none on padding."""
    model = pointer(score, scope, glimpses=glimpses, **options)
    source, lengths, previous = batch()
    output = model(source, lengths, previous)
    weights, mass = output.weights, output.weights.sum(-1)
    assert (weights >= 0).all()
    assert (weights.masked_select(~VALID[:, None]) == 0).all()
    if scope == "local-p":
        assert ((mass >= 0) & (mass < 1 + 1e-12)).all()
        assert ((mass[:, 1:] > 0.01) & (mass[:, 1:] < 0.99)).any()
    else:
        within_reach = torch.ones(4, 5, dtype=torch.bool)
        if options and scope == "local-m":
            within_reach[0, 4] = False  # its window begins at 3; those of the shorter sentences stay at their ends
        torch.testing.assert_close(mass, within_reach.double(), **EXACT)
    torch.testing.assert_close(distributions(output.logits).sum(-1), torch.ones(4, 5).double(), **EXACT)


@pytest.mark.parametrize("scope", SCOPES)
@every_count
def test_a_word_has_the_weight_of_all_its_positions(glimpses, scope):
    """EOS among them, but not the padding; a word that stands nowhere has none. As shares of the mass there is."""
    model = pointer("additive", scope, glimpses=glimpses)
    source, lengths, previous = batch()
    source[0] = torch.tensor([3, 5, 3, 3, 4, 5, 2])
    source[1, :4] = torch.tensor([6, 6, 6, 2])
    found = model(source, lengths, previous)
    words, mass = distributions(found.logits), found.weights.sum(-1)
    assert words.shape == (4, 5, WORDS)
    for b, length in enumerate(lengths.tolist()):
        for w in range(WORDS):
            places = [i for i in range(length) if source[b, i] == w]
            share = sum((found.weights[b, :, i] for i in places), torch.zeros(5).double()) / mass[b]
            torch.testing.assert_close(words[b, :, w], share, **EXACT)
            if not places:
                assert (words[b, :, w] < 1e-100).all()
    a, b = found.weights[0].detach(), words[0].detach()
    close(b[:, 3], ((a[:, 0] + a[:, 2] + a[:, 3]) / a.sum(-1)).numpy())
    close(b[:, 2], (a[:, 6] / a.sum(-1)).numpy())


def test_the_likeliest_word_has_the_most_weight_though_no_position_of_it_has():
    model = pointer()
    expected = torch.tensor([0.4, 0.3, 0.3, 1e-9], dtype=torch.float64)
    model.attention.scope = Given(expected.log())
    memory, state = model.encode(torch.tensor([[3, 4, 4, 2]]), None)
    _, words, weights = model.step(memory, state, torch.tensor([1]), 0)
    assert (int(weights.argmax()), int(words.argmax())) == (0, 4)
    assert distributions(words)[0, [3, 4]].tolist() == pytest.approx([0.4, 0.6], abs=1e-8)


def test_a_gold_word_with_hardly_any_weight_is_still_learned():
    """With a weight of 1e-30 in float32, as with any: the gradient by the logits is α less the gold position's 1."""
    model = pointer().float()
    logits = torch.tensor([0.0, -69.0, -1.0])
    scope = model.attention.scope = Given(logits)
    objective, _ = Replica(model)("loss", torch.tensor([[3, 4, 2]]), torch.tensor([[1]]), torch.tensor([[4]]))
    assert objective.item() == pytest.approx(69.31, abs=0.01)
    objective.backward()
    torch.testing.assert_close(scope.logits.grad, logits.softmax(-1) - torch.tensor([0.0, 1.0, 0.0]))


class Fixed(torch.nn.Module):
    """A score with these logits (S,), whatever is compared."""

    def __init__(self, logits: list[float], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits, dtype=dtype))

    def forward(self, query, keys):
        return self.logits.expand(*query.shape[:2], keys.shape[1])


@pytest.mark.parametrize("gap", [1, 80, 110, 1000, 30_000])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_gold_position_far_below_the_best_has_the_gradient_of_any_other(scope, gap):
    """Its weight underflows in float32: the loss and the gradient must come from the logits, not from the weights."""
    model = pointer("dot", scope).float()
    model.attention.scope.window = 3
    if scope == "local-p":
        torch.nn.init.zeros_(model.attention.scope.centre_v.weight)
    model.attention.score = score = Fixed([0.0, -gap - 2.0, -1.0, -gap])
    replica = Replica(model)
    source, previous, target = torch.tensor([[3, 4, 2, 4]]), torch.tensor([[1]]), torch.tensor([[4]])
    objective, _ = replica("loss", source, previous, target)
    objective.backward()
    # −log p of the word at positions 1 and 3: the gradient by the logits is α less the share of each of these.
    expected = torch.nn.Parameter(score.logits.detach().double())
    # p_t = 3σ(0) = 1.5 and σ = 1/2
    logits = expected if scope != "local-p" else expected - (torch.arange(4) - 1.5) ** 2 / (2 * 0.5**2)
    loss = logits.logsumexp(0) - logits[[1, 3]].logsumexp(0)
    loss.backward()
    assert objective.item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(score.logits.grad.double(), expected.grad, rtol=1e-4, atol=1e-5)
    assert score.logits.grad[[1, 3]].sum() < -0.5


@pytest.mark.parametrize("scope", SCOPES)
def test_the_gradient_of_the_loss_is_that_of_finite_differences(scope):
    """Where some weights underflow, a word occurs twice, and some positions are padding or outside the window."""
    model = pointer("additive", scope, glimpses=1)
    source, lengths, previous = batch()
    source[0, :6] = torch.tensor([3, 5, 3, 3, 4, 5])
    logits = 300 * torch.randn(LONGEST, generator=torch.Generator().manual_seed(0)).double()
    model.attention.score = Fixed(logits.tolist(), torch.float64)

    names = ["attention.score.logits", *(["attention.scope.centre_v.weight"] if scope == "local-p" else [])]

    def outputs(*given):
        return functional_call(model, dict(zip(names, given, strict=True)), (source, lengths, previous)).logits

    parameters = dict(model.named_parameters())
    assert torch.autograd.gradcheck(outputs, tuple(parameters[name] for name in names))


def test_a_gold_word_that_the_scope_excludes_has_a_finite_loss_and_no_gradient():
    model = pointer("dot", "local-m").float()
    model.attention.score = score = Fixed([0.0, 0.0, 0.0, 0.0])
    batch_of_one = torch.tensor([[3, 5, 4, 2]]), torch.tensor([[1]]), torch.tensor([[4]])
    objective, _ = Replica(model)("loss", *batch_of_one)  # position 2; the window is 0 and 1
    assert objective.item() == pytest.approx(-math.log(torch.finfo(torch.float32).tiny), abs=1e-3)
    objective.backward()
    assert score.logits.grad.isfinite().all()
    assert score.logits.grad.abs().max() < 1e-6


@every_cell
@every_count
@every_pair
def test_training_minimises_the_negative_log_weight_on_the_gold_word(score, scope, options, glimpses, kind):
    """−log Σ_{i: x_i = y_t} α_{t,i}, the mean over target words; a mass below 1 counts as the whole."""
    model = pointer(score, scope, glimpses=glimpses, cell=kind, **options).train()
    source = torch.tensor([[3, 6, 3, 3, 2], [4, 5, 7, 4, 2]])
    previous, target = target_of(source)
    objective, nats = Replica(model)("loss", source, previous, target)
    terms, covered = [], 0.0
    for b in range(2):
        alpha, _ = run(model, kind, score, scope, source[b].tolist(), previous[b].tolist())
        for t in range(4):
            if target[b, t] != 0:
                gold = sum(alpha[t, i] for i in range(5) if source[b, i] == target[b, t])
                terms.append(-math.log(gold / alpha[t].sum()) if gold else math.inf)
                covered += np.minimum(alpha[t], alpha[:t].sum(0)).sum()
    assert len(terms) == 7
    penalty = covered / 7 if score == "coverage" else 0.0
    if math.inf in terms:
        assert 50 < objective.item() < 1000
    else:
        close(objective, np.mean(terms) + penalty)
    torch.testing.assert_close(nats + penalty, objective.detach(), **EXACT)
    assert (penalty > 0.01) == (score == "coverage")
    assert not nats.requires_grad


@every_cell
@every_count
@pytest.mark.parametrize(
    ("score", "scope"), [*((score, "global") for score in SCORES), ("additive", "local-m"), ("general", "local-p")]
)
def test_gradients_are_those_of_finite_differences(score, scope, glimpses, kind):
    """Of the training loss, by every parameter."""
    model = pointer(score, scope, glimpses=glimpses, cell=kind, width=4, embedding=2).train()
    replica = Replica(model)
    source = torch.tensor([[3, 6, 3, 2], [4, 5, 7, 2]])
    previous, target = target_of(source)
    names = [name for name, _ in replica.named_parameters()]
    parameters = tuple(p.detach().clone().requires_grad_() for p in replica.parameters())

    def loss(*values):
        given = dict(zip(names, values, strict=True))
        return functional_call(replica, given, ("loss", source, previous, target))[0]

    assert torch.autograd.gradcheck(loss, parameters, fast_mode=True)
    for name, gradient in zip(names, torch.autograd.grad(loss(*parameters), parameters), strict=True):
        assert (gradient != 0).any(), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_count
@pytest.mark.parametrize(
    ("score", "scope", "options"),
    [("dot", "global", {}), ("dot", "local-m", {}), ("dot", "local-p", {})]
    + [("location", scope, SHORT) for scope in SCOPES],
)
def test_gold_words_without_weight_leave_the_gradients_finite(score, scope, options, glimpses, dtype):
    """Outside the window, beyond location's positions, nowhere in the source; the other words are still learned."""
    model = pointer(score, scope, glimpses=glimpses, **options).to(dtype).train()
    source = torch.tensor([[3, 4, 5, 3, 4, 5, 2], [3, 4, 5, 3, 4, 5, 2]])
    nowhere, last = 7, 2
    target = torch.tensor([[3, nowhere, 4, nowhere, 5, 5, nowhere], [last, 3, last, last, nowhere, 4, 3]])
    previous = torch.cat([torch.ones_like(target[:, :1]), target[:, :-1]], dim=1)
    objective, nats = Replica(model)("loss", source, previous, target)
    assert objective.isfinite()
    assert nats > 20  # a word that cannot be is dear
    objective.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert any((parameter.grad != 0).any() for name, parameter in model.named_parameters() if "encoder" in name)


@pytest.mark.parametrize("score", SCORES)
def test_every_glimpse_is_an_attention_of_its_own_over_the_encoders_states(score):
    model = pointer(score, glimpses=2)
    source, lengths, _ = batch()
    memory, _ = model.encode(source, lengths)
    states = model.encoder(source, model.embedding(torch.arange(model.vocabulary)), VALID)
    attentions: list[Attention] = [*model.glimpses, model.attention]
    assert len({id(each) for each in attentions}) == len(memory.sources) == 3
    for attention, found in zip(attentions, memory.sources, strict=True):
        torch.testing.assert_close(found.values, states, **EXACT)
        torch.testing.assert_close(found.keys, attention.prepare(states, states, lengths).keys, **EXACT)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        pairs = zip(attentions[one].parameters(), attentions[two].parameters(), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs if a.dim())  # cosine's strength always starts at 0
    assert not torch.equal(model.combine[0].weight, model.combine[1].weight)


@every_cell
@pytest.mark.parametrize("score", ["dot", "additive", "location"])
@every_count
def test_its_parameters_are_those_of_the_equations(glimpses, score, kind):
    """Embedding, encoder, s_{−1}, the recurrence, W_g per glimpse and the score's own per attention; no readout."""
    model = pointer(score, glimpses=glimpses, cell=kind)
    gates, d, e = {"gru": 3, "lstm": 4}[kind], WIDTH, EMBEDDING
    embedding = 3 * e + 13 * e + e
    encoder = 2 * gates * (d // 2) * (e + d // 2 + 2)
    decoder = d * d // 2 + gates * d * (e + d + 2)
    attention = {"dot": 0, "additive": 2 * d * d + d, "location": LONGEST * d}[score]
    expected = embedding + encoder + decoder + glimpses * (2 * d * d + attention) + attention
    assert sum(p.numel() for p in model.parameters()) == expected


@every_cell
@every_count
def test_the_word_pointed_at_is_what_the_next_step_sees(glimpses, kind):
    """Another word before step t changes that step and all after it, and none before."""
    model = pointer(glimpses=glimpses, cell=kind)
    source, lengths, previous = batch()
    weights = model(source, lengths, previous).weights[:2]  # of the sentences with several words
    for t in range(5):
        other = previous.clone()
        other[:, t] = 3 + (other[:, t] - 2) % VOCABULARY
        found = model(source, lengths, other).weights[:2]
        assert torch.equal(found[:, :t], weights[:, :t])
        assert (found != weights)[:, t:].any(-1).all()


@pytest.mark.parametrize("filler", [7, "nan"])
@pytest.mark.parametrize("glimpses", [0, 2])
@every_pair
def test_padding_is_inert_bit_for_bit(score, scope, options, glimpses, filler):
    """Whatever word stands there, and even when its vector is no number."""
    model = pointer(score, scope, glimpses=glimpses, **options)
    source, lengths, previous = batch()
    expected = model(source, lengths, previous)
    if filler == "nan":
        model.embedding.special.weight.data[0] = torch.nan
    else:
        source = torch.where(VALID, source, filler)
    found = model(source, lengths, previous)
    assert torch.equal(found.weights, expected.weights)
    assert torch.equal(found.logits, expected.logits)


@every_count
@pytest.mark.parametrize("score", SCORES)
def test_the_order_of_the_states_has_no_say_in_the_words(score, glimpses):
    """They are found by their content: the weights go with them. Only `location` and `gmm` know a place by number."""
    model = pointer(score, glimpses=glimpses)
    source, _, previous = batch()
    memory, state = model.encode(source[:1], None)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    sources = [each._replace(keys=each.keys[:, order], values=each.values[:, order]) for each in memory.sources]
    turned = memory._replace(sources=tuple(sources), words=memory.words[:, order])
    _, words, weights = model.step(memory, state, previous[:1, 0], 0)
    _, other, moved = model.step(turned, state, previous[:1, 0], 0)
    follows = torch.allclose(moved, weights[:, order], **EXACT) and torch.allclose(other, words, **EXACT)
    # At the first step, at which `location_conv` and `coverage` have no weights to look at.
    assert follows == (score not in ("location", "gmm"))


@every_cell
@pytest.mark.parametrize("glimpses", [0, 2])
@pytest.mark.parametrize(("score", "scope"), [("additive", "global"), ("dot", "local-m"), ("location", "local-p")])
def test_a_stack_is_its_replicas_and_gives_words_of_the_source(score, scope, glimpses, kind):
    models = [pointer(score, scope, glimpses=glimpses, cell=kind, seed=seed) for seed in (0, 1)]
    stack = Stack(lambda seed: pointer(score, scope, glimpses=glimpses, cell=kind, seed=seed), (0, 1), CPU)
    source, _, _ = batch()
    previous, target = target_of(source)
    shared = Batch(source, previous, target)
    each = [shared, Batch(source.flip(0), previous.flip(0), target.flip(0))]
    objectives, _ = stack.loss(Batch(*(torch.stack(parts) for parts in zip(*each, strict=True))))
    likelihood, weights = stack.forced(shared)
    greedy = stack.greedy(shared, 6)
    for k, (model, own) in enumerate(zip(models, each, strict=True)):
        replica = Replica(model)
        torch.testing.assert_close(objectives[k], replica("loss", *own)[0], **EXACT)
        found = replica("forced", *shared)
        torch.testing.assert_close((likelihood[k], weights[k]), found, **EXACT)
        assert torch.equal(greedy[k], replica("greedy", source, 6))
        for b in range(len(source)):
            assert set(greedy[k, b].tolist()) <= {0, *source[b].tolist()}


def test_its_options():
    entry = REGISTRIES["model"].entry("pointer")
    assert entry.resolve({}) == {"width": 64, "embedding": 32, "cell": "lstm", "glimpses": 0}
    for wrong in ({"width": 7}, {"glimpses": -1}, {"cell": "rnn"}, {"embedding": 0}):
        with pytest.raises(AttnbenchError):
            entry.resolve(wrong)
