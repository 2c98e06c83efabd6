"""The LSTMN against the equations of Cheng, Dong & Lapata 2016 written out as loops, and what follows from them."""

import numpy as np
import pytest
import torch
from lstmn_equations import FUSIONS, SCORE_SHAPES, composed, decode, lstmn, paper, run, shapes
from rnn_equations import LENGTHS, LONGEST, SCORES, WIDTH, batch
from torch import Tensor
from torch.func import functional_call

from attnbench.attention import Attention
from attnbench.models.recurrent_cells import lstm_step
from attnbench.registry import REGISTRIES
from attnbench.training.batches import Batch
from attnbench.training.stack import Stack

CPU = torch.device("cpu")
STEPS = 5
EXACT = {"rtol": 0, "atol": 1e-10}
every_fusion = pytest.mark.parametrize("fusion", FUSIONS)
every_score = pytest.mark.parametrize("score", SCORES)
# Tapes of at most 3 entries have their weights, and longer ones have positions that location knows nothing of.
SYSTEMS = [(score, LONGEST, composed(score)) for score in SCORE_SHAPES]
SYSTEMS += [("location", 3, composed("location")), ("additive", LONGEST, paper)]
NAMES = [*SCORE_SHAPES, "location-short", "paper"]


def close(found: Tensor, expected) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-10)


@every_fusion
@pytest.mark.parametrize(("score", "longest", "compare"), SYSTEMS, ids=NAMES)
def test_every_step_is_its_equations(score, longest, compare, fusion):
    """All sentences together and padded, in one pass and step by step, and each by itself and unpadded."""
    model = lstmn(score, fusion, longest)
    source, lengths, previous = batch()
    whole = model(source, lengths, previous)
    memory, trace = decode(model, source, lengths, previous)
    for b, length in enumerate(lengths.tolist()):
        expected = run(model, score, fusion, source[b, :length].tolist(), previous[b].tolist(), compare)
        close(memory.values[b, :length], expected.source)
        for t, (state, words, weights) in enumerate(trace):
            close(state.attended_hidden[b], expected.reads[t])
            close(state.attended_source[b], expected.attended_source[t])
            close(state.tapes.values[b], expected.tapes[: t + 2])
            close(words[b], expected.logits[t])
            close(weights[b, :length], expected.weights[t])
        close(whole.logits[b], expected.logits)
        close(whole.weights[b, :, :length], expected.weights)
        assert (whole.weights[b, :, length:] == 0).all()
        alone = model(source[b : b + 1, :length], None, previous[b : b + 1])
        close(alone.logits[0], expected.logits)
        close(alone.weights[0], expected.weights)


@every_score
def test_the_encoder_begins_with_no_past(score):
    """h̃_0 and c̃_0 are 0: the first tape entry is an LSTM's first step, whatever the attention's weights."""
    model = lstmn(score, "shallow")
    source, lengths, _ = batch()
    tapes, own = model.encode(source, lengths)[0].values, model.encoder
    first = tapes[:, 0]
    inputs = own.input_proj(model.source_embedding(source[:, 0]))
    expected = lstm_step(inputs, own.recurrent_proj.bias.expand_as(inputs), torch.zeros_like(first))
    torch.testing.assert_close(first, expected, **EXACT)
    with torch.no_grad():
        own.query_proj.weight.mul_(3)
        own.recurrent_proj.weight.mul_(3)
    again = model.encode(source, lengths)[0].values
    assert torch.equal(again[:, 0], first)
    assert (again[0, 1:] != tapes[0, 1:]).any(-1).all()


