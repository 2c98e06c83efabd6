"""GRU, LSTM and the bidirectional encoder against torch's own."""

import pytest
import torch
from torch import nn

from attnbench.models.recurrent_cells import KINDS, Encoder, gru_step, lstm_step, project_words

TORCH_CELLS = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}
TORCH_ENCODERS = {"gru": nn.GRU, "lstm": nn.LSTM}
EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = torch.tensor([7, 4, 1, 6])


def randomised(module):
    """Weights large enough that the gates leave their linear range."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double()


def encoder_pair(cell: str, embedding=3, units=4):
    """An encoder, and torch's RNN with its weights."""
    ours = randomised(Encoder(embedding, 2 * units, cell))
    theirs = TORCH_ENCODERS[cell](embedding, units, bidirectional=True, batch_first=True).double()
    weights, biases = ours.input_proj.weight.chunk(2), ours.input_proj.bias.chunk(2)
    with torch.no_grad():
        for direction, suffix in enumerate(("", "_reverse")):
            getattr(theirs, f"weight_ih_l0{suffix}").copy_(weights[direction])
            getattr(theirs, f"bias_ih_l0{suffix}").copy_(biases[direction])
            getattr(theirs, f"weight_hh_l0{suffix}").copy_(ours.recurrent_weight[direction].T)
            getattr(theirs, f"bias_hh_l0{suffix}").copy_(ours.recurrent_bias[direction, 0])
    return ours, theirs


def words(seed=0):
    embedded = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(seed)).double()
    return embedded, torch.arange(7) < LENGTHS[:, None]


def read(encoder, embedded, mask, unused=0):
    """The states of words given by their vectors; `unused` words more stand in the vocabulary, and are no numbers."""
    vectors = embedded.flatten(0, 1)
    ids = torch.arange(len(vectors)).view(embedded.shape[:2])
    return encoder(ids, torch.cat([vectors, torch.full((unused, vectors.shape[1]), torch.nan).double()]), mask)


@pytest.mark.parametrize("name", KINDS)
def test_a_step_is_that_of_torch_with_the_same_weights(name):
    theirs = randomised(TORCH_CELLS[name](3, 5))
    kind = KINDS[name]
    random = torch.Generator().manual_seed(0)
    state = torch.randn(4, 5 * kind.parts, generator=random).double()
    expected = state.chunk(kind.parts, dim=-1)
    for _ in range(3):  # what a step gives is what the next one takes
        x = torch.randn(4, 3, generator=random).double()
        inputs = x @ theirs.weight_ih.T + theirs.bias_ih
        recurrent = kind.output(state) @ theirs.weight_hh.T + theirs.bias_hh
        state = kind.step(inputs, recurrent, state)
        found = theirs(x, expected[0] if name == "gru" else expected)
        expected = (found,) if name == "gru" else found
        torch.testing.assert_close(state, torch.cat(expected, -1), **EXACT)
        torch.testing.assert_close(kind.output(state), expected[0], **EXACT)


def test_the_table_of_cells_holds_the_two_steps():
    assert {name: (kind.step, kind.gates, kind.parts) for name, kind in KINDS.items()} == {
        "gru": (gru_step, 3, 1),
        "lstm": (lstm_step, 4, 2),
    }


@pytest.mark.parametrize("unused", [0, 1])
@pytest.mark.parametrize("name", KINDS)
def test_the_encoder_is_torchs_over_packed_sequences(name, unused):
    """Whether the vocabulary is projected, or the words, which are then fewer."""
    ours, theirs = encoder_pair(name)
    embedded, mask = words()
    packed = nn.utils.rnn.pack_padded_sequence(embedded, LENGTHS, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(read(ours, embedded, mask, unused), expected, **EXACT)


@pytest.mark.parametrize("name", KINDS)
def test_the_encoder_without_a_mask_reads_every_position(name):
    ours, theirs = encoder_pair(name)
    embedded, _ = words()
    torch.testing.assert_close(read(ours, embedded, None), theirs(embedded)[0], **EXACT)
    torch.testing.assert_close(read(ours, embedded, torch.ones(4, 7, dtype=torch.bool)), theirs(embedded)[0], **EXACT)


@pytest.mark.parametrize("name", KINDS)
def test_backward_starts_at_each_sentences_own_last_position(name):
    """At the last word ←h is one step from zero: that of a sentence of this word alone."""
    ours, _ = encoder_pair(name)
    embedded, mask = words()
    states = read(ours, embedded, mask)
    for b, length in enumerate(LENGTHS.tolist()):
        alone = read(ours, embedded[b : b + 1, length - 1 : length], None)
        torch.testing.assert_close(states[b, length - 1, 4:], alone[0, 0, 4:], **EXACT)


@pytest.mark.parametrize("name", KINDS)
def test_padding_is_inert_bit_for_bit_and_zero(name):
    ours, _ = encoder_pair(name)
    embedded, mask = words()
    other = torch.where(mask[..., None], embedded, words(seed=1)[0] * 100)
    states = read(ours, embedded, mask)
    assert torch.equal(states, read(ours, other, mask))
    assert (states[~mask] == 0).all()
    assert (states[mask] != 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_masked_is_truncated(name):
    ours, _ = encoder_pair(name)
    embedded, mask = words()
    states = read(ours, embedded, mask)
    for b, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(states[b : b + 1, :length], read(ours, embedded[b : b + 1, :length], None), **EXACT)


@pytest.mark.parametrize("name", KINDS)
def test_padding_has_no_gradient(name):
    ours, _ = encoder_pair(name)
    embedded, mask = words()
    embedded.requires_grad_()
    read(ours, embedded, mask).square().sum().backward()
    assert embedded.grad is not None
    assert (embedded.grad[~mask] == 0).all()
    assert (embedded.grad[mask] != 0).any(-1).all()


@pytest.mark.parametrize("vocabulary", [3, 50])
def test_words_are_projected_alike_whether_they_or_the_vocabulary_are_fewer(vocabulary):
    projection = randomised(nn.Linear(4, 6))
    vectors = torch.randn(vocabulary, 4, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[0, 2, 2], [1, 0, 2]])
    found, expected = project_words(ids, vectors, projection), projection(vectors[ids])
    torch.testing.assert_close(found, expected, **EXACT)
    leaves = [vectors, projection.weight, projection.bias]
    of_found, of_expected = (torch.autograd.grad(each.sin().sum(), leaves) for each in (found, expected))
    for a, b in zip(of_found, of_expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
