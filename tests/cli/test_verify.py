"""`attnbench verify`: exit statuses, formats, and saved cells in place of a run."""

import json
import re
import subprocess
import sys

import pytest
from analysis.claims.made_up_claims import WHERE, A, B, claim, run_with

import attnbench
from attnbench import cli

BETTER = f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.05}}"
OPEN = f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.2}}"
WRONG = f"{{better: {B}, than: {A}, where: {WHERE}}}"


def accuracy(labels):
    return 0.5 + 0.2 * (labels["score"] == "additive") + 0.01 * (labels["seed"] % 3 - 1) * (labels["score"] == "dot")


@pytest.fixture
def make(tmp_path):
    """Makes a run with these claims."""

    def make(*claims, name="made-up", **options):
        store = run_with(tmp_path / name, claims, accuracy, **options)
        text = (store.folder / "grid.yaml").read_text().replace("name: made-up", f"name: {name}")
        (store.folder / "grid.yaml").write_text(text)
        folder = tmp_path / "results" / name
        folder.parent.mkdir(exist_ok=True)
        store.folder.rename(folder)
        (tmp_path / f"{name}.yaml").write_text(text)
        return name

    return make


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["verify", *arguments])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    return run


@pytest.mark.parametrize(
    ("parts", "strict", "status"),
    [
        ([BETTER], True, 0),
        ([BETTER, OPEN], False, 0),
        ([BETTER, OPEN], True, 4),
        ([BETTER, WRONG], False, 3),
        ([OPEN, WRONG], True, 3),
    ],
)
def test_the_exit_status(make, call, parts, strict, status):
    make(claim(*parts))
    assert call("made-up", *["--strict"] * strict)[0] == status


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_text_fits_the_terminal(make, call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    make(claim(BETTER, OPEN, says="additive is better than dot, as everybody knows who has ever tried both of them"))
    _, out, _ = call("made-up")
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0] == "made-up"
    assert lines[2].startswith("undecided     additive is better")
    assert any(line.startswith("  supported     additive better than dot by 0.05") for line in lines)
    assert lines[-1] == "1 claim: 1 undecided"
    assert re.search(r"difference \+0\.\d+ \[\+0\.\d+, \+0\.\d+\]", out)


def test_json_has_the_documented_keys(make, call):
    make(claim(BETTER, says="a", source="b"), claim(f"{{varies_more: {B}, than: {A}, where: {WHERE}}}"))
    code, out, _ = call("made-up", "--format", "json")
    first, second = json.loads(out)
    assert code == 0
    assert (first["says"], first["source"], first["verdict"], first["run"]) == ("a", "b", "supported", "made-up")
    (part,) = first["parts"]
    assert part["difference"] == pytest.approx(0.2, abs=0.01)
    assert part["interval"][0] < part["difference"] < part["interval"][1]
    assert part["p_better"] == 1
    assert part["p_better_interval"][0] > 0.5
    assert (part["pairs"], part["verdict"], part["confidence"]) == (12, "supported", 0.95)
    assert part["where"] == {"task": "copy", "model.width": 16}
    assert part["sides"] == {"better": {"score": "additive"}, "than": {"score": "dot"}}
    assert second["parts"][0]["value"] is None  # the variance of additive is 0, and infinity is no JSON
    assert second["verdict"] == "supported"


def test_markdown_is_escaped(make, call):
    make(claim(BETTER, says="'a | b is *better*'"))
    _, out, _ = call("made-up", "--format", "markdown")
    assert r"**supported**: a \| b is \*better\*" in out
    assert "| additive better than dot by 0.05 | exact_match, task copy, model.width 16 | supported |" in out


def test_several_runs(make, call):
    make(claim(BETTER), name="one")
    make(claim(WRONG), name="two")
    code, out, _ = call("one", "two", "one")
    assert code == 3
    assert out.splitlines()[-1] == "2 claims: 1 supported, 1 contradicted"


