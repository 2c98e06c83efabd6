"""The baseline: what it contains, the file format, and the messages about an edited file."""

import csv
from dataclasses import replace
from functools import partial

import pytest
from made_up_run import failed, outcome, plan, rewrite, write_run

from attnbench.analysis.gate.baseline import NEVER, configurations, key_of, rows_of, update
from attnbench.analysis.gate.baseline_file import read, to_text, write
from attnbench.analysis.gate.power import smallest_fall, what_is_seen
from attnbench.errors import AttnbenchError
from attnbench.grid.document import MAX_PROBLEMS
from attnbench.grid.plan import Plan

AXES = {"score": ["general", "dot"], "model__width": [64, 8], "seed": [0, 1, 2]}


def made(tmp_path, name="made-up", accuracy=0.9, axes=None, change=None, **metrics):
    """A run with two scores, two widths and three seeds; `change` edits the configuration of every record."""
    grid = plan(name, **(AXES if axes is None else axes))
    values = {"exact_match": accuracy, **metrics}
    store = write_run(tmp_path, grid, [outcome(cell, **values) for cell in grid.cells])
    for cell in grid.cells:
        rewrite(store.folder / "cells" / f"{cell.id}.json", partial(_as_trained, cell.labels, change))
    return store


def _as_trained(labels, change, record):
    record["config"]["model"]["options"]["width"] = labels.get("model.width", 64)
    record["versions"] = {"torch": "2.9"}
    if change:
        change(record["config"], labels)


def test_one_sorted_row_per_configuration_and_metric(tmp_path):
    text = to_text(rows_of(made(tmp_path, accuracy=0.99796, aer=0.5, loss=1.0)))
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert "# train.steps=800" in comments
    assert not any("seed" in line for line in comments)
    table = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    seen = [(row["score"], row["model.width"], row["metric"]) for row in table]
    assert seen == [(s, w, m) for s in ("dot", "general") for w in ("8", "64") for m in ("aer", "exact_match")]
    assert (table[1]["seeds"], table[1]["values"]) == ("0 1 2", "0.998 0.998 0.998")
    assert table[1]["settings"] == "model.width=8"
    assert table[1]["versions"].endswith("torch 2.9")
    assert len({row["configuration"] for row in table}) == 4


def test_a_file_that_is_written_and_read_gives_the_same_rows(tmp_path):
    def awkward(config, _):
        config["task"]["options"] = {"odd": 'a;b = "c", # d; e=f\nnull', "word": "true", "list": [1, None]}

    rows = rows_of(made(tmp_path, axes={"score": ["dot x=1", 'odd, "name" #; |']}, change=awkward))
    write(rows, file := tmp_path / "b.csv")
    back = read(file)
    assert to_text(back) == file.read_text() == to_text(rows)
    for key in ("labels", "configuration", "metric", "values", "settings", "versions"):
        assert [getattr(row, key) for row in back] == [getattr(row, key) for row in rows]
    lines = file.read_text().splitlines()
    assert all(row.configuration in lines[row.line - 1] for row in back)


def test_the_order_of_the_plan_does_not_matter(tmp_path):
    first = rows_of(made(tmp_path))
    axes = {"score": ["dot", "general"], "model__width": [8, 64], "seed": [2, 0, 1]}
    assert to_text(first) == to_text(rows_of(made(tmp_path / "2", axes=axes)))


def test_the_hash_is_of_everything_but_the_seed(tmp_path):
    def seven(config, _):
        config["train"]["steps"] = 7

    axes = {"seed": [0, 1]}
    (one,) = configurations(made(tmp_path, axes=axes))
    (fresh,) = configurations(made(tmp_path / "fresh", axes={"seed": [5]}))
    (other,) = configurations(made(tmp_path / "other", axes=axes, change=seven))
    assert one.key == fresh.key == key_of(one.settings)
    assert one.key != other.key


