"""The axis `normaliser` of a grid file: labels, cells, what is skipped, and what is refused with its line."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from attnbench.cell import SOFTMAX, Component
from attnbench.errors import Problem
from attnbench.grid.identity import cell_id
from attnbench.grid.plan import Plan
from attnbench.grid.schema import json_schema
from grid.conftest import SMALL, Complaints, Plans

NORMALISERS = ("softmax", "sparsemax", "entmax", "softmax1", "ssmax", "sigmoid", "softpick")
EVERY = ", ".join(NORMALISERS)


def grid(axes: str, more: str = "") -> str:
    return f"name: g\nseeds: 1\ngrid:\n  task: [copy]\n  {axes}\n{more}"


def labels(plan: Plan, *axes: str) -> list[tuple[object, ...]]:
    return [tuple(planned.labels[axis] for axis in axes) for planned in plan.cells]


def reasons(plan: Plan) -> list[str]:
    return [skipped.reason for skipped in plan.skipped]


def one(problems: list[Problem], *parts: str) -> None:
    """There is a single problem, and its text has all of these parts."""
    (problem,) = problems
    text = f"{problem.where}: {problem.what} | {problem.hint} | {problem.source}"
    for part in parts:
        assert part in text, text


def test_a_name_and_a_mapping(plan: Plans) -> None:
    found = plan(
        grid(
            "score: [dot]\n  normaliser: [softmax, sparsemax, {name: entmax, alpha: 1.3}, "
            "{name: softmax1, sink: learned}]"
        )
    )
    assert found.axes == ("normaliser",)
    assert labels(found, "normaliser") == [
        ("softmax",), ("sparsemax",), ("entmax alpha=1.3",), ("softmax1 sink=learned",)
    ]  # fmt: skip
    assert [planned.cell.normaliser for planned in found.cells] == [
        SOFTMAX,
        Component(name="sparsemax"),
        Component(name="entmax", options={"alpha": 1.3}),
        Component(name="softmax1", options={"sink": "learned"}),
    ]


def test_the_longest_source_is_an_option_that_need_not_be_set(plan: Plans) -> None:
    """Without it, the model is built with the longest source of the data."""
    assert plan(grid("score: [dot]\n  normaliser: [ssmax]")).cells[0].cell.normaliser == Component(name="ssmax")
    text = grid("score: [dot]\n  normaliser: [{name: ssmax, max_source_length: 30}]")
    assert plan(text).cells[0].cell.normaliser == Component(name="ssmax", options={"max_source_length": 30})


def test_an_option_is_an_axis_of_the_normalisers_that_have_it(plan: Plans) -> None:
    found = plan(grid("score: [dot]\n  normaliser: [entmax, softmax]\n  normaliser.alpha: [1.2, 2]"))
    assert labels(found, "normaliser", "normaliser.alpha") == [("entmax", 1.2), ("entmax", 2)]
    assert found.skipped[0].labels["normaliser"] == "softmax"
    assert "normaliser softmax has no option alpha" in reasons(found)[0]


def test_without_the_axis_there_is_no_column_and_the_softmax(plan: Plans) -> None:
    (planned,) = plan(SMALL).cells
    assert "normaliser" not in planned.labels
    assert planned.cell.normaliser == SOFTMAX
    (without,) = plan(grid("scope: [none]")).cells
    assert without.cell.normaliser is None
    assert "normaliser" not in without.labels


OWN = """
import attnbench
import torch

@attnbench.scope("plain")
class Plain(torch.nn.Module):
    def forward(self, logits, mask, query, lengths, step): ...

@attnbench.scope("open")
class Open(torch.nn.Module):
    def __init__(self, normaliser): ...
    def forward(self, logits, mask, query, lengths, step): ...
