"""Claims in a grid file: every mistake is told before anything trains, with its line, and no cell depends on them."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.grid.claims import Part
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.schema import json_schema
from grid.conftest import Complaints
from grid.snippets import SNIPPETS
from grid.test_schema import accepts

GRID = """\
name: width
seeds: 12
grid:
  score: [dot, scaled_dot]
  normaliser: [softmax, {name: entmax, alpha: 1.3}, {name: entmax, alpha: 1.5}]
  task: [copy, reverse, translate]
  model.width: [16, 128]
exclude: [{score: dot, task: reverse}]
include: [{scope: none, task: copy, model.width: 16}]
data: {test_lengths: [10, 20]}
"""
CONTRACT = """\
claims:
  - says: dot falls behind scaled_dot as the model gets wider
    source: Vaswani et al. 2017, section 3.2.1
    parts:
      - {better: {score: scaled_dot}, than: {score: dot}, where: {model.width: 128}, by: 0.05}
      - {equivalent: {score: scaled_dot}, to: {score: dot}, where: {model.width: 16}, within: 0.03}
      - {at_least: 0.95, of: {score: scaled_dot, model.width: 16}, metric: token_accuracy}
      - {better: {score: scaled_dot}, than: {score: dot}, where: {model.width: 128}, more_than_in: {model.width: 16}}
      - {at_most: 0.1, of: {score: dot, model.width: 16}, in_share: 0.5, metric: exact_match@10}
      - {varies_more: {score: dot}, than: {score: scaled_dot}, where: {model.width: 128}, metric: aer}
"""
PLAIN = "name: g\nseeds: 2\ngrid: {score: [dot, scaled_dot], task: [copy], model.width: [16, 128]}\n"
TESTED = f"{PLAIN}data: {{test_lengths: [10]}}\n"
SETTING = "{scope: global, task: copy, normaliser: softmax, model.width: 16}"


def claims(*parts: str) -> str:
    """A grid's text with one claim; its parts begin in line 13."""
    listed = "".join(f"      - {part}\n" for part in parts)
    return f"{GRID}claims:\n  - says: so\n    parts:\n{listed}"


def test_the_contracts_example_is_read(write: Callable[[str], Path]) -> None:
    grid = load_grid(write(TESTED + CONTRACT))
    expand(grid)
    (claim,) = grid.claims
    assert claim.says == "dot falls behind scaled_dot as the model gets wider"
    assert claim.source == "Vaswani et al. 2017, section 3.2.1"
    wide, narrow, dot, scaled = {"model.width": 128}, {"model.width": 16}, {"score": "dot"}, {"score": "scaled_dot"}
    at = [("claims", 0, "parts", number) for number in range(6)]
    assert claim.parts == (
        Part("better", scaled, dot, wide, limit=0.05, place=at[0]),
        Part("equivalent", scaled, dot, narrow, limit=0.03, place=at[1]),
        Part("at_least", scaled | narrow, metric="token_accuracy", limit=0.95, place=at[2]),
        Part("better", scaled, dot, wide, more_than_in=narrow, place=at[3]),
        Part("at_most", dot | narrow, metric="exact_match@10", limit=0.1, in_share=0.5, place=at[4]),
        Part("varies_more", dot, scaled, wide, metric="aer", place=at[5]),
    )


def test_no_cell_depends_on_claims(write: Callable[[str], Path]) -> None:
    without = expand(load_grid(write(TESTED)))
    assert expand(load_grid(write(TESTED + CONTRACT))) == without


def test_a_component_is_named_by_its_label_or_with_its_options(write: Callable[[str], Path]) -> None:
    written = ["entmax alpha=1.3", "{name: entmax, alpha: 1.3}"]
    where = "{scope: global, task: copy, model.width: 16}"
    text = claims(*(f"{{at_least: 0.5, of: {{score: dot, normaliser: {one}}}, where: {where}}}" for one in written))
    (claim,) = load_grid(write(text)).claims
    assert [part.of["normaliser"] for part in claim.parts] == ["entmax alpha=1.3"] * 2


