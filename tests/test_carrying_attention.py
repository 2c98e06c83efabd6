"""Attention that carries something from step to step, with a user's own parts; and a normaliser of a user's own."""

import pytest
import torch
from systems import WIDTH, inputs

import attnbench
from attnbench import AttnbenchError, registry
from attnbench.scores.base import StatefulScore
from attnbench.scores.coverage import Coverage

LENGTHS = torch.tensor([7, 4, 1])


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))


class Plain(torch.nn.Module):
    """Dot products minus what has been attended to so far; a plain module."""

    def start(self, keys):
        return keys.new_zeros(keys.shape[:2])

    def forward(self, query, keys, state):
        return query @ keys.mT - state.unsqueeze(-2), state

    def update(self, state, weights):
        return state + weights.squeeze(-2)


class InHalves(StatefulScore):
    """The same, with prepared keys and a state that is a tuple."""

    def prepare(self, keys):
        return 2 * keys

    def start(self, prepared):
        return prepared.new_zeros(prepared.shape[:2]), prepared.new_zeros(len(prepared), dtype=torch.long)

    def compare(self, query, prepared, state):
        return query @ prepared.mT / 2 - state[0].unsqueeze(-2), state

    def update(self, state, weights):
        return state[0] + weights.squeeze(-2), state[1] + 1


class Whole(Coverage):
    """Overrides `forward` of a score of attnbench's own."""

    def forward(self, query, keys, state):
        return query @ keys.mT - state.unsqueeze(-2), state


def by_hand(query, keys, lengths):
    """Weights (B,T,S): the softmax of sᵀh minus the sum of the earlier weights."""
    rows = []
    covered = torch.zeros(keys.shape[:2]).double()
    mask = torch.arange(keys.shape[1]) < lengths[:, None]
    for each in query.unbind(1):
        logits = torch.einsum("bd,bsd->bs", each, keys) - covered
        rows.append(logits.masked_fill(~mask, -torch.inf).softmax(-1))
        covered = covered + rows[-1]
    return torch.stack(rows, 1)


@pytest.mark.parametrize("kind", [Plain, InHalves, Whole])
def test_a_score_of_ones_own_carries_what_it_likes(kind):
    attnbench.score("mine")(kind)
    attend = attnbench.Attention("mine", "global", width=WIDTH).double()
    assert attend.stateful
    query, keys, values = inputs()
    expected = by_hand(query, keys, LENGTHS)
    found = attend(query, keys, values, LENGTHS)
    torch.testing.assert_close(found.weights, expected, rtol=0, atol=1e-12)
    source = attend.prepare(keys, values, LENGTHS)
    state = attend.start(source)
    for t in range(5):
        read = attend.read(query[:, t : t + 1], source, t, state=state)
        state = read.state
        torch.testing.assert_close(read.weights, expected[:, t : t + 1], rtol=0, atol=1e-12)
    if kind is InHalves:
        assert state[0][1].tolist() == [5, 5, 5]


def test_a_score_without_update_changes_its_state_when_it_compares():
    @attnbench.score("clock")
    class Clock(torch.nn.Module):
        def start(self, keys):
            return keys.new_zeros(len(keys))

        def forward(self, query, keys, state):
            del query
            here = torch.arange(keys.shape[1]) == state[:, None]
            return 100 * here.to(keys.dtype).unsqueeze(1), state + 1

    query, keys, values = inputs()
    found = attnbench.Attention("clock", "global", width=WIDTH)(query, keys, values).weights
    assert found.argmax(-1).tolist() == [[0, 1, 2, 3, 4]] * 3


