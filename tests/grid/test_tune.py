"""`tune` in a grid file: read with its problems, and expanded to tuning cells, then to cells with what was chosen."""

import pytest

from attnbench.cell import Train
from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.plan import Plan
from attnbench.grid.tune import FIRST_SEED, choose
from grid.conftest import Complaints, Plans
from grid.test_schema import accepts

GRID = """\
name: g
seeds: 2
grid: {score: [dot, additive], task: [copy, sort]}
tune:
  grid: {train.learning_rate: [0.001, 0.01, 0.1]}
"""


def measured(plan: Plan, rate: float) -> dict[str, dict[str, float | None]]:
    """Results by which the candidate with this rate is the best."""
    return {c.id: {"exact_match": float(c.cell.train.learning_rate == rate), "loss": 1.0} for c in plan.tuning}


def test_every_configuration_gets_the_same_candidates_on_seeds_of_its_own(plan: Plans) -> None:
    found = plan(GRID)
    assert not found.cells
    assert len(found.waiting) == 8
    assert len(found.tuning) == 2 * 2 * 3 * 2
    assert len({cell.id for cell in found.tuning}) == 24
    assert {cell.cell.seed for cell in found.tuning} == {FIRST_SEED, FIRST_SEED + 1}
    assert all(cell.cell.tuning for cell in found.tuning)
    budgets = {(c.labels["score"], c.labels["task"]): [] for c in found.tuning}
    for cell in found.tuning:
        budgets[cell.labels["score"], cell.labels["task"]].append((cell.cell.train, cell.cell.seed))
    assert len({tuple(map(str, budget)) for budget in budgets.values()}) == 1
    assert [one.candidates for one in found.tuned] == [
        ({"train.learning_rate": 0.001}, {"train.learning_rate": 0.01}, {"train.learning_rate": 0.1})
    ] * 4


def test_the_reported_cells_have_what_was_chosen_and_the_ids_of_a_grid_without_tuning(write) -> None:
    grid = load_grid(write(GRID))
    found = expand(grid, measured(expand(grid), 0.1))
    assert not found.waiting
    assert {one.chosen for one in found.tuned} == {2}
    plain = GRID.partition("tune:")[0] + "train: {learning_rate: 0.1}\n"
    expected = expand(load_grid(write(plain)))
    assert [cell.id for cell in found.cells] == [cell.id for cell in expected.cells]
    assert [cell.labels for cell in found.cells] == [cell.labels for cell in expected.cells]


def test_each_configuration_gets_its_own_choice(write) -> None:
    grid = load_grid(write(GRID))
    first = expand(grid)
    ended = {c.id: {"exact_match": c.cell.train.learning_rate, "loss": 1.0} for c in first.tuning}
    for cell in first.tuning:
        if cell.labels["score"] == "dot":
            ended[cell.id] = {"exact_match": 1 - cell.cell.train.learning_rate, "loss": 1.0}
    found = expand(grid, ended)
    rates = {(cell.labels["score"], cell.cell.train.learning_rate) for cell in found.cells}
    assert rates == {("dot", 0.001), ("additive", 0.1)}


def test_a_tuning_cell_is_not_the_cell_that_a_user_trains_with_its_seed(write) -> None:
    grid = load_grid(write(GRID))
    tuning = expand(grid).tuning[0]
    text = f"name: g\nseeds: [{FIRST_SEED}]\ngrid: {{score: [dot], task: [copy]}}\ntrain: {{learning_rate: 0.001}}\n"
    (plain,) = expand(load_grid(write(text))).cells
    assert plain.cell == tuning.cell.model_copy(update={"tuning": False})
    assert plain.id != tuning.id


def test_nothing_is_chosen_before_all_cells_of_a_configuration_have_ended(write) -> None:
    grid = load_grid(write(GRID))
    first = expand(grid)
    ended = measured(first, 0.01)
    missing = first.tuned[0].cells[2][1]
    del ended[missing]
    found = expand(grid, ended)
    assert [one.chosen for one in found.tuned] == [None, 1, 1, 1]
    assert (len(found.cells), len(found.waiting)) == (6, 2)


A, B = ("a0", "a1"), ("b0", "b1")