@every_fusion
@every_score
def test_the_decoders_tapes_begin_with_the_encoders_last_entry(score, fusion):
    """Of each sentence its own last, not that of its padding; nothing else is carried over."""
    model = lstmn(score, fusion)
    source, lengths, _ = batch()
    memory, state = model.encode(source, lengths)
    last = torch.stack([memory.values[b, length - 1] for b, length in enumerate(lengths.tolist())])
    torch.testing.assert_close(state.tapes.values, last[:, None], **EXACT)
    keys = model.decoder.attention.prepare(last[:, None, :WIDTH], last[:, None], None).keys
    torch.testing.assert_close(state.tapes.keys, keys, **EXACT)
    assert state.tapes.lengths.tolist() == [1] * len(source)
    assert (state.attended_hidden == 0).all()
    assert (state.attended_source == 0).all()
    _, unpadded = model.encode(source[:1], None)
    torch.testing.assert_close(unpadded.tapes.values, state.tapes.values[:1], **EXACT)


@every_fusion
@every_score
def test_a_step_never_sees_what_comes_later(score, fusion):
    """Neither in the encoder nor in the decoder; what came before, it does see."""
    model = lstmn(score, fusion)
    source, _, previous = batch()
    tapes = model.encode(source[:1], None)[0].values
    words, weights = model(source[:1], None, previous[:1])[:2]
    for t in range(1, LONGEST):
        other = source[:1].clone()
        other[:, t] = 3 + (other[:, t] - 2) % 5
        changed = (model.encode(other, None)[0].values != tapes)[0].any(-1)
        assert not changed[:t].any()
        assert changed[t:].all()
    for t in range(STEPS):
        other = previous[:1].clone()
        other[:, t] = 3 + (other[:, t] - 2) % 5
        found = model(source[:1], None, other)
        assert torch.equal(found.logits[:, :t], words[:, :t])
        assert torch.equal(found.weights[:, :t], weights[:, :t])
        assert (found.logits != words)[0, t:].any(-1).all()


def test_a_step_reads_the_entries_before_it_and_no_other(monkeypatch):
    """The number of entries of every tape that is read, in order: the encoder's, then the decoder's and the source."""
    found: list[int] = []
    own = Attention.read

    def read(self, query, source, **options):
        found.append(source.values.shape[1])
        return own(self, query, source, **options)

    monkeypatch.setattr(Attention, "read", read)
    source, _, previous = batch()
    lstmn("dot", "deep")(source, None, previous)
    assert found == [1, 2, 3, 4, 5, 6, 1, LONGEST, 2, LONGEST, 3, LONGEST, 4, LONGEST, 5, LONGEST]


@pytest.mark.parametrize("filler", [3, 7, "nan"])
@every_fusion
@every_score
def test_padding_is_inert_bit_for_bit(score, fusion, filler):
    """Whatever word stands there, and even when its embedding is no number."""
    model = lstmn(score, fusion)
    source, lengths, previous = batch()
    expected = model(source, lengths, previous)
    if filler == "nan":
        model.source_embedding.weight.data[0] = torch.nan  # of the padding's id alone
    else:
        source = torch.where(torch.arange(LONGEST) < LENGTHS[:, None], source, filler)
    found = model(source, lengths, previous)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.weights, expected.weights)


@every_fusion
@every_score
def test_gradients_are_those_of_finite_differences(score, fusion):
    """Of every parameter, after a padded batch of two sentences; and every parameter has one."""
    model = lstmn(score, fusion, width=3, embedding=2)
    source, lengths = torch.tensor([[4, 5, 3, 2], [6, 2, 0, 0]]), torch.tensor([4, 2])
    previous = torch.tensor([[1, 7, 3], [1, 4, 4]])
    names = [name for name, _ in model.named_parameters()]
    parameters = tuple(p.detach().clone().requires_grad_() for p in model.parameters())

    def outputs(*values):
        output = functional_call(model, dict(zip(names, values, strict=True)), (source, lengths, previous))
        return output.logits, output.weights

    assert torch.autograd.gradcheck(outputs, parameters, fast_mode=True)
    words, weights = outputs(*parameters)
    numbers = torch.linspace(-1, 1, words.numel()).double()
    total = (words.flatten() * numbers).sum() + (weights.flatten() * numbers[: weights.numel()]).sum()
    gradients = dict(zip(names, torch.autograd.grad(total, parameters), strict=True))
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name
        assert (gradient != 0).any(), name
    shown = {"source_embedding": {2, 3, 4, 5, 6}, "target_embedding": {1, 3, 4, 7}}
    for name, rows in shown.items():  # none for the padding's
        assert set(gradients[f"{name}.weight"].any(-1).nonzero().flatten().tolist()) == rows


