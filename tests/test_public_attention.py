"""What users type: build_score, Attention, a score of their own; and what they are told when it is wrong."""

import pytest
import torch

import attnbench
from attnbench import AttnbenchError, registry
from attnbench.scores.base import Score
from attnbench.scores.general import General


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))


def test_build_score_as_the_contract_has_it():
    score = attnbench.build_score("general", width=64, max_source_length=50)
    assert isinstance(score, torch.nn.Module)
    assert score(torch.randn(2, 3, 64), torch.randn(2, 5, 64)).shape == (2, 3, 5)


def test_attention_as_the_contract_has_it():
    attend = attnbench.Attention(score="general", scope="local-p", width=64, max_source_length=50, window=10)
    query, keys, values = torch.randn(2, 3, 64), torch.randn(2, 5, 64), torch.randn(2, 5, 64)
    out = attend(query, keys, values, torch.tensor([5, 2]), step=0)
    assert out.context.shape == (2, 3, 64)
    assert out.weights.shape == (2, 3, 5)
    assert {k: tuple(v.shape) for k, v in attend.state_dict().items()} == {
        "score.key_proj.weight": (64, 64), "scope.centre_proj.weight": (64, 64), "scope.centre_v.weight": (1, 64),
    }  # fmt: skip
    assert set(attend.score.state_dict()) == {"key_proj.weight"}
    assert set(attend.scope.state_dict()) == {"centre_proj.weight", "centre_v.weight"}


def test_options_of_score_and_scope_go_where_they_belong():
    attend = attnbench.Attention("additive", "local-m", width=4, hidden=3, window=2)
    assert attend.score.v.weight.shape == (1, 3)
    assert attend.scope.window == 2
    attend = attnbench.Attention({"name": "additive", "hidden": 5}, {"name": "local-p", "window": 3}, width=4)
    assert attend.score.v.weight.shape == (1, 5)
    assert (attend.scope.window, attend.scope.deviation) == (3, 1.5)


def test_defaults_are_those_of_the_semantics():
    assert attnbench.Attention("dot", "local-m", width=4).scope.window == 10
    assert attnbench.Attention("dot", "local-p", width=4).scope.deviation == 5
    hard = attnbench.Attention("dot", "hard", width=4).scope
    assert (hard.estimator, hard.reinforce_weight, hard.entropy_weight) == ("reinforce", 1.0, 0.002)


def test_a_strength_may_be_written_as_a_whole_number():
    vectors = torch.eye(3)[None]
    assert attnbench.build_score("cosine", width=3, strength=2)(vectors, vectors)[0, 0].tolist() == [2, 0, 0]


def test_max_source_length_can_be_set_as_an_option():
    score = attnbench.build_score({"name": "location", "max_source_length": 3}, width=4, max_source_length=9)
    assert score.proj.weight.shape == (3, 4)


def test_none_needs_no_score_and_keeps_none():
    for score in (None, "additive"):
        attend = attnbench.Attention(score, "none", width=4)
        assert attend.score is None
        assert not attend.state_dict()


def test_a_score_of_ones_own():
    @attnbench.score("my_score")
    class MyScore(torch.nn.Module):
        def __init__(self, width, max_source_length, temperature=1.0):
            super().__init__()
            self.given = (width, max_source_length, temperature)

        def forward(self, query, keys):
            return query @ keys.mT / self.given[2]

    mine = attnbench.build_score({"name": "my_score", "temperature": 2.0}, width=4, max_source_length=9)
    assert mine.given == (4, 9, 2.0)
    assert attnbench.build_score("my_score", 4, 9, temperature=3.0).given == (4, 9, 3.0)
    query, keys = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    found = attnbench.Attention({"name": "my_score", "temperature": 2.0}, width=4, max_source_length=9)(
        query, keys, keys
    )
    torch.testing.assert_close(found.weights, (query @ keys.mT / 2).softmax(-1))


class Negative(Score):
    """Overrides `forward` alone."""

    def forward(self, query, keys):
        return -(query @ keys.mT)


class NegativeGeneral(General):
    """Overrides `forward` of a score that has both halves."""

    def forward(self, query, keys):
        return -super().forward(query, keys)


class Doubled(Negative):
    """Overrides one half, of a class that overrides `forward`: `forward` does not call it."""

    def prepare(self, keys):
        return 2 * keys


class Halves(Negative):
    """Overrides `compare` again."""

    def compare(self, query, prepared):
        return 3 * super().compare(query, prepared)


@pytest.mark.parametrize(
    ("kind", "factor"), [(Negative, -1), (NegativeGeneral, -1), (Doubled, -1), (Halves, 3), (Score, 1), (General, 1)]
)
def test_a_score_that_overrides_forward_is_computed_by_it(kind, factor):
    """Not by the dot product that it inherits: at once, with a prepared source, and with one that grows."""
    attend = attnbench.Attention("dot", "global", width=4)
    attend.score = kind(4) if issubclass(kind, General) else kind()
    query, keys = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    matrix = attend.score.key_proj.weight if issubclass(kind, General) else torch.eye(4)
    expected = factor * (query @ (keys @ matrix.T).mT)
    source = attend.prepare(keys, keys, None)
    grown = attend.extend(attend.extend(None, keys[:, :2], keys[:, :2]), keys[:, 2:], keys[:, 2:])
    for found in (attend(query, keys, keys), attend.read(query, source), attend.read(query, grown)):
        torch.testing.assert_close(found.logits, expected)


