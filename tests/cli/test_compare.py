"""`attnbench compare`: one run by an axis, or two runs."""

import dataclasses
import json
import re
import shutil

import pytest
from made_up_run import outcome, plan, write_run

from attnbench import cli


@pytest.fixture
def call(tmp_path, capsys):
    for name, more in (("one", 0.0), ("two", 0.1)):
        grid = plan(name, score=["dot", "general"], task=["copy"], seed=list(range(7)))
        accuracy = {"dot": 0.2, "general": 0.4}
        cells = [
            outcome(c, exact_match=accuracy[c.labels["score"]] + more + 0.01 * c.labels["seed"]) for c in grid.cells
        ]
        write_run(tmp_path, grid, cells)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *arguments, "--results", str(tmp_path / "results")])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out + written.err

    return run


def test_an_axis(call):
    code, out = call("one", "--against", "dot")
    assert code == 0
    assert "every score against dot" in out
    assert next(line.split()[2] for line in out.splitlines() if line.startswith(" general")) == "better"


def test_two_runs(call):
    code, out = call("one", "two", "--format", "csv")
    assert code == 0
    (row,) = out.splitlines()[1:]
    assert row.startswith("two,one,copy,exact_match,0.1")
    assert row.endswith("better")


def test_a_condition_and_a_mistake(call):
    code, out = call("one", "two", "--where", "score=dot", "--format", "csv")
    assert ",7," in out
    code, out = call("one", "--axis", "scoer")
    assert code == 2
    assert "did you mean" in out


def test_runs_of_the_same_name_are_shown_as_they_were_given(call, tmp_path):
    """The run before a change, kept elsewhere."""
    kept = tmp_path / "kept" / "one"
    shutil.copytree(tmp_path / "results" / "one", kept)
    code, out = call(str(kept), "one", "--format", "csv")
    assert code == 0
    (row,) = out.splitlines()[1:]
    assert row.startswith(f"one,{kept},copy,")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["one"], "both arguments are the same run"),
        (["two", "--against", "dot"], "'dot' cannot be used when two runs are compared"),
        (["two", "--axis", "score"], "'score' cannot be used when two runs are compared"),
    ],
)
def test_what_has_no_meaning_for_two_runs_is_refused(call, more, words):
    code, out = call("one", *more)
    assert code == 2
    assert words in out


def test_missing_cells_are_reported(call, tmp_path):
    next((tmp_path / "results" / "one" / "cells").glob("*.json")).unlink()
    code, out = call("one")
    assert code == 0
    assert "1 of 14 cells are not finished" in out


def test_a_run_with_nothing_finished(call, tmp_path):
    for file in (tmp_path / "results" / "one" / "cells").glob("*.json"):
        file.unlink()
    code, out = call("one")
    assert code == 2
    assert "no cell is finished yet" in out


def write_with(folder, name, **sections):
    """A run of which every cell has other fields in the named sections."""
    grid = plan(name, score=["dot"], task=["copy"], seed=list(range(7)))
    cells = []
    for planned in grid.cells:
        changed = {key: getattr(planned.cell, key).model_copy(update=fields) for key, fields in sections.items()}
        cells.append(dataclasses.replace(planned, cell=planned.cell.model_copy(update=changed)))
    grid = dataclasses.replace(grid, cells=cells)
    return write_run(folder, grid, [outcome(c, exact_match=0.5 + 0.01 * c.labels["seed"]) for c in cells])


def test_runs_on_other_data_are_not_comparable(call, tmp_path):
    """Vocabulary 8 against 4: an accuracy of .8 on the easier task is no improvement."""
    write_with(tmp_path, "easy", data={"vocabulary": 4}, train={"steps": 90})
    write_with(tmp_path, "hard", data={"vocabulary": 8}, train={"steps": 30})
    code, out = call("hard", "easy")
    assert code == 4
    assert "hard and easy: data.vocabulary: 8 → 4" in out
    assert "better" not in out


@pytest.mark.parametrize(
    ("axis", "values", "status", "words"),
    [
        ("data__vocabulary", (4, 8), 4, "data.vocabulary: 4 → 8"),
        ("train__steps", (20, 60), 0, "Different settings: train.steps: 20 → 60."),
    ],
)
def test_a_setting_that_is_an_axis_of_both_runs_counts_too(call, tmp_path, axis, values, status, words):
    for name, value in zip(("first", "second"), values, strict=True):
        grid = plan(name, score=["dot"], seed=list(range(8)), **{axis: [value]})
        write_run(tmp_path, grid, [outcome(c, exact_match=0.5 + value / 200) for c in grid.cells])
    code, out = call("first", "second")
    assert code == status, out
    assert words in out


def test_settings_that_are_compared_are_listed(call, tmp_path):
    write_with(tmp_path, "short", train={"steps": 30})
    write_with(tmp_path, "long", train={"steps": 90, "learning_rate": 0.01})
    code, out = call("short", "long")
    assert code == 0
    assert "Different settings: train.learning_rate: 0.003 → 0.01; train.steps: 30 → 90." in out
    assert "Different settings" not in call("short")[1]


def test_latex_is_a_table_of_booktabs(call):
    code, out = call("one", "--against", "dot", "--format", "latex")
    assert code == 0
    assert out.startswith("% one: exact\\_match") or out.startswith("% one: exact_match")
    rows = [line for line in out.splitlines() if line.endswith(r"\\\\") or line.endswith("\\\\")]
    assert [row.split(" & ")[0] for row in rows] == ["score", "dot", "general"]