def test_data_files_are_identified_by_content(tmp_path):
    def at(path):
        def change(config, _):
            config["data"]["path"] = str(path)

        return change

    for name, content in (("a", "x\ty\n"), ("b", "x\ty\n"), ("c", "other\ty\n")):
        (tmp_path / name).write_text(content)
    a, b, c = (configurations(made(tmp_path / f"of-{n}", axes={}, change=at(tmp_path / n)))[0] for n in "abc")
    assert a.key == b.key != c.key
    with pytest.raises(AttnbenchError, match="nowhere: cannot be read"):
        configurations(made(tmp_path / "x", axes={}, change=at(tmp_path / "nowhere")))


def test_only_a_run_with_all_cells_done_gives_a_baseline(tmp_path):
    grid = plan("half", score=["dot", "general"], seed=[0, 1])
    store = write_run(tmp_path, grid, [outcome(grid.cells[0], exact_match=1.0), failed(grid.cells[2])])
    with pytest.raises(AttnbenchError) as error:
        rows_of(store)
    assert str(error.value).count("→") == 3  # dot: unfinished seeds; general: unfinished and failed ones
    assert "dot · global · copy: seeds 1: not finished" in str(error.value)
    assert "general · global · copy: seeds 0: failed" in str(error.value)


@pytest.mark.parametrize(
    ("metric", "message"),
    [("sekonds", "'sekonds' is not"), ("seconds", "not a metric that can be gated"), ("bleu", "no cell has bleu")],
)
def test_metrics_that_cannot_be_gated_are_refused(tmp_path, metric, message):
    with pytest.raises(AttnbenchError, match=message):
        rows_of(made(tmp_path), [metric])


def test_a_metric_that_only_some_seeds_have_is_refused(tmp_path):
    grid = plan("some", seed=[0, 1])
    store = write_run(tmp_path, grid, [outcome(c, exact_match=1.0, aer=(None, 0.5)[c.cell.seed]) for c in grid.cells])
    with pytest.raises(AttnbenchError, match="only seeds 1 have aer"):
        rows_of(store)
    assert [row.metric for row in rows_of(store, ["exact_match"])] == ["exact_match"]


def test_metrics_by_length(tmp_path):
    rows = rows_of(made(tmp_path, axes={}, exact_match_at_20=0.25), ["exact_match@20"])
    assert [(row.metric, row.values) for row in rows] == [("exact_match@20", {0: 0.25})]


def test_steps_to_95_is_gated_by_default_where_a_seed_got_there(tmp_path):
    grid = plan("steps", score=["dot", "general"], seed=[0, 1, 2])
    steps = {"dot": (200, None, 300), "general": (None, None, None)}
    store = write_run(
        tmp_path,
        grid,
        [outcome(c, exact_match=0.9, steps_to_95=steps[c.labels["score"]][c.cell.seed]) for c in grid.cells],
    )
    rows = {(row.labels["score"], row.metric): row.values for row in rows_of(store)}
    assert rows["dot", "steps_to_95"] == {0: 200, 1: NEVER, 2: 300}
    assert ("general", "steps_to_95") not in rows
    write(rows_of(store), file := tmp_path / "b.csv")
    assert "steps_to_95,0 1 2,200 never 300," in file.read_text()
    assert {(row.labels["score"], row.metric): row.values for row in read(file)} == rows
    with pytest.raises(AttnbenchError, match="no cell has steps_to_95"):
        rows_of(made(tmp_path / "none"), ["steps_to_95"])


def test_never_is_a_value_of_steps_only_and_not_of_all_seeds(tmp_path):
    write(rows_of(made(tmp_path, axes={}, steps_to_95=200)), file := tmp_path / "b.csv")
    text = file.read_text()
    file.write_text(text.replace("0,0.9,", "0,never,"))
    with pytest.raises(AttnbenchError, match="'never' of exact_match is not a number"):
        read(file)
    file.write_text(text.replace("0,200,", "0,never,"))
    with pytest.raises(AttnbenchError, match="no seed has a value of steps_to_95"):
        read(file)


