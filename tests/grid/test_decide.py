"""`decide` and `seeds: {at_least, at_most}` in a grid file."""

import pytest

from attnbench.grid.load import load_grid
from grid.conftest import Complaints, Plans
from grid.test_schema import accepts

GRID = """\
name: g
seeds: {at_least: 8, at_most: 30}
grid: {score: [dot, additive], scope: [global], task: [copy, sort]}
decide: {axis: score, metric: exact_match@9, margin: 0.03}
data: {test_lengths: [9]}
"""


def test_the_contracts_example_is_read(write, plan: Plans) -> None:
    grid = load_grid(write(GRID))
    assert (grid.decide.axis, grid.decide.metric, grid.decide.smallest) == ("score", "exact_match@9", 0.03)
    assert (grid.seed_range.at_least, grid.seed_range.at_most) == (8, 30)
    assert len(plan(GRID).cells) == 2 * 2 * 30
    assert load_grid(write(GRID), ["decide={axis: score, metric: bleu}"]).decide.smallest == 2.0


def test_by_set_alone(write) -> None:
    plain = "name: g\nseeds: 3\ngrid: {score: [dot, additive], task: [copy]}\n"
    overrides = ["decide.axis=score", "decide.margin=0.1", "seeds={at_least: 2, at_most: 12}"]
    grid = load_grid(write(plain), overrides)
    assert (grid.decide.smallest, grid.decide.metric, grid.seeds) == (0.1, "exact_match", tuple(range(12)))


MISTAKES = {
    ("decide={metric: aer}",): ("decide needs axis", "add axis: score"),
    ("decide.axis=scores",): ("the grid has no axis 'scores'", "did you mean 'score'?"),
    ("decide.axis=scope",): ("the axis scope has a single value in this grid: there is nothing to compare", "score"),
    ("decide.axis=task",): ("cannot compare tasks", "choose score"),
    ("decide.axis=seed",): ("cannot compare seeds", "choose score"),
    ("decide.margin=0",): ("decide.margin: should be above 0, found 0", "e.g. margin: 0.02"),
    ("decide.margin=-0.1",): ("decide.margin: should be above 0, found -0.1", "e.g. margin: 0.02"),
    ("decide.metric=exact",): ("unknown metric 'exact'", "exact_match"),
    ("decide.metric=parameters",): ("cannot compare by parameters, which has no better side", "use exact_match"),
    ("decide.metric=seconds",): ("cannot compare by seconds, which is measured once for all seeds", ""),
    ("decide.metric=exact_match@20",): ("exact_match@20 is not measured: 20 is not in data.test_lengths", "add 20"),
    ("decide={axis: score, metric: steps_to_95}",): (
        "decide needs a margin for steps_to_95, the largest difference that does not matter",
        "e.g. decide: {axis: score, metric: steps_to_95, margin: 100}",
    ),
    ("decide.axes=score",): ("unknown key 'axes' in decide", "did you mean 'axis'?"),
    ("seeds=8",): ("decide needs the smallest and the largest number of seeds", "seeds: {at_least: 8, at_most: 30}"),
    ("seeds={at_least: 8}",): ("seeds: at_most is missing", ""),
    ("seeds={at_least: 9, at_most: 8}",): ("seeds: at_least 9 is above at_most 8", ""),
    ("seeds={at_least: 1, at_most: 8}",): ("seeds: at_least should be a whole number of at least 2, found 1", ""),
    ("seeds={at_lest: 8, at_most: 9}",): ("seeds: unknown key 'at_lest'", ""),
    ("seeds={at_least: true, at_most: 9}",): ("at_least should be a whole number", ""),
}


@pytest.mark.parametrize("overrides", MISTAKES, ids=" ".join)
def test_mistakes_are_named_with_what_to_write(complaints: Complaints, overrides: tuple[str, ...]) -> None:
    what, hint = MISTAKES[overrides]
    (problem,) = complaints(GRID, *overrides)
    assert what in problem.what
    assert hint in f"{problem.what} {problem.hint}"


def test_a_range_of_seeds_needs_decide(complaints: Complaints) -> None:
    text = "".join(line for line in GRID.splitlines(keepends=True) if not line.startswith("decide"))
    (problem,) = complaints(text)
    assert problem.what == "seeds from at_least to at_most need decide"
    assert problem.hint == "add decide: {axis: score, metric: exact_match, margin: 0.02}"
    assert problem.where.endswith("grid.yaml:2:8")


def test_the_json_schema_has_both() -> None:
    assert accepts(GRID)
    assert not accepts(GRID.replace("margin: 0.03", "margin: 0"))
    assert not accepts(GRID.replace("axis: score, ", ""))
    assert not accepts(GRID.replace(", at_most: 30", ""))