def test_a_scope_of_ones_own_carries_something_beside_the_score():
    """The scope excludes the positions that it has taken before; the score is one that carries something too."""

    @attnbench.scope("taken_once")
    class TakenOnce(torch.nn.Module):
        def __init__(self, normaliser):
            super().__init__()
            self.normaliser = normaliser

        def start(self, values):
            return torch.zeros(values.shape[:2], dtype=torch.bool)

        def forward(self, logits, mask, query, lengths, step, taken):
            del query, lengths, step
            free = ~taken.unsqueeze(-2) if mask is None else mask & ~taken.unsqueeze(-2)
            weights = self.normaliser(logits, free)
            best = torch.nn.functional.one_hot(weights.argmax(-1).squeeze(-1), weights.shape[-1]).bool()
            return weights, taken | (best & (weights.squeeze(-2) > 0))

    attend = attnbench.Attention("location_conv", "taken_once", "sparsemax", width=WIDTH).double()
    query, keys, values = inputs()
    found = attend(query, keys, values, LENGTHS)
    of_score, taken = found.state
    assert taken.sum(-1).tolist() == [5, 4, 1]
    assert torch.equal(of_score, found.weights[:, -1])
    assert (found.weights[2, 1:] == 0).all()
    best = found.weights[0].argmax(-1).tolist()
    assert len(set(best)) == 5


def test_a_normaliser_of_ones_own():
    @attnbench.normaliser("squared")
    class Squared(torch.nn.Module):
        def __init__(self, power: float = 2.0, max_source_length: int = 0):
            super().__init__()
            self.power, self.longest = power, max_source_length

        def forward(self, logits, mask):
            raised = logits.abs() ** self.power
            raised = raised if mask is None else raised.masked_fill(~mask, 0)
            return raised / raised.sum(-1, keepdim=True)

    sizes = {"width": WIDTH, "max_source_length": 9}
    built = attnbench.build_normaliser("squared", max_source_length=9)
    assert (built.power, built.longest) == (2.0, 9)
    assert built(torch.tensor([[[1.0, -2.0, 5.0]]]), torch.tensor([True, True, False])).tolist() == [
        [[pytest.approx(0.2), pytest.approx(0.8), 0]]
    ]
    attend = attnbench.Attention("dot", "local-p", {"name": "squared", "power": 1.0}, **sizes)
    assert attend.normaliser.power == 1.0
    assert attnbench.Attention("dot", normaliser="squared", power=3.0, **sizes).normaliser.power == 3.0
    query, keys, values = (x.float() for x in inputs())
    weights = attnbench.Attention("dot", normaliser="squared", **sizes)(query, keys, values, LENGTHS).weights
    expected = (query @ keys.mT) ** 2 * (torch.arange(7) < LENGTHS[:, None])[:, None]
    torch.testing.assert_close(weights, expected / expected.sum(-1, keepdim=True))


def test_a_normaliser_is_reported_where_none_is_used_and_options_go_to_it():
    with pytest.raises(AttnbenchError, match="scope 'none' uses no normaliser"):
        attnbench.Attention(None, "none", "softmax", width=4)
    with pytest.raises(AttnbenchError, match="unknown normaliser 'sparsemx'"):
        attnbench.Attention("dot", normaliser="sparsemx", width=4)
    attend = attnbench.Attention("dot", normaliser="entmax", width=4, alpha=1.3)
    assert attend.normaliser.alpha == 1.3
    assert attend.normaliser is attend.scope.normaliser
    assert type(attnbench.Attention("dot", width=4).normaliser).__name__ == "Softmax"
    assert attnbench.Attention(None, "none", width=4).normaliser is None


def test_a_bias_is_added_at_every_step():
    attend = attnbench.Attention("coverage", "global", width=WIDTH).double()
    query, keys, values = inputs()
    source = attend.prepare(keys, values, LENGTHS)
    bias = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    found = attend.read(query, source, bias=bias)
    state = None
    for t in range(5):
        read = attend.read(query[:, t : t + 1], source, t, bias=bias[:, t : t + 1], state=state)
        state = read.state
        torch.testing.assert_close(read.weights, found.weights[:, t : t + 1], rtol=0, atol=1e-12)
    same = attend.read(query, source, bias=bias[:, :1])
    torch.testing.assert_close(same.weights[:, :1], found.weights[:, :1], rtol=0, atol=1e-12)
    assert not torch.isclose(same.weights[:, 1:], found.weights[:, 1:])[0].all()