@every_score
def test_without_fusion_the_source_reaches_the_decoder_by_the_tapes_first_entry_alone(score):
    model = lstmn(score, "none")
    assert not model.aligns
    source, lengths, previous = batch()
    expected = model(source, lengths, previous)
    assert expected.weights.shape == (4, STEPS, LONGEST)
    assert (expected.weights == 0).all()
    memory, state = model.encode(source, lengths)
    unread = memory._replace(keys=memory.keys * torch.nan, values=memory.values * torch.nan)
    turned = torch.tensor([1, 2, 3, 0])
    other = state._replace(tapes=state.tapes._replace(keys=state.tapes.keys[turned], values=state.tapes.values[turned]))
    swapped = model(source[turned], lengths[turned], previous)  # sentence b + 1 before the words of sentence b
    for index, word in enumerate(previous.unbind(1)):
        state, words, weights = model.step(unread, state, word, index)
        assert torch.equal(words, expected.logits[:, index])
        assert (weights == 0).all()
        other, words, _ = model.step(unread, other, word, index)
        torch.testing.assert_close(words, swapped.logits[:, index], **EXACT)
    assert not torch.isclose(swapped.logits, expected.logits).any(-1).all(-1).any()


@pytest.mark.parametrize("fusion", ["shallow", "deep"])
def test_with_fusion_the_source_is_read_and_aligned(fusion):
    """The weights are a distribution over the sentence, and all its states have a say."""
    model = lstmn("additive", fusion)
    assert model.aligns
    source, lengths, previous = batch()
    weights = model(source, lengths, previous).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, STEPS).double(), **EXACT)
    memory, state = model.encode(source, lengths)
    values = memory.values.detach().requires_grad_()
    _, words, _ = model.step(memory._replace(values=values), state, previous[:, 0], 0)
    (gradient,) = torch.autograd.grad(words.square().sum(), values)
    valid = torch.arange(LONGEST) < lengths[:, None]
    assert (gradient.any(-1) == valid).all()
    assert gradient[..., WIDTH:].any() == (fusion == "deep")  # shallow reads the states, deep the cells besides


# By hand: embeddings 2·8·4, two cells of 60 + 96 + 24 + 144 + 24, the readout 8·6 + 8; fusion 72, or 60 + 60 + 6.
TOTALS = {"none": 816, "shallow": 816 + 72, "deep": 816 + 126}
SCORE_TOTALS = {"additive": 78, "cosine": 1, "dot": 0, "general": 36, "location": 42, "scaled_dot": 0}
SCORE_TOTALS |= {"distance": 1, "bilinear": 96, "trilinear": 18, "location_conv": 72 + 40 + 54 + 6, "coverage": 84}
SCORE_TOTALS["gmm"] = 42 + 105


@every_fusion
@pytest.mark.parametrize("score", SCORE_TOTALS)
def test_its_parameters_are_those_of_the_equations(score, fusion):
    model = lstmn(score, fusion)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == shapes(score, fusion)
    count = TOTALS[fusion] + SCORE_TOTALS[score] * (2 if fusion == "none" else 3)
    assert sum(p.numel() for p in model.parameters()) == count


def test_shallow_fusion_is_what_is_built_unless_set():
    assert REGISTRIES["model"].entry("lstmn").resolve({}) == {"width": 64, "embedding": 32, "fusion": "shallow"}