def test_committed_cells_are_verified_in_one_command(make, call):
    make(claim(BETTER), name="one")
    make(claim(WRONG, OPEN), name="two")
    status, _, err = call("one", "two", "--save-cells", "cells")
    assert err.splitlines() == ["Wrote cells/one.csv", "Wrote cells/two.csv"]
    again, saved, _ = call("one.yaml", "two.yaml", "--cells", "cells", "--format", "json")
    assert again == status == 3
    _, fresh, _ = call("one", "two", "--format", "json")
    assert json.loads(saved) == json.loads(fresh)


def test_one_file(make, call):
    make(claim(BETTER))
    assert call("made-up", "--save-cells", "here.csv")[0] == 0
    assert call("made-up.yaml", "--cells", "here.csv")[0] == 0


def test_mistakes_in_the_arguments(make, call):
    make(claim(BETTER), name="one")
    make(claim(BETTER), name="two")
    for arguments, message in (
        (["three"], "there is no run 'three'"),
        (["one", "--cells", "cells"], "--cells: 'one' is not a grid file"),
        (["one.yaml", "--cells", "cells"], "cells/one.csv: there are no saved cells of the grid one"),
        (["one.yaml", "two.yaml", "--cells", "a.csv"], "--cells: a.csv is one file, and there are 2 runs"),
        (["one", "two", "--save-cells", "a.csv"], "--save-cells: a.csv is one file, and there are 2 runs"),
        (["one.yaml", "--cells", "a", "--save-cells", "b"], "--save-cells: cannot be used with --cells"),
        (["one", "--save-cells", "one.yaml/x"], "--save-cells one.yaml/x: this folder cannot be made"),
        (["four", "three"], "there is no run 'four'"),
    ):
        code, _, err = call(*arguments)
        assert code == 2
        assert message in err
    assert "there is no run 'three'" in call("four", "three")[2]  # all of them at once


def test_an_unfinished_run_names_the_missing_cells(make, call):
    make(claim(BETTER), without=lambda labels: labels["seed"] == 11)
    code, out, err = call("made-up")
    assert (code, out) == (2, "")
    assert "2 of 24 cells that the claims are about are missing: score dot, task copy, model.width 16, seed 11" in err


def test_in_python(make, tmp_path):
    make(claim(BETTER, OPEN))
    found = attnbench.load("made-up", tmp_path / "results").verify()
    assert list(found.frame["verdict"]) == ["supported", "undecided"]
    assert list(found.frame["claim_verdict"]) == ["undecided"] * 2
    assert found.frame["low"].between(0, 0.3).all()
    assert "**undecided**: so it is (ours)" in found.text
    assert found.html.startswith("<table>")


def test_torch_is_not_imported(make, tmp_path):
    make(claim(BETTER))
    code = f"import sys; from attnbench import cli\ntry: cli.main({['verify', 'made-up']!r})\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_claims_of_a_grid_file_that_differ_from_those_of_its_run_are_remarked_on(make, call, tmp_path):
    """Those of the last run are verified; another layout of the file is no difference."""
    make(claim(BETTER))
    file = tmp_path / "made-up.yaml"
    text = file.read_text()
    file.write_text(f"# the same\n{text}".replace("by: 0.05", "by: .05"))
    assert call("made-up.yaml")[2] == ""
    file.write_text(text.replace("by: 0.05", "by: 0.06"))
    code, out, err = call("made-up.yaml", "--format", "json")
    assert (code, json.loads(out)[0]["parts"][0]["limit"]) == (0, 0.05)
    assert err == (
        "made-up.yaml has other claims than its last run, which are verified (results/made-up/grid.yaml): "
        "attnbench run made-up.yaml takes them over\n"
    )
    assert call("made-up")[2] == ""


def test_claims_that_were_written_after_the_run_are_remarked_on(make, call, tmp_path):
    make(claim(BETTER))
    copy = tmp_path / "results" / "made-up" / "grid.yaml"
    copy.write_text(copy.read_text().partition("claims:")[0])
    code, _, err = call("made-up.yaml")
    assert code == 2
    assert err.startswith("made-up.yaml has other claims than its last run, ")
    assert "the grid has no claims" in err
