"""The normaliser as an axis of tables, comparisons, baselines and MLflow, also beside runs of earlier versions."""

import csv
import dataclasses
import json
import re

import pytest
from made_up_run import diagonal, outcome, plan, rewrite, write_run

from attnbench import cli
from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.plots import by_setting
from attnbench.analysis.settings import differences, key_of, settings_of
from attnbench.cell import Component
from attnbench.store.store import Store
from attnbench.tracking.content import flat_config, params_of, run_name

ACCURACY = {"softmax": 0.5, "sparsemax": 0.9, "–": 0.3}
SEEDS = list(range(7))


@pytest.fixture
def call(tmp_path, capsys):
    """Two runs of equal cells: `new` with the axis, and `old` as an earlier version has written it."""

    def run(command, *arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, *arguments, "--results", str(tmp_path / "results")])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out + written.err

    new = plan("new", scope=["global", "none"], normaliser=["softmax", "sparsemax"], seed=SEEDS)
    cells = [cell for cell in new.cells if cell.labels["scope"] == "global" or cell.labels["normaliser"] == "softmax"]
    for number, cell in enumerate(cells):
        if cell.labels["scope"] == "none":
            labels = cell.labels | {"normaliser": "–", "score": "–"}
            config = cell.cell.model_copy(update={"normaliser": None, "score": None})
            cells[number] = type(cell)(cell.id, config, labels)
    write(tmp_path, type(new)("new", ("normaliser",), cells, []))
    old = plan("old", scope=["global"], seed=SEEDS)
    store = write(tmp_path, old)
    for cell in old.cells:
        rewrite(store.folder / "cells" / f"{cell.id}.json", lambda record: record["config"].pop("normaliser"))
    return run


def write(folder, grid):
    outcomes = [
        outcome(
            cell,
            exact_match=ACCURACY[cell.labels.get("normaliser", "softmax")] + 0.01 * cell.labels["seed"],
            aer=0.1,
            steps_to_95=300,
        )
        for cell in grid.cells
    ]
    return write_run(folder, grid, outcomes)


def rows(out, *start):
    return [line.split() for line in out.splitlines() if line.split()[: len(start)] == list(start)]


def test_the_table_has_a_row_per_normaliser(call):
    code, out = call("table", "new", "--rows", "normaliser", "--format", "csv", "--where", "scope=global")
    assert code == 0
    assert [row.split(",")[0] for row in out.splitlines()[1:]] == ["softmax", "sparsemax"]
    code, out = call("table", "new", "--format", "csv")
    assert code == 0
    assert {"softmax", "sparsemax", "–"} == {line["normaliser"] for line in csv.DictReader(out.splitlines())}
    code, out = call("table", "new", "--where", "normaliser=none")
    assert code == 0
    assert "sparsemax" not in out
    code, out = call("table", "new", "--where", "normaliser=entmax")
    assert code == 2
    assert "no finished cell has normaliser=entmax" in out


def test_the_axis_is_compared(call):
    code, out = call("compare", "new", "--axis", "normaliser", "--against", "softmax", "--where", "scope=global")
    assert code == 0
    (row,) = rows(out, "sparsemax")
    assert "better" in row
    assert "every normaliser against softmax" in out


def test_show_finds_a_cell_by_its_normaliser_and_names_what_differs(call):
    code, out = call("show", "new", "--where", "normaliser=sparsemax,seed=0")
    assert code == 0
    assert rows(out, "normaliser", "sparsemax")
    code, out = call("show", "new", "--where", "scope=global,seed=0")
    assert rows(out, "normaliser", "softmax", "sparsemax")


def test_a_cell_of_an_earlier_version_has_the_softmax(call, tmp_path):
    code, out = call("show", "old", "--where", "seed=0")
    assert code == 0
    assert rows(out, "normaliser", "softmax")
    cell = "000000000000"
    record = Store(tmp_path / "results" / "old").read(cell)
    assert record["config"]["normaliser"] == {"name": "softmax", "options": {}}


@pytest.mark.usefixtures("call")
def test_settings_and_keys_are_those_of_earlier_versions(tmp_path):
    old, new = (Store(tmp_path / "results" / name).read("000000000000") for name in ("old", "new"))
    # A baseline of an earlier version was written from this, without a normaliser.
    written = {
        "data.max_length": "10", "data.min_length": "3", "data.path": "null", "data.test_examples": "500",
        "data.test_lengths": "[9, 20]", "data.test_path": "null", "data.unseen_symbols": "0",
        "data.validation_examples": "200", "data.validation_path": "null", "data.vocabulary": "20", "model": "rnn",
        "model.width": "64", "scope": "global", "score": "dot", "task": "copy", "train.batch_size": "32",
        "train.clip": "1.0", "train.decay": "0.0", "train.learning_rate": "0.003", "train.steps": "800",
        "train.stop_at": "null", "train.valid_every": "100",
    }  # fmt: skip
    assert settings_of(old) == settings_of(new) == written
    assert key_of(settings_of(new)) == key_of(written)


def test_another_normaliser_and_its_options_are_settings():
    cell = plan().cells[0].cell
    entmax = cell.model_copy(update={"normaliser": Component(name="entmax", options={"alpha": 1.3})})
    without, given = (settings_of({"config": each.model_dump(mode="json")}) for each in (cell, entmax))
    assert {name: given[name] for name in given.keys() - without.keys()} == {
        "normaliser": "entmax",
        "normaliser.alpha": "1.3",
    }
    assert differences(without, given) == ["normaliser: softmax → entmax", "normaliser.alpha: not set → 1.3"]
    assert differences(given, without)[0] == "normaliser: entmax → softmax"