def test_a_setting_of_an_interaction_takes_what_it_leaves_open_from_where() -> None:
    given = Part(
        "better", {"score": "dot"}, {"score": "cosine"}, {"task": "copy", "model.width": 8}, {"model.width": 4}
    )
    shared = [{"task": "copy", "model.width": 8}, {"task": "copy", "model.width": 4}]
    assert given.configurations == [one | side for one in shared for side in ({"score": "dot"}, {"score": "cosine"})]


# Each with "^" before its place; A and B stand for {score: scaled_dot} and {score: dot}.
MISTAKES = [
    ("{better: A, than: B, where: {^tsk: copy}}", "the grid has no axis 'tsk'", "'task'"),
    ("{better: A, than: B, where: {^seed: 1}}", "the grid has no axis 'seed'", "all seeds"),
    ("{better: A, than: B, where: {^data.path: x}}", "no axis 'data.path'", "its axes: score, normaliser"),
    ("{better: {score: ^scaled}, than: B}", "the axis score has no value 'scaled'", "'scaled_dot'"),
    ("{better: A, than: B, where: {model.width: ^12}}", "model.width has no value 12", "16, 128"),
    ("{better: A, than: B, where: {model.width: ^true}}", "has no value true", "16, 128"),
    ("{better: A, than: B, where: {^score: dot}}", "score is scaled_dot in better and dot in where", "remove"),
    ("{better: A, than: ^A}", "better and than are the same", "two different"),
    ("{better: A, than: B, where: {task: copy}, more_than_in: ^{task: copy}}", "where and more_than_in", "two"),
    ("{better: A, than: B, by: ^-1}", "by should be at least 0, found -1", "exchange"),
    ("{better: A, than: B, by: ^1}", "by should be below 1, the range of exact_match", "0.05"),
    ("{better: A, than: B, by: ^much}", "by should be a number, found 'much'", ""),
    ("{better: A, than: B, by: ^true}", "by should be a number, found true", ""),
    ("{better: A, than: B, metric: ^attended}", "attended has no better direction", "at_least"),
    ("{better: A, than: B, metric: ^exact_mach}", "unknown metric 'exact_mach'", "'exact_match'"),
    ("{better: A, than: B, metric: ^seconds}", "measured once for all seeds", "another"),
    ("{better: A, than: B, metric: ^aer@15}", "the length 15 is not in data.test_lengths", "10, 20"),
    ("{better: A, than: B, metric: ^aer@x}", "a length is a whole number", "aer@20"),
    ("{better: A, than: B, metric: ^steps_to_95@10}", "steps_to_95 is not measured by length", "steps_to_95"),
    ("{better: A, than: B, metric: ^5}", "metric should be the name of a metric, found 5", ""),
    ("{better: A, than: B, ^were: {task: copy}}", "unknown key 'were' in a part with better", "'where'"),
    ("{better: A, than: B, ^within: 0.1}", "unknown key 'within' in a part with better", ""),
    ("{^better: A}", "a part with better needs than", "than: {score"),
    ("{better: A, than: ^dot}", "than should be axes with a value each, found 'dot'", "write {score: dot}"),
    ("{better: A, than: ^revers}", "found 'revers'", "did you mean {task: reverse}?"),
    ("{better: A, than: B, where: ^128}", "found 128", "write {model.width: 128}"),
    ("{better: ^mine, than: B}", "found 'mine'", "{axis: value}; the grid has: score dot, scaled_dot; normaliser "),
    ("{better: ^[mine], than: B}", "better should be axes with a value each, found ", "{axis: value}"),
    ("{better: A, than: ^{}}", "than names no axis", "axis: value"),
    ("{better: A, than: B, ^at_least: 0.5}", "a part has one rule, found better and at_least", "two parts"),
    ("{^beter: A, than: B}", "unknown rule 'beter'", "'better'"),
    ("{^worse: A, than: B}", "unknown rule 'worse'", "known names: at_least, at_most, better, equivalent, varies_more"),
    ("^{where: {task: copy}}", "a part needs a rule, found where", "better, equivalent"),
    ("^{}", "a part needs a rule, found nothing", "better, equivalent"),
    ("^3", "a part should be a mapping, found 3", "better: {score"),
    ("{equivalent: A, to: B, within: ^0}", "within should be above 0, found 0", "e.g. within: 0.02"),
    ("{equivalent: A, to: B, within: ^-0.1}", "within should be above 0, found -0.1", "0.02"),
    ("{equivalent: A, to: B, within: ^0, metric: bleu}", "within should be above 0", "within: 2"),
    ("{^equivalent: A, to: B}", "a part with equivalent needs within", "within: 0.03"),
    ("{at_least: ^95, of: B}", "at_least should be in the range of exact_match, from 0 to 1", ""),
    ("{at_least: ^1, of: B}", "at_least: 1 cannot be shown", "at_least: 0.99"),
    ("{at_most: ^0, of: B}", "at_most: 0 cannot be shown", "at_most: 0.01"),
    ("{at_most: ^0, of: B, metric: loss}", "at_most: 0 cannot be shown", "at_most: 0.01"),
    ("{at_most: ^1, of: B}", "at_most: 1 is true of every exact_match", ""),
    ("{at_least: ^0, of: B, in_share: 0.5}", "at_least: 0 is true of every exact_match", ""),
    ("{at_least: 0.9, of: B, in_share: ^50}", "in_share should be above 0 and below 1, found 50", "0.5"),
    ("{varies_more: A, than: B, ^by: 1}", "unknown key 'by' in a part with varies_more", ""),
    # Found among the cells.
    ("{^better: A, than: B, where: {task: copy}}", "leaves normaliser open", "add normaliser: softmax"),
    ("{at_least: 0.5, ^of: B, where: {task: reverse}}", "no cell of the grid has", "excluded by line 8"),
    (
        "{at_least: 0.5, ^of: B, where: {scope: none}}",
        "no cell of the grid has {scope: none, score: dot}",
        "of or where",
    ),
]