def test_the_margin_decides_what_is_equivalent(call):
    """The difference is .2 with every seed."""
    assert call("one", "two", "--where", "score=dot", "--format", "csv")[1].strip().endswith("better")
    _, out = call("one", "--against", "dot", "--margin", "0.3", "--format", "json")
    assert json.loads(out)[0]["p_equivalent"] == 2.0**-7


def printed(call, monkeypatch, width, terminal, *arguments):
    monkeypatch.setenv("COLUMNS", str(width))
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    code, out = call(*arguments)
    assert code == 0
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.splitlines()]


@pytest.mark.parametrize("width", [80, 140])
def test_it_fits_the_terminal(call, monkeypatch, width):
    lines = printed(call, monkeypatch, width, True, "one")
    assert max(map(len, lines)) <= width
    first = lines.index(next(line for line in lines if line.startswith("copy, against general: dot is worse.")))
    assert first < next(n for n, line in enumerate(lines) if "P(better)" in line)  # the conclusion comes first


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [50, 80, 100, 140])
def test_no_verdict_is_cut_at_any_width(tmp_path, monkeypatch, capsys, width, terminal):
    """Long names and long verdicts: "no difference found" was "no", and "worse" was "wor".

    A name that is one long word is broken, or the terminal would break every line of the table.
    """
    names = ["a_score_with_a_long_name", "dot", "general rank=16"]
    grid = plan("long", score=names, task=["translate"], seed=list(range(9)))
    accuracy = {names[0]: 0.95, names[1]: 0.94}
    cells = [
        outcome(c, exact_match=accuracy.get(c.labels["score"], 0.9 + 0.01 * (c.labels["seed"] % 2 * 9)))
        for c in grid.cells
    ]
    write_run(tmp_path, grid, cells)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *arguments, "--results", str(tmp_path / "results")])
        return ended.value.code or 0, capsys.readouterr().out

    lines = printed(run, monkeypatch, width, terminal, "long")
    if terminal and width >= 80:
        assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    start = next(n for n, line in enumerate(lines) if "verdict" in line)
    table = " ".join(" ".join(lines[start:]).split())
    for words in (["worse,", "within", "the margin"], ["no difference", "found"], ["translate"]):
        assert all(word in table for word in words), table
    assert "dot is worse, within the margin of ±0.02; no difference found for general rank=16." in text


def test_in_a_file_messages_are_wrapped(call, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out = call("one")
    assert max(map(len, out.splitlines())) <= 120
    assert "\n general  copy " in out


def write_code(folder, name, code):
    grid = plan(name, score=["dot", "general"], task=["copy"], seed=list(range(7)))
    store = write_run(folder, grid, [])
    for cell in grid.cells:
        store.write_pack([outcome(cell, exact_match=0.5)], [cell], code[cell.labels["score"]])


def test_code_that_differs_between_two_runs_is_named(call, tmp_path):
    """The new version against the old one: the user's own file first, and only files of the compared cells."""
    shared = {"training/train.py": "1", "scores/base.py": "1"}
    dot, general = shared | {"plugin:angle.py": "1"}, shared | {"scores/general.py": "1"}
    write_code(tmp_path, "old", {"dot": dot, "general": general})
    new = {
        "dot": dot | {"plugin:angle.py": "2", "training/train.py": "2"},
        "general": general | {"scores/general.py": "2"},
    }
    write_code(tmp_path, "new", new)
    assert "Different code: angle.py, training/train.py." in call("old", "new", "--where", "score=dot")[1]
    assert "Different code: angle.py, scores/general.py, training/train.py." in call("old", "new")[1]
    many = {"dot": dict.fromkeys(dot, "9") | {"sphere": "9"}, "general": general}
    write_code(tmp_path, "many", many)
    assert "Different code: angle.py, sphere and 2 more." in call("old", "many")[1]
    write_code(tmp_path, "same", {"dot": dot, "general": general})
    assert "Different" not in call("old", "same")[1]
    assert "Different code: that of two is not recorded." in call("old", "two")[1]


def test_settings_of_cells_that_are_left_out_do_not_count(call, tmp_path):
    """Other data for one score: the other score can be compared, as the hint of the error says."""
    write_with(tmp_path, "first", data={"vocabulary": 8})
    grid = plan("second", score=["dot", "general"], task=["copy"], seed=list(range(7)))
    cells = [
        dataclasses.replace(
            c, cell=c.cell.model_copy(update={"data": c.cell.data.model_copy(update={"vocabulary": n})})
        )
        for c in grid.cells
        for n in [8 if c.labels["score"] == "dot" else 4]
    ]
    write_run(tmp_path, dataclasses.replace(grid, cells=cells), [outcome(c, exact_match=0.5) for c in cells])
    both = plan("third", score=["dot", "general"], task=["copy"], seed=list(range(7)))
    cells = [
        dataclasses.replace(
            c, cell=c.cell.model_copy(update={"data": c.cell.data.model_copy(update={"vocabulary": 8})})
        )
        for c in both.cells
    ]
    write_run(tmp_path, dataclasses.replace(both, cells=cells), [outcome(c, exact_match=0.5) for c in cells])
    assert call("second", "third")[0] == 4
    assert call("second", "third", "--where", "score=dot")[0] == 0