def test_an_update_can_add_a_metric_to_a_file(tmp_path):
    old = rows_of(made(tmp_path, axes={}, steps_to_95=200), ["exact_match"])
    new = rows_of(made(tmp_path / "2", axes={}, steps_to_95=200), ["exact_match", "steps_to_95"])
    assert {row.metric: row.values for row in update(old, new)} == {"exact_match": {0: 0.9}, "steps_to_95": {0: 200}}


def test_what_a_baseline_can_see_depends_on_its_seeds(tmp_path):
    def size(seeds):
        rows = rows_of(made(tmp_path / str(seeds), axes={"score": ["dot", "general"], "seed": range(seeds)}))
        return smallest_fall("exact_match", rows, seeds)

    two, five, ten = map(size, (2, 5, 10))
    assert 0.1 < two < 0.4
    assert 0.02 < five < 0.1
    assert 0.02 <= ten < five


def test_the_smallest_fall_of_a_varying_row_is_larger(tmp_path):
    rows = rows_of(made(tmp_path, axes={"seed": range(5)}))
    wide = [replace(row, values=dict(enumerate((0.5, 0.7, 0.9, 0.6, 0.8)))) for row in rows]
    assert smallest_fall("exact_match", wide, 5) > 3 * smallest_fall("exact_match", rows, 5)
    steps = [replace(row, metric="steps_to_95", values=dict(enumerate((250, 300, 250, 300, 300)))) for row in rows]
    assert 0.2 < smallest_fall("steps_to_95", steps, 5) < 1
    hopeless = [replace(row, values=dict(enumerate((0.0, 0.0, 1.0, 0.0, 1.0)))) for row in rows]
    assert smallest_fall("exact_match", hopeless, 5) is None
    seen, blind = what_is_seen(hopeless)
    assert seen.startswith("with 5 seeds, exact_match never")
    assert blind == ["exact_match"]


# ---- --update


def test_an_update_does_not_change_rows_of_the_same_values(tmp_path):
    old = rows_of(made(tmp_path))
    newer = made(tmp_path / "2")
    for file in (newer.folder / "cells").iterdir():
        rewrite(file, lambda record: record["versions"].update(torch="3.0"))
    assert "3.0" in to_text(rows_of(newer))
    assert to_text(update(old, rows_of(newer))) == to_text(old)
    rewrite(file, lambda record: record["metrics"].update(exact_match=0.95))
    after = to_text(update(old, rows_of(newer))).splitlines()
    changed = [line for line in after if line not in to_text(old).splitlines()]
    assert len(changed) == 1
    assert "0.95" in changed[0]
    assert "torch 3.0" in changed[0]


def test_an_update_keeps_rows_that_are_not_in_the_run_and_replaces_changed_ones(tmp_path):
    def more_steps(config, labels):
        config["train"]["steps"] = 900 if labels["score"] == "dot" else 800

    old = rows_of(made(tmp_path, axes={"score": ["dot", "general", "additive"]}))
    new = rows_of(made(tmp_path / "2", axes={"score": ["dot", "general"]}, accuracy=0.5, change=more_steps))
    rows = {row.labels["score"]: row for row in update(old, new)}
    assert {score: row.values[0] for score, row in rows.items()} == {"additive": 0.9, "dot": 0.5, "general": 0.5}
    assert rows["dot"].settings["train.steps"] == "900"
    assert len(update(old, new)) == 3


def test_an_update_of_one_metric_keeps_the_others(tmp_path):
    old = rows_of(made(tmp_path, axes={}, aer=0.5))
    new = rows_of(made(tmp_path / "2", axes={}, accuracy=0.1, aer=0.1), ["aer"])
    assert {row.metric: row.values for row in update(old, new)} == {"aer": {0: 0.1}, "exact_match": {0: 0.9}}