@every_fusion
@every_score
def test_a_stack_is_its_replicas(score, fusion):
    models = [lstmn(score, fusion, seed=seed) for seed in (0, 1)]
    stack = Stack(lambda seed: lstmn(score, fusion, seed=seed), (0, 1), CPU)
    source, _, previous = batch()
    target = previous.roll(-1, 1)
    each = [Batch(source, previous, target), Batch(source.flip(0), previous.roll(1, 0), target.roll(1, 0))]
    objectives, _ = stack.loss(Batch(*(torch.stack(parts) for parts in zip(*each, strict=True))))
    _, weights = stack.forced(each[0])
    words = stack.greedy(each[0], STEPS)
    for k, (model, own) in enumerate(zip(models, each, strict=True)):
        output = model(own.source, None, own.previous)
        expected = -output.logits.log_softmax(-1).gather(-1, own.target.unsqueeze(-1)).mean()
        if score == "coverage" and fusion != "none":  # the loss of the cross-attention, of which every word counts
            earlier = output.weights.cumsum(1) - output.weights
            expected = expected + torch.minimum(output.weights, earlier).sum(-1).mean()
        torch.testing.assert_close(objectives[k], expected, **EXACT)
        torch.testing.assert_close(weights[k], model(source, None, previous).weights, **EXACT)
        assert torch.equal(words[k, :, 0], model(source, None, previous).logits[:, 0].argmax(-1))


@pytest.mark.parametrize("shape", [(), (3, 2)])
def test_more_is_added_to_the_memory_behind_the_forget_gate(shape):
    """c = f ⊙ c_{t−1} + i ⊙ g + more, and h from that c; without it the step is as it was."""
    random = torch.Generator().manual_seed(0)

    def draw(size):
        return torch.randn(*shape, size, generator=random, dtype=torch.float64)

    inputs, recurrent, state, more = draw(20), draw(20), draw(10), draw(5)
    z = (inputs + recurrent).numpy()
    input_gate, forget_gate, output_gate = (1 / (1 + np.exp(-z[..., 5 * k : 5 * k + 5])) for k in (0, 1, 3))
    plain = forget_gate * state.numpy()[..., 5:] + input_gate * np.tanh(z[..., 10:15])
    for extra, memory in ((None, plain), (more, plain + more.numpy()), (torch.zeros_like(more), plain)):
        found = lstm_step(inputs, recurrent, state, extra)
        close(found, np.concatenate([output_gate * np.tanh(memory), memory], -1))


@pytest.mark.parametrize("scope", ["self", "global", "local-m", "local-p"])
@every_score
def test_extending_a_source_is_preparing_all_of_it_at_once(score, scope):
    """Whatever the portions, with their count, the other scopes' windows included."""
    torch.manual_seed(0)
    options = {"window": 1} if scope.startswith("local") else {}
    attention = Attention(score, scope, width=WIDTH, max_source_length=4, **options).double()
    random = torch.Generator().manual_seed(1)
    keys, query = (torch.randn(3, n, WIDTH, generator=random).double() for n in (6, 2))
    values = torch.randn(3, 6, 2 * WIDTH, generator=random).double()  # wider than the keys, as tapes are
    whole = attention.prepare(keys, values, None)
    for portions in ([6], [1] * 6, [2, 1, 3]):
        source, start = None, 0
        for end in np.cumsum(portions).tolist():
            earlier, source = source, attention.extend(source, keys[:, start:end], values[:, start:end])
            assert source.lengths.tolist() == [end] * 3
            assert earlier is None or earlier.lengths.tolist() == [start] * 3  # what was there before stays
            start = end
        assert source.mask is None
        torch.testing.assert_close(source.keys, whole.keys, rtol=0, atol=1e-12)
        assert torch.equal(source.values, whole.values)
        assert torch.equal(source.lengths, whole.lengths)
        first = 0 if attention.stateful else 1
        found, expected = attention.read(query, source, first), attention.read(query, whole, first)
        torch.testing.assert_close(found.context, expected.context, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-12)


def test_a_padded_source_cannot_be_extended():
    """What comes after padding would have no place of its own."""
    attention = Attention("dot", "self", width=WIDTH)
    keys = torch.ones(2, 3, WIDTH)
    with pytest.raises(AssertionError):
        attention.extend(attention.prepare(keys, keys, torch.tensor([3, 2])), keys, keys)