@pytest.mark.parametrize(("marked", "what", "hint"), MISTAKES)
def test_a_mistake_is_told_with_its_place(complaints: Complaints, marked: str, what: str, hint: str) -> None:
    marked = marked.replace("A", "{score: scaled_dot}").replace("B", "{score: dot}")
    problem = next(one for one in complaints(claims(marked.replace("^", ""))) if what in one.what)
    assert problem.where.endswith(f"grid.yaml:14:{9 + marked.index('^')}")
    assert hint in problem.hint


def test_two_sides_that_cannot_be_read_are_not_called_the_same(complaints: Complaints) -> None:
    assert len(complaints(claims("{better: mine, than: yours}"))) == 2


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("claims: 3", "11:9", "claims: should be a list, found 3"),
        ("claims: [so]", "11:10", "a claim should be a mapping, found 'so'"),
        ("claims: [{says: so, sauce: us, parts: [{at_most: 0.1, of: {score: dot}}]}]", "11:21", "unknown key 'sauce'"),
        ("claims: [{says: 3, parts: [{at_most: 0.1, of: {score: dot}}]}]", "11:17", "says should be a text, found 3"),
        ("claims: [{parts: [{at_most: 0.1, of: {score: dot}}]}]", "11:10", "a claim needs says"),
        ("claims: [{says: so}]", "11:10", "parts should be a list of one or more parts, which this claim lacks"),
        ("claims: [{says: so, parts: []}]", "11:28", "parts should be a list of one or more parts, found []"),
    ],
)
def test_a_mistake_around_the_parts_is_told(complaints: Complaints, text: str, place: str, what: str) -> None:
    problem = next(one for one in complaints(f"{GRID}{text}\n") if what in one.what)
    assert problem.where.endswith(f"grid.yaml:{place}")