def test_two_runs_of_which_one_was_recorded_by_an_earlier_version(call):
    for first, second in (("old", "new"), ("new", "old")):
        code, out = call("compare", first, second, "--format", "json")
        assert code == 0
        (row,) = json.loads(out)
        assert row["pairs"] == len(SEEDS), "each seed under the softmax, and nothing else, has a partner"
        assert row["difference"] == 0
    code, out = call("compare", "old", "new", "--where", "normaliser=softmax")
    assert code == 0
    assert "normaliser" not in out.partition("Different settings")[2]


def test_a_run_of_another_normaliser_beside_an_earlier_one_says_what_differs(call, tmp_path):
    write(tmp_path, plan("sparse", normaliser=["sparsemax"], seed=SEEDS))
    code, out = call("compare", "old", "sparse")
    assert code == 0
    assert "Different settings: normaliser: softmax → sparsemax." in out
    code, out = call("baseline", "old", "-o", str(tmp_path / "old.csv"))
    code, out = call("check", "sparse", "--baseline", str(tmp_path / "old.csv"))
    assert code == 4
    assert "normaliser: softmax → sparsemax" in out


def test_a_baseline_has_a_column_of_the_normaliser_only_where_it_is_an_axis(call, tmp_path):
    for name in ("old", "new"):
        code, out = call("baseline", name, "-o", str(tmp_path / f"{name}.csv"))
        assert code == 0, out
        code, out = call("check", name, "--baseline", str(tmp_path / f"{name}.csv"))
        assert code == 0, out
    old, new = ((tmp_path / f"{name}.csv").read_text() for name in ("old", "new"))
    assert "normaliser" not in old
    assert "model,score,scope,task,normaliser,configuration," in new
    (sparse,) = [line for line in new.splitlines() if "sparsemax" in line and "exact_match" in line]
    assert "normaliser=sparsemax" in sparse


def test_an_earlier_baseline_holds_against_a_run_with_the_axis(call, tmp_path):
    file = str(tmp_path / "old.csv")
    call("baseline", "old", "-o", file)
    code, out = call("check", "new", "--baseline", file, "--format", "json")
    assert code == 0, out
    verdicts = {(row["scope"], row.get("normaliser")): row["verdict"] for row in json.loads(out)}
    assert verdicts["global", "softmax"] == "unchanged"
    assert verdicts["global", "sparsemax"] == verdicts["none", "–"] == "new"
    code, out = call("check", "new", "--baseline", file)
    assert code == 0
    code, out = call("baseline", "new", "-o", file, "--update")
    assert code == 0, out
    assert "model,score,scope,task,normaliser,configuration," in (tmp_path / "old.csv").read_text()


def test_names_of_configurations_runs_and_settings():
    labels = {"model": "rnn", "score": "dot", "scope": "global", "task": "copy", "normaliser": "entmax alpha=1.3"}
    assert name_of(labels) == "rnn · dot · global · entmax alpha=1.3 · copy"
    assert (
        name_of({name: label for name, label in labels.items() if name != "normaliser"}) == "rnn · dot · global · copy"
    )
    assert name_of(labels | {"normaliser": "–", "model.width": "8"}) == "rnn · dot · global · copy · model.width 8"
    seeded = labels | {"seed": 0}
    assert run_name(seeded, {"scope"}) == "dot · global · entmax alpha=1.3 · copy · seed 0"
    assert run_name(seeded | {"normaliser": "–"}, ()) == "dot · copy · seed 0"


@pytest.mark.usefixtures("call")
def test_pictures_are_named_by_scope_and_normaliser(tmp_path):
    frame = Store(tmp_path / "results" / "new").frame()
    assert [name for name, _ in by_setting(frame)] == ["global · softmax", "global · sparsemax", "none"]


def test_params_of_mlflow():
    cell = plan().cells[0].cell
    params = params_of(cell)
    assert params["normaliser"] == "softmax"
    entmax = params_of(cell.model_copy(update={"normaliser": Component(name="entmax", options={"alpha": 1.3})}))
    assert {name: entmax[name] for name in entmax.keys() - params.keys()} == {"normaliser.alpha": "1.3"}
    assert entmax["normaliser"] == "entmax"
    assert params_of(cell.model_copy(update={"normaliser": None}))["normaliser"] == "–"
    assert flat_config(cell.model_dump(mode="json"))["normaliser"] == "softmax"


def test_the_report_has_a_row_per_normaliser(tmp_path):
    grid = plan("panels", normaliser=["softmax", "sparsemax"])
    outcomes = [dataclasses.replace(outcome(c, exact_match=0.5), alignments=diagonal(["a", "b"])) for c in grid.cells]
    write_run(tmp_path, grid, outcomes)
    file = tmp_path / "report.html"
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "panels", "-o", str(file), "--results", str(tmp_path / "results")])
    assert not ended.value.code
    heads = re.findall(r"<th scope=row[^>]*>([^<]*)", file.read_text().replace('"', ""))
    assert "dot · sparsemax" in heads
    assert "dot · softmax" in heads
