"""Combinations in their order, each either a cell or skipped with its reason."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.packs import Composition, composed, packs, spread
from attnbench.grid.plan import Plan
from grid.conftest import SMALL, Complaints, Plans
from grid.test_load import CONTRACT


def labels(plan: Plan, *axes: str) -> list[tuple[object, ...]]:
    return [tuple(cell.labels[axis] for axis in axes) for cell in plan.cells]


def reasons(plan: Plan) -> list[str]:
    return [skipped.reason for skipped in plan.skipped]


def test_the_contracts_example(plan: Plans) -> None:
    found = plan(CONTRACT)
    # 6 scores × 2 scopes × 4 tasks × 2 widths × 2 zipped, less 8 excluded, and one more, × 3 seeds
    assert len(found.cells) == (6 * 2 * 4 * 2 * 2 - 8 + 1) * 3
    assert reasons(found) == ["excluded by line 12"] * 8
    assert found.axes == ("model.width", "data.max_length", "train.steps")
    assert len({cell.id for cell in found.cells}) == len(found.cells)
    last = found.cells[-1]
    assert last.labels == {
        "model": "rnn", "score": "–", "scope": "none", "task": "copy", "seed": 2,
        "model.width": 64, "data.max_length": 10, "train.steps": 800,
    }  # fmt: skip
    assert last.cell.score is None


def test_the_last_axis_turns_fastest_and_the_seeds_inside_it(plan: Plans) -> None:
    text = (
        "name: g\nseeds: [5, 1]\ngrid: {task: [copy, sort], score: [dot], model.width: [8, 4]}\n"
        "zip: {train.steps: [2, 1]}\n"
    )
    expected = [(t, w, n, s) for t in ("copy", "sort") for w in (8, 4) for n in (2, 1) for s in (5, 1)]
    found = plan(text)
    assert labels(found, "task", "model.width", "train.steps", "seed") == expected
    assert [
        (c.cell.task.name, c.cell.model.options["width"], c.cell.train.steps, c.cell.seed) for c in found.cells
    ] == expected


def test_zip_advances_together(plan: Plans) -> None:
    found = plan(SMALL + "zip: {data.max_length: [10, 20], train.steps: [500, 1000]}\n")
    assert [(cell.cell.data.max_length, cell.cell.train.steps) for cell in found.cells] == [(10, 500), (20, 1000)]


def test_components_can_be_zipped(plan: Plans) -> None:
    found = plan("name: g\nseeds: 1\nzip: {score: [dot, general], task: [copy, sort]}\n")
    assert labels(found, "score", "task") == [("dot", "copy"), ("general", "sort")]


def test_a_cell_has_every_option_and_the_label_only_those_that_were_written(plan: Plans) -> None:
    text = (
        "name: g\nseeds: 1\ngrid: {score: [cosine, {name: cosine, strength: 1}], "
        "task: [{name: sort, distinct: false}], scope: [local-p, {name: local-p, window: 3}]}\n"
    )
    found = plan(text)
    assert labels(found, "score", "scope", "task")[:3] == [
        ("cosine", "local-p", "sort distinct=false"),
        ("cosine", "local-p window=3", "sort distinct=false"),
        ("cosine strength=1", "local-p", "sort distinct=false"),
    ]
    assert [cell.cell.scope.options for cell in found.cells] == [{"window": 10}, {"window": 3}] * 2
    assert found.cells[0].cell.score is not None
    assert found.cells[0].cell.score.options == {"strength": None}


def test_the_sections_fill_the_cells(plan: Plans) -> None:
    (cell,) = plan(SMALL + "model: {cell: lstm}\ndata: {test_lengths: [4]}\ntrain: {learning_rate: 1}\n").cells
    assert cell.cell.model.name == "rnn"
    assert cell.cell.model.options["cell"] == "lstm"
    assert cell.cell.data.test_lengths == (4,)
    assert cell.cell.train.learning_rate == 1.0
    assert cell.cell.scope.name == "global"


def test_the_scope_none_is_one_cell_without_a_score(plan: Plans) -> None:
    found = plan("name: g\nseeds: 2\ngrid: {score: [dot, general, additive], scope: [none, global], task: [copy]}\n")
    assert labels(found, "score", "scope", "seed")[:2] == [("–", "none", 0), ("–", "none", 1)]
    assert len(found.cells) == 2 * 4
    assert [(s.labels["score"], s.labels["scope"], s.labels["seed"], s.reason) for s in found.skipped] == [
        (score, "none", None, f"scope none uses no score: same as cell {found.cells[0].id}")
        for score in ("general", "additive")
    ]


def test_the_scope_none_alone_needs_no_score(plan: Plans) -> None:
    assert labels(plan("name: g\nseeds: 1\ngrid: {scope: [none], task: [copy]}\n"), "score") == [("–",)]


def test_input_feeding_needs_the_query_after_the_step(plan: Plans) -> None:
    found = plan(SMALL + "zip: {model.input_feeding: [true, true], model.query: [previous, current]}\n")
    assert labels(found, "model.query") == [("current",)]
    assert "input_feeding" in reasons(found)[0]


def test_input_feeding_of_the_captioner_needs_it_too(plan: Plans) -> None:
    grid = "name: g\nseeds: 1\ngrid: {score: [dot], task: [caption]}\nmodel: {kind: captioner}\n"
    found = plan(grid + "zip: {model.input_feeding: [true, true], model.query: [previous, current]}\n")
    assert labels(found, "model.query") == [("current",)]
    assert reasons(found) == ["model.input_feeding needs model.query: current, found previous"]


def test_a_scope_over_one_sequence_is_not_for_the_rnn(plan: Plans) -> None:
    found = plan("name: g\nseeds: 1\ngrid: {score: [dot], scope: [self, global], task: [copy]}\n")
    assert labels(found, "scope") == [("global",)]
    assert "from the same sequence, not rnn" in reasons(found)[0]


def test_an_option_axis_reaches_the_components_that_declare_it(plan: Plans) -> None:
    text = "name: g\nseeds: 1\ngrid: {score: [dot], scope: [global, local-m], task: [copy], scope.window: [2, 4]}\n"
    found = plan(text)
    assert [cell.cell.scope.options for cell in found.cells] == [{"window": 2}, {"window": 4}]
    assert labels(found, "scope", "scope.window") == [("local-m", 2), ("local-m", 4)]
    assert reasons(found) == ["scope global has no option window"] * 2
    assert found.skipped[1].labels["scope.window"] == 4


def test_an_option_axis_without_a_taker_in_the_grid_is_unknown(complaints: Complaints) -> None:
    (problem,) = complaints("name: g\nseeds: 1\ngrid: {score: [dot], task: [copy], scope.window: [2]}\n")
    assert "unknown axis 'scope.window'" in problem.what


def test_an_included_combination_without_the_axis_has_the_components_own_value(plan: Plans) -> None:
    text = (
        "name: g\nseeds: 1\ngrid: {score: [dot], scope: [local-m], task: [copy], scope.window: [2, 4]}\n"
        "include: [{scope: local-p}, {scope: global}]\n"
    )
    assert labels(plan(text), "scope", "scope.window") == [
        ("local-m", 2),
        ("local-m", 4),
        ("local-p", 10),
        ("global", None),
    ]


def test_include_takes_what_has_one_value_and_brings_axes_of_its_own(plan: Plans) -> None:
    text = (
        "name: g\nseeds: 1\ngrid: {score: [dot], scope: [local-m, hard], task: [copy], "
        "model.width: [8], train.steps: [5, 6]}\n"
        "include: [{score: general, data.vocabulary: 7}]\ntrain: {steps: 9}\n"
    )
    found = plan(text)
    assert found.axes == ("model.width", "train.steps", "data.vocabulary")
    assert labels(found, "score", "scope", "task", *found.axes)[-1] == ("general", "global", "copy", 8, 9, 7)
    assert labels(found, "data.vocabulary")[0] == (20,)


def test_include_alone_is_a_grid(plan: Plans) -> None:
    found = plan("name: g\nseeds: 1\ninclude: [{score: dot, task: copy}, {scope: none, task: sort}]\n")
    assert labels(found, "score", "scope", "task") == [("dot", "global", "copy"), ("–", "none", "sort")]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("{score: dot}", 8),
        ("{score: dot, task: copy}", 12),
        ("{scope: local-p}", 8),
        ("{scope: local-p window=3}", 8),
        ("{scope: {name: local-p, window: 3}}", 8),
        ("{model.width: 8}", 8),
        ("{model.width: 8, scope: global, score: dot, task: sort}", 15),
        ("{train.steps: 800, task: sort}", 8),
        ("{scope.window: 3, task: copy}", 12),
        ("{model.cell: gru, score: dot}", 8),
        ("{model: rnn, score: dot}", 8),
        ("{data.test_lengths: [4], score: dot}", 8),
    ],
)
def test_exclude_matches_names_labels_and_values(plan: Plans, exclude: str, left: int) -> None:
    text = (
        "name: g\nseeds: 1\ngrid: {score: [dot, general], scope: [global, {name: local-p, window: 3}], "
        f"task: [copy, sort], model.width: [8, 16]}}\ndata: {{test_lengths: [4]}}\nexclude: [{exclude}]\n"
    )
    found = plan(text)
    assert len(found.cells) == left
    assert reasons(found) == ["excluded by line 5"] * (16 - left)


def test_exclude_does_not_reach_what_is_included(plan: Plans) -> None:
    found = plan(SMALL + "exclude: [{score: dot}]\ninclude: [{score: dot, task: copy}]\n")
    assert len(found.cells) == 1


@pytest.mark.parametrize(
    "exclude",
    ["{scope: {name: global}, train.steps: 3}", "{model.width: 9}", "{score: dot, model.width: 9}", "{model: rn}"],
)
def test_an_exclude_that_matches_nothing_is_a_typo(complaints: Complaints, exclude: str) -> None:
    (problem,) = complaints(SMALL + f"exclude: [{exclude}]\n")
    assert "matches no combination" in problem.what
    assert ":4:11" in problem.where


def test_a_grid_of_which_nothing_is_left(complaints: Complaints) -> None:
    (problem,) = complaints(SMALL + "exclude: [{score: dot}]\n")
    assert ("the grid is empty" in problem.what, problem.hint) == (True, "excluded by line 4")
    (problem,) = complaints(SMALL + "model: {input_feeding: true}\n")
    assert "the grid is empty" in problem.what
    assert "input_feeding" in problem.hint


def test_translate_does_not_use_the_vocabulary(plan: Plans) -> None:
    found = plan("name: g\nseeds: 1\ngrid: {score: [dot], task: [copy, translate], data.vocabulary: [12, 20]}\n")
    assert labels(found, "task", "data.vocabulary") == [("copy", 12), ("copy", 20), ("translate", None)]
    assert found.cells[2].cell.data.vocabulary is None
    assert reasons(found) == [f"translate does not use data.vocabulary: same as cell {found.cells[2].id}"]
    assert found.skipped[0].labels["data.vocabulary"] == 20


def test_the_same_value_twice_is_skipped(plan: Plans) -> None:
    found = plan("name: g\nseeds: 2\ngrid: {score: [dot, {name: dot}], task: [copy]}\n")
    assert len(found.cells) == 2
    assert reasons(found) == [f"same as cell {found.cells[0].id}"]


def test_options_of_several_models(plan: Plans, complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        "import attnbench\n@attnbench.model('flat')\nclass Flat(attnbench.Seq2Seq):\n"
        "    def __init__(self, width: int = 4, depth: int = 1): pass\n"
        "    def encode(self, *given): pass\n"
        "    def step(self, *given): pass\n"
    )
    text = "name: g\nplugins: [p.py]\nseeds: 1\n"
    text += "grid: {score: [dot], task: [copy], model.kind: [rnn, flat], model.depth: [2]}\n"
    found = plan(text + "model: {width: 16, cell: lstm}\n")
    assert [(c.cell.model.name, c.cell.model.options) for c in found.cells] == [("flat", {"width": 16, "depth": 2})]
    assert reasons(found) == ["model rnn has no option depth"]
    (problem,) = complaints(text + "model: {widht: 16}\n")
    assert "no model of this grid has the option 'widht'" in problem.what


def test_options_of_the_default_model_and_an_included_one(plan: Plans, complaints: Complaints) -> None:
    text = "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy]}\n"
    text += "include: [{score: dot, task: copy, model.kind: ntm}]\n"
    found = plan(text + "model: {width: 16, cell: lstm, slots: 9}\n")
    options = [
        (c.cell.model.name, c.cell.model.options.get("cell"), c.cell.model.options.get("slots")) for c in found.cells
    ]
    assert options == [("rnn", "lstm", None), ("ntm", None, 9)]
    (problem,) = complaints(text + "model: {glimpses: 1}\n")
    assert "no model of this grid has the option 'glimpses'" in problem.what
    (problem,) = complaints(
        "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy], model.kind: [ntm, lstmn]}\nmodel: {cell: lstm}\n"
    )
    assert "no model of this grid has the option 'cell'" in problem.what


def test_packs_hold_the_seeds_of_one_configuration(plan: Plans) -> None:
    found = plan("name: g\nseeds: [3, 1]\ngrid: {score: [dot, general], task: [copy]}\n")
    made = packs(found.cells, ["x.py"])
    assert [(pack.cell.score and pack.cell.score.name, pack.seeds, pack.plugins) for pack in made] == [
        ("dot", (3, 1), ("x.py",)),
        ("general", (3, 1), ("x.py",)),
    ]
    assert [id_ for pack in made for id_ in pack.ids] == [cell.id for cell in found.cells]
    assert [pack.seeds for pack in packs([found.cells[3], found.cells[0]])] == [(1,), (3,)]


def test_a_pack_does_not_grow_without_end(plan: Plans) -> None:
    found = plan("name: g\nseeds: 150\ngrid: {score: [dot], task: [copy]}\n")
    assert [len(pack.ids) for pack in packs(found.cells)] == [64, 64, 22]


def test_packs_are_halved_until_every_worker_has_one(plan: Plans) -> None:
    made = packs(plan("name: g\nseeds: 6\ngrid: {score: [dot, general], task: [copy]}\n").cells)
    assert spread(made, 2) == made
    three = spread(made, 3)
    assert [pack.seeds for pack in three] == [(0, 1, 2), (3, 4, 5), (0, 1, 2, 3, 4, 5)]
    assert [pack.cell.seed for pack in three] == [0, 3, 0]
    assert [id_ for pack in three for id_ in pack.ids] == [id_ for pack in made for id_ in pack.ids]
    assert [len(pack.ids) for pack in spread(made, 100)] == [1] * 12
    assert spread([], 2) == []


def seeds_of(made):
    return [pack.seeds for pack in made]


def test_what_was_planned_together_is_trained_together(plan: Plans) -> None:
    """Whatever the number of workers is later, and whichever seeds the grid has then."""
    text = "name: g\nseeds: {seeds}\ngrid: {{score: [dot, general], task: [copy]}}\n"
    four = plan(text.format(seeds=4))
    first = composed(four.cells, [], (), 4)
    assert seeds_of(first) == [(0, 1), (2, 3)] * 2
    recorded = [Composition.of(pack) for pack in first]
    assert composed(four.cells, recorded, (), 1) == first
    # A grid that grows has new packs beside the old ones; they are spread by themselves.
    grown = composed(plan(text.format(seeds=6)).cells, recorded, (), 1)
    assert seeds_of(grown) == [(0, 1), (2, 3), (4, 5)] * 2
    # A grid that shrinks still trains whole packs: seed 0 by itself would have other numbers.
    shrunk = composed(plan(text.format(seeds=1)).cells, recorded, (), 8)
    assert seeds_of(shrunk) == [(0, 1)] * 2
    assert [pack.ids for pack in shrunk] == [first[0].ids, first[2].ids]
    assert [pack.cell.seed for pack in shrunk] == [0, 0]


def test_packs_of_other_grids_are_ignored(plan: Plans) -> None:
    made = plan("name: g\nseeds: 2\ngrid: {score: [dot], task: [copy]}\n")
    assert seeds_of(composed(made.cells, [Composition(("0" * 12,), (0,))], (), 1)) == [(0, 1)]


def test_ten_thousand_cells_are_planned_soon(write: Callable[[str], Path]) -> None:
    text = (
        "name: g\nseeds: 5\ngrid:\n  score: [cosine, additive, general, dot]\n"
        "  scope: [global, local-m, local-p, hard, none]\n"
        f"  task: [copy, reverse]\n  model.width: {[2 * n for n in range(1, 51)]}\n  data.vocabulary: [20]\n"
    )
    begun = time.perf_counter()
    plan = expand(load_grid(write(text)))
    assert len(plan.cells) + 5 * len(plan.skipped) == 10_000
    assert Counter(cell.labels["scope"] for cell in plan.cells)["none"] == 500
    assert time.perf_counter() - begun < 3


def test_planning_never_imports_torch(write: Callable[[str], Path]) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from attnbench.grid.load import load_grid\nfrom attnbench.grid.expand import expand\n"
        "from attnbench.grid.schema import json_schema\n"
        "json_schema(); print(len(expand(load_grid(Path(sys.argv[1]))).cells))\n"
        "assert not {'torch', 'mlflow', 'pandas'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, write(CONTRACT)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("555\n", "")