# ---- the messages about an edited file


@pytest.fixture
def file(tmp_path):
    write(rows_of(made(tmp_path)), tmp_path / "b.csv")
    return tmp_path / "b.csv"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("0.9 0.9 0.9", "0.9 0.9", "3 seeds and 2 values"),
        ("0.9 0.9 0.9", "0.9 0.9 9", "'9' of exact_match is not a number from 0 to 1"),
        ("0.9 0.9 0.9", "0.9 0.9 nan", "'nan' of exact_match is not a number"),
        ("0.9 0.9 0.9", "0.9 0.9 -.1", "'-.1' of exact_match is not a number"),
        ("0 1 2", "0 1 1", "not different whole numbers"),
        ("0 1 2", "0 1 x", "not different whole numbers"),
        ("exact_match", "exakt_match", "'exakt_match' is not a metric"),
        ("model.width=8", "model.width=9", "does not match its settings"),
        ("rnn,", "<<<<<<< ours\nrnn,", "the row has 1 cells, but the header has 11"),
        ('rnn,', 'rnn,"', "not valid CSV"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_file_and_line(file, before, after, message):
    lines = file.read_text().split("\n")
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("rnn"))
    lines[number - 1] = lines[number - 1].replace(before, after, 1)
    file.write_text("\n".join(lines))
    with pytest.raises(AttnbenchError) as error:
        read(file)
    problem = error.value.problems[0]
    assert message in problem.what
    assert problem.where.startswith(f"{file}:")
    if "CSV" not in message:
        assert problem.where == f"{file}:{number}"
        assert problem.source == "\n".join(lines).split("\n")[number - 1]


def test_all_mistakes_are_reported_together(file):
    file.write_text(file.read_text().replace("0.9 0.9 0.9", "0.9 0.9 2"))
    with pytest.raises(AttnbenchError) as error:
        read(file)
    assert len(error.value.problems) == 4


def test_an_edited_shared_setting_is_reported_once(file):
    file.write_text(file.read_text().replace("# train.steps=800", "# train.steps=900"))
    with pytest.raises(AttnbenchError) as error:
        read(file)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _: "", "no column model"),
        (lambda text: text[: text.index("rnn")], "the file has no rows"),
        (lambda text: text.replace(",metric,", ",metrik,"), "no column metric"),
        (lambda text: text.replace("model.width,", "score,"), "the column score occurs twice"),
        (lambda text: text + text.splitlines()[-1] + "\n", "line 22 already has"),
        (lambda text: "# nonsense\n" + text, "'# nonsense' is not a setting"),
    ],
)
def test_a_file_that_is_not_a_baseline_is_refused(file, edit, message):
    file.write_text(edit(file.read_text()))
    with pytest.raises(AttnbenchError, match=message):
        read(file)


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(AttnbenchError, match="no such baseline"):
        read(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AttnbenchError, match="cannot be read"):
        read(tmp_path / "b.csv")
    with pytest.raises(AttnbenchError, match="no such folder"):
        write(rows_of(made(tmp_path)), tmp_path / "no" / "b.csv")


def test_a_file_saved_by_a_spreadsheet_is_read(file):
    rows = read(file)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read(file) == rows


def test_a_configuration_without_finished_cells_has_only_labels(tmp_path):
    grid = plan("none", seed=[0, 1])
    store = write_run(tmp_path, Plan(grid.name, grid.axes, grid.cells, []), [])
    (one,) = configurations(store)
    assert (one.key, one.unfinished, one.labels["score"]) == ("", (0, 1), "dot")


def test_many_mistakes_are_not_all_reported(tmp_path):
    write(rows_of(made(tmp_path)), file := tmp_path / "b.csv")
    with file.open("a") as out:
        out.writelines(f"row {number}\n" for number in range(10_000))
    with pytest.raises(AttnbenchError) as caught:
        read(file)
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert "there may be more" in caught.value.problems[-1].what