"""


@pytest.mark.parametrize("scope", ["none", "monotonic", "plain"])
def test_a_scope_that_uses_no_normaliser_is_one_cell(plan: Plans, tmp_path: Path, scope: str) -> None:
    (tmp_path / "p.py").write_text(OWN)
    text = grid(
        f"score: [dot]\n  scope: [{scope}, global, open]\n  normaliser: [sparsemax, softmax]", "plugins: [p.py]\n"
    )
    found = plan(text)
    assert labels(found, "scope", "normaliser") == [
        (scope, "–"), ("global", "sparsemax"), ("global", "softmax"), ("open", "sparsemax"), ("open", "softmax")
    ]  # fmt: skip
    assert found.cells[0].cell.normaliser is None
    (skipped,) = found.skipped
    assert (skipped.labels["scope"], skipped.labels["normaliser"]) == (scope, "softmax")
    assert skipped.reason.endswith(f"scope {scope} uses no normaliser: same as cell {found.cells[0].id}")


@pytest.mark.parametrize("scope", ["none", "monotonic"])
def test_the_cell_of_such_a_scope_is_that_of_a_grid_without_normalisers(plan: Plans, scope: str) -> None:
    with_axis = plan(grid(f"score: [dot]\n  scope: [{scope}, global]\n  normaliser: [sparsemax]"))
    without = plan(grid(f"score: [dot]\n  scope: [{scope}]"))
    assert with_axis.cells[0].id == without.cells[0].id


def test_the_softmax_keeps_the_ids_of_cells_without_a_normaliser(plan: Plans) -> None:
    """Of the version before there were normalisers, whose cells a user has."""
    before = {"dot": "b20687af46e1", "none": "c15d8a4f256f"}
    named = plan(grid("score: [dot]\n  scope: [global, none]\n  normaliser: [softmax, sparsemax]"))
    ids = {
        planned.labels["scope"]: planned.id for planned in named.cells if planned.labels["normaliser"] != "sparsemax"
    }
    assert ids == {"global": before["dot"], "none": before["none"]}
    assert plan(grid("score: [dot]")).cells[0].id == before["dot"]


def test_every_normaliser_and_option_is_another_cell(plan: Plans) -> None:
    more = "{name: entmax, alpha: 1.7}, {name: softmax1, sink: learned}, {name: ssmax, max_source_length: 99}"
    found = plan(grid(f"score: [dot]\n  normaliser: [{EVERY}, {more}]"))
    assert len({planned.id for planned in found.cells}) == len(NORMALISERS) + 3
    assert [cell_id(planned.cell) for planned in found.cells] == [planned.id for planned in found.cells]


def test_sparsemax_and_entmax_2_are_different_cells(plan: Plans) -> None:
    """They compute the same, but are trained as written; only equal configurations are one cell."""
    text = grid("score: [dot]\n  normaliser: [sparsemax, {name: entmax, alpha: 2}, {name: entmax, alpha: 1.5}, entmax]")
    found = plan(text)
    assert labels(found, "normaliser") == [("sparsemax",), ("entmax alpha=2",), ("entmax alpha=1.5",)]
    assert reasons(found) == [f"same as cell {found.cells[2].id}"]


def test_zip_exclude_and_include(plan: Plans) -> None:
    text = (
        "name: g\nseeds: 1\nzip: {normaliser: [softmax, sparsemax, {name: entmax, alpha: 1.3}], "
        "train.steps: [1, 2, 3]}\ngrid: {score: [dot, general], task: [copy]}\n"
        "exclude: [{normaliser: sparsemax, score: dot}, {normaliser: entmax}]\n"
        "include: [{score: additive, task: copy, normaliser: softpick}, {score: additive, task: copy}]\n"
    )
    found = plan(text)
    assert sorted(labels(found, "score", "normaliser", "train.steps")) == sorted(
        [
            ("dot", "softmax", 1), ("general", "softmax", 1), ("general", "sparsemax", 2),
            ("additive", "softpick", 800), ("additive", "softmax", 800),
        ]
    )  # fmt: skip
    assert reasons(found) == ["excluded by line 5"] * 3


@pytest.mark.parametrize("test", ["entmax alpha=1.3", "{name: entmax, alpha: 1.3}"])
def test_exclude_by_label_and_by_option(plan: Plans, test: str) -> None:
    text = grid(
        "score: [dot]\n  normaliser: [entmax, {name: entmax, alpha: 1.3}]", f"exclude: [{{normaliser: {test}}}]\n"
    )
    assert labels(plan(text), "normaliser") == [("entmax",)]


def test_an_exclude_that_matches_nothing_is_told(complaints: Complaints) -> None:
    text = grid("score: [dot]\n  normaliser: [softmax]", "exclude: [{normaliser: sparsemax}]\n")
    one(complaints(text), "grid.yaml:7", "this exclude matches nothing: the grid has no normaliser 'sparsemax'")
    text = grid("score: [dot]\n  normaliser: [softmax]", "exclude: [{normaliser: softmx}]\n")
    one(complaints(text), "grid.yaml:7", "unknown normaliser 'softmx'", "did you mean 'softmax'")


def test_set_replaces_the_axis(plan: Plans) -> None:
    text = grid("score: [dot]\n  normaliser: [softmax]")
    assert labels(plan(text, "grid.normaliser=[sparsemax, {name: entmax, alpha: 1.3}]"), "normaliser") == [
        ("sparsemax",), ("entmax alpha=1.3",)
    ]  # fmt: skip
    assert labels(plan(SMALL, "grid.normaliser=[ssmax]"), "normaliser") == [("ssmax",)]


@pytest.mark.parametrize(
    ("written", "range_"),
    [
        ("{name: entmax, alpha: 1}", "a valid alpha is a number > 1 and ≤ 4"),
        ("{name: entmax, alpha: 1.0}", "a valid alpha is a number > 1 and ≤ 4"),
        ("{name: entmax, alpha: 4.1}", "a valid alpha is a number > 1 and ≤ 4"),
        ("{name: entmax, alpha: -2}", "a valid alpha is a number > 1 and ≤ 4"),
        ("{name: entmax, alpha: wide}", "number"),
        ("{name: softmax1, sink: none}", "'zero' or 'learned', found 'none'"),
        ("{name: ssmax, max_source_length: 0}", "above 0"),
    ],
)
def test_an_option_out_of_its_range(complaints: Complaints, written: str, range_: str) -> None:
    one(complaints(grid(f"score: [dot]\n  normaliser: [{written}]")), "grid.yaml:6", range_, written)


def test_an_option_axis_out_of_its_range(complaints: Complaints) -> None:
    text = grid("score: [dot]\n  normaliser: [entmax]\n  normaliser.alpha: [1.5, 1, 4.1]")
    low, high = complaints(text)
    assert "grid.yaml:7" in low.where
    assert "above 1, found 1" in low.what
    assert "at most 4, found 4.1" in high.what
    assert low.hint == high.hint == "a valid alpha is a number > 1 and ≤ 4"


@pytest.mark.parametrize(
    ("score", "range_"),
    [
        ("{name: location_conv, kernel: 4}", "odd"),
        ("{name: location_conv, kernel: 0}", "odd number of at least 1, found 0"),
        ("{name: location_conv, filters: 0}", "above 0"),
        ("{name: gmm, components: 0}", "above 0"),
        ("{name: bilinear, rank: 0}", "above 0"),
        ("{name: coverage, weight: -1}", "at least 0"),
    ],
)
def test_options_of_the_scores_with_a_state(complaints: Complaints, score: str, range_: str) -> None:
    one(complaints(grid(f"score: [{score}]")), "grid.yaml:5", range_, score)


def test_a_kernel_as_an_axis(complaints: Complaints) -> None:
    one(complaints(grid("score: [location_conv]\n  score.kernel: [3, 6]")), "grid.yaml:6", "odd number", "found 6")


def test_an_unknown_normaliser(complaints: Complaints) -> None:
    one(complaints(grid("score: [dot]\n  normaliser: [sparsemx]")), "grid.yaml:6", "did you mean 'sparsemax'")
    one(complaints(grid("score: [dot]\n  normalizer: [sparsemax]")), "grid.yaml:6", "did you mean 'normaliser'")
    one(
        complaints(grid("score: [dot]\n  normaliser: [{alpha: 2}]")),
        "grid.yaml:6",
        "a normaliser with options needs a name",
    )


@pytest.mark.parametrize("scope", ["none", "monotonic"])
def test_a_normaliser_in_a_grid_without_a_scope_that_uses_one(complaints: Complaints, scope: str) -> None:
    text = grid(f"score: [dot]\n  scope: [{scope}]\n  normaliser: [softmax, sparsemax]\n  normaliser.alpha: [2]")
    axis, option = complaints(text.replace("softmax, sparsemax", "entmax"))
    assert "grid.yaml:7" in axis.where
    assert axis.what == f"the scope {scope} uses no normaliser"
    assert axis.hint == "remove normaliser"
    assert "grid.yaml:8" in option.where
    one(complaints(grid(f"score: [dot]\n  scope: [{scope}]", "zip: {normaliser: [entmax]}\n")), "grid.yaml:7")


def test_an_include_with_a_normaliser_that_its_scope_does_not_use(complaints: Complaints, plan: Plans) -> None:
    include = "include:\n  - {score: dot, scope: none, task: copy, normaliser: sparsemax}\n"
    one(
        complaints(grid("score: [dot]", include)),
        "grid.yaml:7",
        "the scope none uses no normaliser",
        "remove normaliser",
    )
    own = "include:\n  - {scope: none, task: copy}\n"
    assert labels(plan(grid("score: [dot]\n  normaliser: [sparsemax]", own)), "scope", "normaliser") == [
        ("global", "sparsemax"), ("none", "–")
    ]  # fmt: skip


# semantics.md §9: the normalisers that each of these takes; the others are skipped.
TAKES = {
    ("rnn", "hard"): {"softmax", "ssmax", "sparsemax", "entmax"},
    ("pointer", "global"): {"softmax", "ssmax"},
    ("ntm", "global"): {"softmax", "ssmax", "sparsemax", "entmax"},
    **{("rnn", scope): set(NORMALISERS) for scope in ("global", "local-m", "local-p")},
    **{(model, "self"): set(NORMALISERS) for model in ("transformer", "lstmn")},
}


@pytest.mark.parametrize(("model", "scope"), TAKES)
def test_what_each_model_and_scope_takes(plan: Plans, model: str, scope: str) -> None:
    found = plan(grid(f"score: [dot]\n  scope: [{scope}]\n  normaliser: [{EVERY}]", f"model: {{kind: {model}}}\n"))
    taken = {str(planned.labels["normaliser"]) for planned in found.cells}
    assert taken == TAKES[model, scope]
    assert {skipped.labels["normaliser"] for skipped in found.skipped} == set(NORMALISERS) - taken
    for skipped in found.skipped:
        assert f"normaliser {skipped.labels['normaliser']}" in skipped.reason
        assert scope in skipped.reason or model in skipped.reason


@pytest.mark.parametrize("score", ["location_conv", "coverage", "gmm"])
def test_the_transformer_takes_no_score_that_depends_on_the_previous_step(plan: Plans, score: str) -> None:
    text = grid(f"score: [{score}, dot]\n  scope: [self]\n  model.kind: [transformer, lstmn]")
    found = plan(text)
    assert set(labels(found, "model", "score")) == {("transformer", "dot"), ("lstmn", score), ("lstmn", "dot")}
    assert reasons(found) == [f"score {score} depends on the previous step, and transformer computes all steps at once"]


VALID = [
    "normaliser: [softmax, {name: entmax, alpha: 1.3}, {name: softmax1, sink: learned}]",
    "normaliser: [entmax]\n  normaliser.alpha: [1.2, 4]",
    "normaliser: [ssmax]",
]
INVALID = [
    "normaliser: [sparsemx]",
    "normaliser: [{name: entmax, alpha: 1}]",
    "normaliser: [{name: entmax, alpha: 4.1}]",
    "normaliser: [{name: softmax, alpha: 2}]",
    "normaliser: [entmax]\n  normaliser.alpha: [1]",
    "score.kernel: [4]",
]


@pytest.mark.parametrize(("axes", "valid"), [*((text, True) for text in VALID), *((text, False) for text in INVALID)])
def test_the_json_schema(axes: str, valid: bool) -> None:
    import yaml

    schema = json.loads(json.dumps(json_schema()))
    assert Draft202012Validator(schema).is_valid(yaml.safe_load(grid(f"score: [location_conv]\n  {axes}"))) is valid