def test_a_scope_of_ones_own():
    @attnbench.scope("first")
    class First(torch.nn.Module):
        def forward(self, logits, *_others):
            return torch.nn.functional.one_hot(
                torch.zeros(logits.shape[:2], dtype=torch.long), logits.shape[-1]
            ).float()

    keys = torch.randn(2, 5, 4)
    out = attnbench.Attention("dot", "first", width=4)(torch.randn(2, 3, 4), keys, keys)
    assert torch.equal(out.context, keys[:, :1].expand(-1, 3, -1))


def test_two_components_of_the_same_option_are_not_confused():
    """One keyword that both declare is a question, not an answer."""

    @attnbench.score("tempered")
    class Tempered(torch.nn.Module):
        def __init__(self, temperature=1.0):
            super().__init__()
            self.temperature = temperature

    with pytest.raises(AttnbenchError, match="temperature"):
        attnbench.Attention("tempered", "hard", width=4, temperature=2.0)


WRONG = [
    (lambda: attnbench.build_score("genral", width=4), "unknown score 'genral'", "did you mean 'general'?"),
    (lambda: attnbench.build_score("zzzz", width=4), "unknown score 'zzzz'", "known names: additive, bilinear, cosine"),
    (lambda: attnbench.Attention("dot", "locl-m", width=4), "unknown scope 'locl-m'", "did you mean 'local-m'?"),
    (lambda: attnbench.build_score("cosine", 4, strenght=1.0), "no option 'strenght'", "did you mean 'strength'?"),
    (lambda: attnbench.build_score("dot", 4, hidden=1), "no option 'hidden'", "dot takes no options"),
    (lambda: attnbench.Attention("dot", "local-p", width=4, windw=1), "option 'windw'", "did you mean 'window'?"),
    (lambda: attnbench.Attention("dot", {"name": "global", "window": 1}, width=4), "no option 'window'", "no options"),
    (lambda: attnbench.Attention("dot", "local-p", width=4, window=0), "option 'window'", "found 0"),
    (lambda: attnbench.Attention("dot", "local-p", width=4, window=-2), "option 'window'", "found -2"),
    (lambda: attnbench.Attention("dot", "local-m", width=4, window="3"), "option 'window'", "found '3'"),
    (lambda: attnbench.Attention("dot", "local-m", width=4, window=2.5), "option 'window'", "found 2.5"),
    (lambda: attnbench.Attention("dot", "hard", width=4, estimator="x"), "option 'estimator'", "'straight_through'"),
    (lambda: attnbench.build_score("cosine", 4, strength=float("nan")), "option 'strength'", "found nan"),
    (lambda: attnbench.build_score("cosine", 4, strength=0), "option 'strength'", "found 0"),
    (lambda: attnbench.build_score("additive", 4, hidden=0), "option 'hidden'", "found 0"),
    (lambda: attnbench.build_score("location", width=4), "location", "max_source_length"),
    (lambda: attnbench.Attention(None, "global", width=4), "needs a score", "'none'"),
    (lambda: attnbench.build_score({"strength": 1.0}, width=4), "name", ""),
]


@pytest.mark.parametrize(("call", "what", "hint"), WRONG)
def test_a_mistake_is_reported_with_what_was_found_and_what_to_do(call, what, hint):
    with pytest.raises(AttnbenchError) as error:
        call()
    assert what in str(error.value)
    assert hint.lower() in str(error.value).lower()


def test_all_wrong_options_are_reported_at_once():
    with pytest.raises(AttnbenchError) as error:
        attnbench.Attention("dot", {"name": "hard", "temperature": -1.0, "entropy_weight": "x"}, width=4)
    assert {problem.where for problem in error.value.problems} == {"temperature", "entropy_weight"}


SHAPES = [
    ((2, 3, 4), (1, 5, 4), (1, 5, 4)),
    ((2, 3, 4), (2, 5, 4), (2, 6, 4)),
    ((2, 3, 4), (2, 5, 6), (2, 5, 4)),
    ((2, 4), (2, 5, 4), (2, 5, 4)),
]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("score", ["dot", "location"])
def test_wrong_shapes_are_reported_with_those_expected_and_found(shapes, score):
    query, keys, values = map(torch.zeros, shapes)
    attend = attnbench.Attention(score, "global", width=4, max_source_length=5)
    with pytest.raises(ValueError, match=r"expected.*found") as error:
        attend(query, keys, values)
    assert all(str(shape) in str(error.value) for shape in shapes)


@pytest.mark.parametrize("lengths", [[5, 6], [5], [[5, 2]]])
def test_wrong_lengths_are_reported(lengths):
    keys = torch.zeros(2, 5, 4)
    with pytest.raises(ValueError, match="expected source_lengths"):
        attnbench.Attention("dot", "global", width=4)(torch.zeros(2, 3, 4), keys, keys, torch.tensor(lengths))


def test_the_loss_is_the_mean_negative_log_likelihood_per_target_word():
    attend = attnbench.Attention("dot", "global", width=4)
    likelihood = torch.tensor([[-1.0, -2.0], [-4.0, -100.0]])
    nothing = torch.zeros(2, 2, 3)
    loss = attend.objective(likelihood, nothing, nothing, None, torch.tensor([[True, True], [True, False]]))
    assert loss.item() == pytest.approx(7 / 3)