@pytest.mark.parametrize(
    ("results", "by", "expected"),
    [
        ({"a0": (0.2, 1.0), "a1": (0.4, 1.0), "b0": (0.9, 5.0), "b1": (0.0, 5.0)}, "exact_match", 1),
        ({"a0": (0.2, 1.0), "a1": (0.4, 1.0), "b0": (0.9, 5.0), "b1": (0.0, 5.0)}, "loss", 0),
        ({"a0": (0.5, 1.2), "a1": (0.5, 1.2), "b0": (0.4, 1.0), "b1": (0.6, 1.0)}, "exact_match", 1),
        ({"a0": (0.5, 1.0), "a1": (0.5, 1.0), "b0": (0.5, 1.0), "b1": (0.5, 1.0)}, "exact_match", 0),
        # A failed seed is the worst: a candidate that diverges half of the time is not chosen for the other half.
        ({"a0": (0.5, 1.0), "a1": (0.5, 1.0), "b0": (0.9, 0.1), "b1": None}, "exact_match", 0),
        ({"a0": (0.5, 1.0), "a1": (0.5, 1.0), "b0": (0.9, 0.1), "b1": None}, "loss", 0),
        ({"a0": None, "a1": None, "b0": None, "b1": None}, "loss", 0),
    ],
)
def test_the_best_mean_on_validation_wins_and_ties_go_to_the_lower_loss(results, by, expected) -> None:
    ended = {id_: pair and {"exact_match": pair[0], "loss": pair[1]} for id_, pair in results.items()}
    assert choose([A, B], ended, by) == expected


def test_several_fields_are_tried_in_all_combinations(plan: Plans) -> None:
    found = plan(GRID, "tune.grid={train.learning_rate: [0.001, 0.01], train.clip: [1, 5], model.width: [16, 32]}")
    assert len(found.tuned[0].candidates) == 8
    first = found.tuned[0].candidates[0]
    assert first == {"train.learning_rate": 0.001, "train.clip": 1, "model.width": 16}


def test_an_option_of_a_score_can_be_tuned_where_every_combination_has_it(plan: Plans, complaints: Complaints) -> None:
    text = GRID.replace("[dot, additive]", "[cosine]")
    found = plan(text, "tune.grid={score.strength: [1, 5]}")
    assert {cell.cell.score.options["strength"] for cell in found.tuning} == {1, 5}
    (problem,) = complaints(GRID.replace("[dot, additive]", "[cosine, dot]"), "tune.grid={score.strength: [1, 5]}")
    assert problem.what == "score dot has no score.strength, and would get fewer candidates than other combinations"


def test_skipped_combinations_are_not_tuned(plan: Plans) -> None:
    text = GRID.replace("grid: {score: [dot", "grid: {scope: [self], score: [coverage, dot")
    found = plan(text + "model: {kind: transformer}\n")
    assert {one.labels["score"] for one in found.skipped} == {"coverage"}
    assert {cell.labels["score"] for cell in found.tuning} == {"dot", "additive"}


