"""Words embedded by their value, against the formula as a loop, and what that means for symbols never trained."""

import numpy as np
import pytest
import torch
from pointer_equations import EXACT, embed
from rnn_equations import batch, build, cell

from attnbench.attention import Attention
from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.models.pointer import Pointer
from attnbench.models.values import ValueEmbedding
from attnbench.tasks.build import build_task
from attnbench.training.build import build_model

WIDTH = 8


def embedding(symbols: int, seed: int = 0, width: int = WIDTH) -> ValueEmbedding:
    torch.manual_seed(seed)
    return ValueEmbedding(3 + symbols, width).double()


def gradients(built: ValueEmbedding, words: list[int]) -> dict[str, torch.Tensor]:
    """Of the sum of the squared vectors of these words."""
    built.zero_grad()
    built(torch.tensor(words)).square().sum().backward()
    return {name: parameter.grad for name, parameter in built.named_parameters()}


@pytest.mark.parametrize("symbols", [1, 2, 5, 20, 1000])
def test_every_word_is_its_formula(symbols):
    """In a tensor of any shape; on the way the values go from above 0 to below 1."""
    built = embedding(symbols)
    state = {name: value.detach().numpy() for name, value in built.state_dict().items()}
    words = torch.arange(3 + symbols)[torch.randperm(3 + symbols, generator=torch.Generator().manual_seed(1))]
    expected = np.stack([embed(state, word, symbols, "") for word in words.tolist()])
    np.testing.assert_allclose(built(words).detach(), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(built(words.view(-1, 1, 1)).detach(), expected[:, None, None], rtol=0, atol=1e-10)
    np.testing.assert_allclose(built(words[0]).detach(), expected[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("special", [0, 1, 2])
def test_special_words_come_from_the_table_alone(special):
    """Their vectors are its rows, their gradient reaches no other row and nothing that symbols share."""
    built = embedding(20)
    assert torch.equal(built(torch.tensor(special)), built.special.weight[special])
    found = gradients(built, [special, special])
    assert (found["special.weight"] != 0).any(-1).tolist() == [row == special for row in range(3)]
    assert not found["proj.weight"].any()
    assert not found["proj.bias"].any()


def test_no_gradient_of_a_symbol_reaches_the_table():
    """Above all not the last row, that of </s>, next to which the symbols begin."""
    found = gradients(embedding(20), [3, 4, 12, 22])
    assert not found["special.weight"].any()
    assert found["proj.weight"].all()
    assert found["proj.bias"].all()


def test_a_broken_table_leaves_the_symbols_whole():
    built = embedding(20)
    built.special.weight.data[:] = torch.nan
    assert built(torch.arange(3, 23)).isfinite().all()


def test_no_parameter_belongs_to_a_symbol():
    """As many for 5 symbols as for 1000, and each of them has a say in every symbol's vector."""
    shapes = {n: [(name, tuple(p.shape)) for name, p in embedding(n).named_parameters()] for n in (1, 5, 1000)}
    assert shapes[1] == shapes[5] == shapes[1000]
    assert shapes[5] == [("special.weight", (3, WIDTH)), ("proj.weight", (WIDTH, 13)), ("proj.bias", (WIDTH,))]
    built = embedding(16)
    for symbol in range(3, 19):
        found = gradients(built, [symbol])
        assert found["proj.weight"].all()
        assert found["proj.bias"].all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("symbols", [20, 50])
def test_neighbours_are_near_and_others_far(symbols, seed):
    """A symbol's vector is nearer to its neighbours' than to any from a fifth of the vocabulary on."""
    built = embedding(symbols, seed, width=32)
    vectors = built(torch.arange(3, 3 + symbols))
    distances = torch.cdist(vectors, vectors)
    apart = (torch.arange(symbols)[:, None] - torch.arange(symbols)).abs()
    for n in range(symbols):
        nearby, far = distances[n][apart[n] == 1], distances[n][apart[n] >= symbols // 5]
        assert (nearby > 0).all()
        assert nearby.max() < far.min()


@pytest.mark.parametrize("seed", range(5))
def test_a_symbol_lies_between_its_neighbours(seed):
    """Nearer to the middle of the two than they are to each other, and than to the middle of any other two."""
    vectors = embedding(30, seed, width=32)(torch.arange(3, 33))
    middles = (vectors[:-2] + vectors[2:]) / 2
    for n in range(1, 29):
        distances = (vectors[n] - middles).norm(dim=-1)
        assert int(distances.argmin()) == n - 1
        assert distances[n - 1] < (vectors[n - 1] - vectors[n + 1]).norm() / 4


def test_values_are_the_places_in_the_vocabulary():
    """Whatever its size: symbol n of V and symbol 3n − 1 of 3V stand at the same place, so have the same vector."""
    small, large = embedding(5), embedding(15)
    numbers = torch.arange(1, 6)
    torch.testing.assert_close(small(numbers + 2), large(3 * numbers - 1 + 2), rtol=0, atol=1e-12)


def test_what_is_learned_about_two_symbols_holds_for_the_one_between():
    """Gradient descent on the neighbours of an unseen symbol brings it, too, to what they aim at."""
    built = embedding(20)
    aim = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)).double()
    unseen, neighbours = torch.tensor(12), torch.tensor([11, 13])
    before = (built(unseen) - aim).norm()
    for _ in range(100):
        built.zero_grad()
        (built(neighbours) - aim).square().sum().backward()
        with torch.no_grad():
            for parameter in built.parameters():
                parameter -= 0.02 * parameter.grad
    assert (built(neighbours) - aim).norm() < before / 100
    assert (built(unseen) - aim).norm() < before / 5


@pytest.mark.parametrize("scope", ["global", "local-m", "local-p"])
def test_a_pointer_network_points_at_symbols_it_has_no_weights_for(scope):
    """The same weights in a vocabulary three times as large: symbol n is called 3n − 1, and nothing else changes."""
    small = build("additive", scope, "pointer", window=1, glimpses=1)
    described = cell("additive", scope, "pointer", window=1, glimpses=1)
    described = described.model_copy(update={"data": Data(vocabulary=15)})
    large = build_model(described, build_task(described.task, described.data), 7, 0).double().eval()
    large.load_state_dict(small.state_dict())
    source, lengths, previous = batch()
    names = torch.tensor([0, 1, 2, *(3 * n - 1 + 2 for n in range(1, 6))])
    one, other = small(source, lengths, previous), large(names[source], lengths, names[previous])
    torch.testing.assert_close(other.weights, one.weights, **EXACT)
    words = other.logits.softmax(-1)
    assert words.shape[-1] == 18
    torch.testing.assert_close(words[..., names], one.logits.softmax(-1), **EXACT)
    torch.testing.assert_close(words[..., names].sum(-1), torch.ones(4, 5).double(), **EXACT)


def test_different_vocabularies_are_reported():
    described = cell(model="pointer").model_copy(update={"task": Component(name="translate"), "data": Data()})
    task = build_task(described.task, described.data)
    with pytest.raises(AttnbenchError) as caught:
        build_model(described, task, 7, 0)
    (problem,) = caught.value.problems
    assert "pointer" in problem.what
    assert problem.hint


def test_different_words_of_the_same_number_are_reported():
    with pytest.raises(AttnbenchError, match="source and target vocabularies of this task differ"):
        Pointer(list("abcdef"), list("abcdeg"), lambda width: Attention("dot", width=width), 6, 4)