def test_all_mistakes_are_told_at_once(complaints: Complaints) -> None:
    found = complaints(claims("{equivalent: {score: dot}, to: {score: dto}, where: {tsk: copy}, within: 0, metric: x}"))
    assert len(found) == 4


def test_a_name_of_several_values_is_told(complaints: Complaints) -> None:
    (problem,) = complaints(claims("{at_most: 0.5, of: {normaliser: entmax}}"))
    assert problem.what == "normaliser 'entmax' is several values of the grid"
    assert problem.hint == "write one of: entmax alpha=1.3, entmax alpha=1.5"


def test_sides_that_zip_makes_the_same_cells_are_told(complaints: Complaints) -> None:
    text = "name: g\ngrid: {score: [dot], task: [copy]}\nzip: {model.width: [8, 16], train.steps: [10, 20]}\nclaims:\n"
    part = "{better: {model.width: 8}, than: {train.steps: 10}}"
    (problem,) = complaints(f"{text}  - {{says: so, parts: [{part}]}}\n")
    assert problem.what == "both sides are the same cells"


@pytest.mark.parametrize("value", ["{scope: global}", "{model.width: 64}"])
def test_the_default_of_an_axis_that_only_an_include_has_is_a_value(plan: Callable[[str], object], value: str) -> None:
    text = "name: g\ngrid: {score: [dot], task: [copy]}\ninclude: [{scope: none, task: copy, model.width: 16}]\n"
    plan(f"{text}claims: [{{says: so, parts: [{{at_most: 0.5, of: {value}}}]}}]\n")


def test_zipped_axes_are_chosen_by_one_of_them(plan: Callable[[str], object]) -> None:
    text = "name: g\ngrid: {score: [dot], task: [copy]}\nzip: {model.width: [8, 16], train.steps: [10, 20]}\nclaims:\n"
    plan(f"{text}  - {{says: so, parts: [{{better: {{model.width: 8}}, than: {{train.steps: 20}}}}]}}\n")


def test_a_misspelt_axis_value_is_told_once(complaints: Complaints) -> None:
    """The claims that name it rightly are not called wrong as well."""
    text = PLAIN.replace("[dot, scaled_dot]", "[dto, scaled_dot]") + CONTRACT.replace("exact_match@10", "aer")
    (problem,) = complaints(text)
    assert problem.what.startswith("unknown score 'dto'")


@pytest.mark.parametrize("override", ["claims=[]", "claims=3", "claims.0=1", "claims=[{says: a}]", "claims.x.y=1"])
def test_claims_can_be_set_or_are_refused(write: Callable[[str], Path], override: str) -> None:
    path = write(TESTED + CONTRACT)
    if override == "claims=[]":
        assert load_grid(path, [override]).claims == ()
    else:
        with pytest.raises(AttnbenchError, match=r"--set claims"):
            load_grid(path, [override])


HOLES = [
    "{better: @, than: {score: dot}}",
    "{better: {score: @}, than: {score: dot}}",
    "{at_least: @, of: {score: dot}}",
    "{at_least: 0.9, of: {normaliser: @}, in_share: @}",
    "{@: {score: dot}}",
    "{at_most: 0.1, of: @, metric: @}",
]


@pytest.mark.parametrize("hole", HOLES)
def test_odd_yaml_gives_no_traceback(write: Callable[[str], Path], hole: str) -> None:
    for snippet in SNIPPETS:
        with suppress(AttnbenchError):
            load_grid(write(claims(hole.replace("@", snippet))))


def test_the_json_schema_knows_claims() -> None:
    assert accepts(TESTED + CONTRACT)
    assert json_schema()["$defs"]["claim"]["required"] == ["says", "parts"]
    for wrong in ("3", "[{says: a}]", "[{says: a, parts: [{beter: {score: dot}, than: {score: dot}}]}]"):
        assert not accepts(f"{PLAIN}claims: {wrong}\n")