AT = "grid.yaml:5:10"
MISTAKES = {
    "tune.grid={}": ("tune.grid has no fields", "e.g. train.learning_rate: [0.001, 0.003, 0.01]"),
    "tune.grid={train.lr: [1, 2]}": ("unknown axis 'train.lr'", "did you mean"),
    "tune.grid={train.learning_rate: [0.1]}": ("train.learning_rate has nothing to choose from", "at least two"),
    "tune.grid={train.learning_rate: [0.1, 0.1]}": ("train.learning_rate has a value twice", ""),
    "tune.grid={train.learning_rate: [0.1, -1]}": ("train.learning_rate: should be above 0, found -1", ""),
    "tune.grid={train.learning_rate: 0.1}": ("tune.grid.train.learning_rate: should be a list, found 0.1", ""),
    "tune.grid={score: [dot, general]}": ("score cannot be tuned", "compare others in grid"),
    "tune.grid={task: [copy, sort]}": ("task cannot be tuned", ""),
    "tune.grid={data.vocabulary: [5, 6]}": ("data.vocabulary cannot be tuned", ""),
    "tune.grid={model.kind: [rnn, ntm]}": ("model.kind cannot be tuned", ""),
    "tune.by=aer": ("tune.by: should be 'exact_match' or 'loss', found 'aer'", ""),
    "tune.seeds=0": ("tune.seeds: should be above 0, found 0", ""),
    "tune.sedes=2": ("unknown key 'sedes' in tune", "did you mean 'seeds'?"),
    "tune={seeds: 2}": ("tune needs grid", "add grid: {train.learning_rate: [0.001, 0.003, 0.01]}"),
    "grid.train.learning_rate=[0.1, 0.2]": ("train.learning_rate is an axis of the grid", "remove train.learning_rate"),
    f"seeds=[1, {FIRST_SEED + 1}]": (f"the seed {FIRST_SEED + 1} is used for tuning", "choose another seed"),
    "max_cells=31": ("this grid has 32 cells (4 combinations × (2 seeds + 6 cells of tuning))", "max_cells is 31"),
    "tune.grid={train.steps: [1, 2, 3, 4], train.clip: [1, 2, 3, 4], train.batch_size: [1, 2]}": ("", ""),
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_are_named_with_what_to_write(complaints: Complaints, override: str) -> None:
    what, hint = MISTAKES[override]
    if not what:
        overrides = (override, "max_cells=20")
        what, hint = "tune.grid has 32 combinations", "list fewer values"
    else:
        overrides = (override,)
    problem = complaints(GRID, *overrides)[0]
    assert what in problem.what
    assert hint in problem.hint


def test_a_mistake_in_the_file_is_shown_in_its_line(complaints: Complaints) -> None:
    text = GRID.replace("grid: {score", "grid: {train.learning_rate: [1, 2], score")
    (problem,) = complaints(text)
    assert problem.where.endswith("grid.yaml:5:10")
    assert problem.source.startswith("  grid: {train.learning_rate: [0.001")


def test_reported_seeds_of_tuning_are_refused_each_in_its_place(plan: Plans, complaints: Complaints) -> None:
    """The choice would be made on what is reported."""
    text = GRID.replace("seeds: 2", f"seeds: [0, {FIRST_SEED}, {FIRST_SEED + 1}]")
    found = complaints(text)
    assert [problem.where.rpartition("grid.yaml")[2] for problem in found] == [":2:12", ":2:21"]
    assert found[0].what == "the seed 1000000 is used for tuning, which takes seeds from 1000000 on"
    # Tuning has two seeds; without tuning every seed may be reported.
    assert plan(GRID.replace("seeds: 2", f"seeds: [0, {FIRST_SEED + 2}]")).waiting
    assert plan(text.partition("tune:")[0]).cells


def test_a_value_that_sets_a_tuned_option_itself_is_a_mistake(complaints: Complaints) -> None:
    text = GRID.replace("[dot, additive]", "[{name: cosine, strength: 2}, cosine]")
    (problem,) = complaints(text, "tune.grid={score.strength: [1, 5]}")
    assert problem.what == "score.strength is tuned, and cosine sets it too"


@pytest.mark.parametrize(
    ("field", "exclude", "column"),
    [
        ("train.learning_rate: [0.001, 0.01]", "train.learning_rate: 0.01", 12),
        ("train.stop_at: [{exact_match: 0.5}, {exact_match: 0.9}]", "train.stop_at.exact_match: 0.9", 12),
        ("score.strength: [1, 5]", "score: {name: cosine, strength: 5}", 34),
    ],
)
def test_an_exclude_by_a_tuned_field_is_refused(complaints: Complaints, field: str, exclude: str, column: int) -> None:
    """It would take candidates from some combinations only, or be compared with the default."""
    text = f"name: g\ngrid: {{score: [cosine], task: [copy, sort]}}\ntune: {{grid: {{{field}}}}}\n"
    (problem,) = complaints(f"{text}exclude: [{{{exclude}}}]\n")
    name = field.partition(":")[0]
    assert problem.what == f"{name} is tuned: no combination can be excluded by a value of it"
    assert problem.hint == f"remove it here, or the value from tune.grid; to compare its values, move {name} to grid"
    assert problem.where.endswith(f"grid.yaml:4:{column}")


def test_an_exclude_by_another_option_of_a_component_with_a_tuned_one_is_allowed(plan: Plans) -> None:
    scopes = "{name: local-p, window: 2}, {name: local-p, window: 3}"
    text = f"name: g\ngrid: {{scope: [{scopes}], score: [cosine], task: [copy]}}\n"
    tune = "tune: {grid: {score.strength: [1, 5]}}\n"
    found = plan(f"{text}{tune}exclude: [{{scope: {{name: local-p, window: 2}}, score: cosine}}]\n")
    assert {cell.labels["scope"] for cell in found.tuning} == {"local-p window=3"}


def test_the_json_schema_has_the_fields_that_can_be_tuned() -> None:
    base = "name: g\ngrid: {score: [dot], task: [copy]}\n"
    assert accepts(base + "tune: {grid: {train.learning_rate: [0.1, 0.2]}, by: loss, seeds: 3}\n")
    wrong = ("{grid: {train.learning_rate: [0.1]}}", "{grid: {data.vocabulary: [3, 4]}}", "{seeds: 2}")
    for section in wrong:
        assert not accepts(f"{base}tune: {section}\n"), section


def test_without_tune_the_ids_are_those_of_before(plan: Plans) -> None:
    """Of earlier versions, which had no tuning: their results stay."""
    (first, _) = plan("name: g\nseeds: 2\ngrid: {score: [dot], task: [copy]}\n").cells
    assert first.cell.train == Train()
    assert "tuning" not in first.cell.written()


def test_candidates_that_are_the_same_training_are_refused(write) -> None:
    grid = load_grid(write(GRID.replace("[0.001, 0.01, 0.1]", "[1, 1.0]")))
    with pytest.raises(AttnbenchError, match="two candidates are the same training"):
        expand(grid)


def test_the_time_limit_cannot_be_tuned(write) -> None:
    with pytest.raises(AttnbenchError, match=r"train\.timeout cannot be tuned"):
        load_grid(write(GRID.replace("train.learning_rate: [0.001, 0.01, 0.1]", "train.timeout: [10, 20]")))
