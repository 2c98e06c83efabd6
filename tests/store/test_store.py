import errno
import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_run import diagonal, failed, outcome, plan, write_run

from attnbench.errors import AttnbenchError
from attnbench.grid.plan import Skipped
from attnbench.grid.tune import Tuned
from attnbench.metrics import METRICS
from attnbench.outcome import Outcome
from attnbench.store.alignments import read_alignments
from attnbench.store.runs import summary
from attnbench.store.store import Store

CONTRACT = "cell,status,model,score,scope,task,seed"


def two_by_two(tmp_path):
    """Two scores × two widths × seeds 0 and 1, written out of order; the last cell is not finished."""
    grid = plan(score=["dot", "general"], model__width=[32, 64], seed=[0, 1])
    outcomes = [
        outcome(c, exact_match=0.1 * n, exact_match_at_20=0.5, exact_match_at_9=0.25, loss_at_20=1.5)
        for n, c in enumerate(grid.cells[:-1])
    ]
    outcomes[2] = failed(grid.cells[2])
    return grid, write_run(tmp_path, grid, reversed(outcomes))


def test_the_table_has_the_contracts_columns_in_plan_order(tmp_path):
    grid, store = two_by_two(tmp_path)
    store.write_table()
    lines = (store.folder / "table.csv").read_text().splitlines()
    expected = f"{CONTRACT},model.width,{','.join(METRICS)},exact_match@9,exact_match@20,error"
    assert lines[0] == expected
    assert [line.split(",")[0] for line in lines[1:]] == [c.id for c in grid.cells[:-1]]
    assert lines[3].split(",")[1] == "failed"
    assert lines[3].endswith("the loss is NaN at step 7")
    assert lines[2] == "000000000001,done,rnn,dot,global,copy,1,32,0.1,,,,,,,,12345,,,,,,,,,0.25,0.5,"


def test_the_table_is_the_same_bytes_whatever_the_order_of_writing(tmp_path):
    grid, store = two_by_two(tmp_path)
    store.write_table()
    other = Store(tmp_path / "other")
    other.start(grid, "")
    for cell in grid.cells[:-1]:
        record = store.read(cell.id)
        again = Outcome(cell.id, record["status"], 0, record["metrics"], error=record["error"])
        other.write_pack([again], [cell], {})
    other.write_table()
    assert (other.folder / "table.csv").read_bytes() == (store.folder / "table.csv").read_bytes()


def test_the_frame_keeps_types_and_the_other_metrics_per_length(tmp_path):
    _, store = two_by_two(tmp_path)
    frame = store.frame()
    assert list(frame.columns[-3:]) == ["pack", "test_examples", "loss@20"]
    assert frame["model.width"].tolist() == [32, 32, 64, 64, 32, 32, 64]
    assert frame["model.width"].dtype == "int64"
    assert frame["parameters"].dtype == "Int64"
    assert frame["parameters"].iloc[0] == 12345
    assert math.isnan(frame["exact_match"].iloc[2])
    assert frame["bleu"].dtype == "float64"


@pytest.mark.parametrize("fact", ["test_lines", "test_images", "test_words"])
def test_the_test_set_of_a_file_is_as_large_as_the_file_allows(tmp_path, fact):
    """One sentence of 40 is not called better, though data.test_examples is 500."""
    grid = plan(seed=range(3))
    own = [
        replace(c, cell=c.cell.model_copy(update={"data": c.cell.data.model_copy(update={"path": "a.tsv"})}))
        for c in grid.cells
    ]
    results = [
        replace(outcome(c), facts={fact: size} if size else {}) for c, size in zip(own, (40, 9000, 0), strict=False)
    ]
    frame = write_run(tmp_path, replace(grid, cells=own), results).frame()
    assert list(frame["test_examples"].fillna(-1)) == [40, own[0].cell.data.test_examples, -1]


def test_labels_of_mixed_types_stay_as_they_are(tmp_path):
    grid = plan(train__clip=[1, 2.5, None])
    frame = write_run(tmp_path, grid, map(outcome, grid.cells)).frame()
    assert [repr(label) for label in frame["train.clip"]] == ["1", "2.5", "None"]


def test_an_empty_run_has_a_table_without_rows(tmp_path):
    store = write_run(tmp_path, plan(), [])
    store.write_table()
    assert (store.folder / "table.csv").read_text() == f"{CONTRACT},{','.join(METRICS)},error\n"
    assert store.states() == {}


def test_a_cell_is_written_whole_and_without_nan(tmp_path):
    grid = plan()
    cell = grid.cells[0]
    result = replace(outcome(cell, loss=math.nan, aer=math.inf), history=[{"step": 1, "valid/loss": math.nan}])
    store = write_run(tmp_path, grid, [result])
    text = (store.folder / "cells" / f"{cell.id}.json").read_text()
    record = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    names = {
        "cell",
        "status",
        "labels",
        "config",
        "digests",
        "metrics",
        "history",
        "error",
        "versions",
        "code",
        "pack",
        "facts",
    }
    assert set(record) == names | {"alignments", "digest", "facts"}
    assert record["metrics"]["loss"] is record["metrics"]["aer"] is record["history"][0]["valid/loss"] is None
    assert record["labels"] == cell.labels
    assert record["config"]["data"]["test_lengths"] == [9, 20]
    assert [file.name for file in store.folder.rglob("*") if file.name.startswith(".")] == [".index"]


def test_an_interruption_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    grid = plan()
    store = write_run(tmp_path, grid, [outcome(grid.cells[0], exact_match=0.5)])
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        store.write_pack([outcome(grid.cells[0], exact_match=0.75)], [grid.cells[0]], {})
    assert store.read(grid.cells[0].id)["metrics"]["exact_match"] == 0.5
    assert [file.name for file in (store.folder / "cells").iterdir()] == ["000000000000.json"]


def test_alignments_are_read_as_they_were_written(tmp_path):
    grid = plan(seed=[0, 1])
    given = replace(diagonal(["a", "bc"]), source=[["a", "bc", "</s>"], ["été"]])
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=given), outcome(grid.cells[1])])
    found = store.alignments(grid.cells[0].id)
    for name in ("source", "target", "forming_source", "forming_target"):
        assert getattr(found, name) == getattr(given, name)
    for name in ("weights", "links", "forming", "forming_links", "steps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert store.alignments(grid.cells[1].id) is None


@pytest.mark.parametrize("heads", [0, 1, 3])
def test_heads_are_read_as_they_were_written(tmp_path, heads):
    grid, given = plan(), diagonal(["a", "b"], heads=heads)
    given = replace(given, forming_heads=given.heads / 2)  # so that the two differ
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=given)])
    with np.load(store.folder / "alignments" / f"{grid.cells[0].id}.npz") as archive:
        assert {"heads", "forming_heads"} & set(archive) == ({"heads", "forming_heads"} if heads else set())
    found = store.alignments(grid.cells[0].id)
    for name in ("weights", "forming", *(("heads", "forming_heads") if heads else ())):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert found.heads.shape[1] == found.forming_heads.shape[1] == heads


def test_an_archive_from_before_there_were_heads_still_reads(tmp_path):
    file, sentence, square = tmp_path / "old.npz", np.array([["a", "</s>"]]), np.eye(2)
    texts = dict.fromkeys(("source", "target", "forming_source", "forming_target"), sentence)
    arrays = {"weights": square[None], "links": square[None] > 0, "forming": square[None], "forming_links": square > 0}
    np.savez_compressed(file, steps=np.array([7]), **texts, **arrays)
    found = read_alignments(file)
    assert (found.source, found.forming_target, found.steps.tolist()) == ([["a", "</s>"]], ["a", "</s>"], [7])
    np.testing.assert_array_equal(found.weights, square[None])
    assert found.heads.shape == found.forming_heads.shape == (0, 0, 0, 0)


def test_a_cell_trained_again_without_alignments_keeps_none(tmp_path):
    grid = plan()
    store = write_run(
        tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=diagonal(["a"])), failed(grid.cells[0])]
    )
    assert store.alignments(grid.cells[0].id) is None


def test_broken_alignments_are_reported_with_their_file(tmp_path):
    grid = plan()
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=diagonal(["a"]))])
    file = store.folder / "alignments" / f"{grid.cells[0].id}.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(AttnbenchError, match=file.name):
        store.alignments(grid.cells[0].id)


SOUND = {"cell": "000000000001", "status": "done", "labels": {}, "config": {}, "metrics": {}, "history": [],
         "error": None, "versions": {}}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        '{"cell": "000000000001", "sta',
        "",
        "[1]",
        "\0\0\0",
        json.dumps(SOUND | {"status": "perhaps"}),
        json.dumps(SOUND | {"cell": "000000000000"}),
        json.dumps(SOUND | {"metrics": {"exact_match": "high"}}),
        json.dumps(SOUND | {"metrics": {"exact_match": math.nan}}),
        json.dumps(SOUND | {"metrics": {"steps_to_95": 12.5}}),
        json.dumps(SOUND | {"metrics": None}),
        json.dumps(SOUND | {"metrics": {"loss": 10**400}}),
        json.dumps(SOUND | {"metrics": {"steps_to_95": 7e307}}).replace("e+307", "e999"),
        json.dumps(SOUND | {"error": 7}),
        "[" * 100_000,
    ],
)
def test_a_broken_cell_counts_as_not_done_and_is_named(tmp_path, content):
    grid = plan(seed=[0, 1])
    store = write_run(tmp_path, grid, map(outcome, grid.cells))
    (store.folder / "cells" / "000000000001.json").write_text(content)
    assert store.states() == {"000000000000": "done"}
    assert len(store.frame()) == 1
    assert len(store.broken) == 1
    assert "000000000001.json" in store.broken["000000000001"]
    with pytest.raises(AttnbenchError, match="delete it"):
        store.read("000000000001")


def sealed_pair(tmp_path):
    """Two cells of a pack with alignments, and their store."""
    grid = plan(seed=[0, 1])
    outcomes = [replace(outcome(c, exact_match=0.5), alignments=diagonal(["a"])) for c in grid.cells]
    store = write_run(tmp_path, grid, [])
    store.write_pack(outcomes, grid.cells, {"a.py": "1"})
    return grid, store, outcomes


@pytest.mark.parametrize("warm", [False, True], ids=["no index", "index"])
@pytest.mark.parametrize(
    ("folder", "change"),
    [
        ("alignments", lambda file: file.write_bytes(file.read_bytes()[:-20])),
        ("alignments", lambda file: file.write_bytes(b"")),
        ("alignments", lambda file: file.unlink()),
        ("alignments", lambda file: file.write_bytes(bytes([*file.read_bytes()[:-1], 7]))),
        ("cells", lambda file: file.write_text(file.read_text().replace("0.5", "0.9"))),
        ("cells", lambda file: file.write_text(file.read_text().replace('"done"', '"failed"'))),
    ],
)
def test_what_was_cut_lost_or_edited_counts_as_not_done_and_is_named(tmp_path, folder, change, warm):
    _, store, _ = sealed_pair(tmp_path)
    if not warm:
        (store.folder / ".index").unlink()
    (file,) = (store.folder / folder).glob("000000000001.*")
    change(file)
    again = Store(store.folder)
    assert again.states() == {"000000000000": "done"}
    assert [str(file) in what for what in again.broken.values()] == [True]


def test_the_index_has_the_content_of_the_files_so_that_they_are_not_read(tmp_path, monkeypatch):
    _, store, _ = sealed_pair(tmp_path)
    from_files = Store(store.folder)
    (store.folder / ".index").rename(store.folder / "aside")
    expected = dict(from_files.summaries())
    (store.folder / "aside").rename(store.folder / ".index")
    monkeypatch.setattr("attnbench.store.index.read_record", lambda file: pytest.fail(f"{file} was read"))
    found = dict(Store(store.folder).summaries())
    assert found == expected
    assert {cell: s.metrics["exact_match"] for cell, s in found.items()} == dict.fromkeys(found, 0.5)
    assert found["000000000000"].code == {"a.py": "1"}
    assert found["000000000000"].digest == store.read("000000000000")["digest"]


def test_an_index_with_the_line_ends_of_windows_is_used(tmp_path, monkeypatch):
    _, store, _ = sealed_pair(tmp_path)
    index = store.folder / ".index"
    index.write_bytes(index.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr("attnbench.store.index.read_record", lambda file: pytest.fail(f"{file} was read"))
    assert Store(store.folder).states() == dict.fromkeys(["000000000000", "000000000001"], "done")


@pytest.mark.parametrize("content", ["", "\0", "000000000000 7/7 7/7\t{}\n", "code\t[\n\t\n"])
def test_an_invalid_index_is_rebuilt(tmp_path, content):
    grid, store, _ = sealed_pair(tmp_path)
    index = store.folder / ".index"
    sound = index.read_text()
    for broken in (content, sound[: len(sound) // 2], sound[:-3], sound.replace("code", "cod")):
        index.write_text(broken)
        again = Store(store.folder)
        assert again.states() == dict.fromkeys(["000000000000", "000000000001"], "done")
        again.start(grid, "")
        assert sorted(index.read_text().splitlines()) == sorted(sound.splitlines())


def test_an_index_that_is_a_link_is_not_written_through(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    grid = plan("first")
    store = Store(tmp_path / "first")
    store.start(grid, "")
    (store.folder / ".index").symlink_to(mine)
    store.write_pack([outcome(cell) for cell in grid.cells], grid.cells, {})
    store.start(grid, "")
    assert mine.read_text() == "mine"
    assert set(Store(store.folder).states()) == {cell.id for cell in grid.cells}


@pytest.mark.parametrize("moved", range(5))
def test_a_pack_is_kept_whole_or_not_at_all_wherever_the_run_is_killed(tmp_path, monkeypatch, moved):
    """Killed before the pack is committed (0), or after `moved` of its files were moved to their final place."""
    grid, store, outcomes = sealed_pair(tmp_path)
    replace_file, rename, moves = Path.replace, Path.rename, []

    def killed(self, target):
        if self.parent.name.startswith(".written-"):
            moves.append(self)
            if len(moves) == moved + 1:
                raise KeyboardInterrupt
        return replace_file(self, target)

    def killed_before(self, target):
        if moved == 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(Path, "rename", killed_before)
    monkeypatch.setattr("attnbench.store.commit.shutil.rmtree", lambda *_, **__: None)  # a killed run clears nothing
    new = [replace(o, metrics=o.metrics | {"exact_match": 0.25}) for o in outcomes]
    if moved < 4:
        with pytest.raises(KeyboardInterrupt):
            store.write_pack(new, grid.cells, {})
    else:
        store.write_pack(new, grid.cells, {})
    monkeypatch.undo()
    again = Store(store.folder)
    again.recover()
    found = {cell: summary.metrics["exact_match"] for cell, summary in again.summaries()}
    assert found == dict.fromkeys(found, 0.5 if moved == 0 else 0.25)
    assert len(found) == 2
    assert again.broken == {}
    assert [file.name for file in store.folder.iterdir() if file.name.startswith(".wri")] == []


def test_a_pack_is_kept_where_folders_cannot_be_synced_and_alignments_are_on_another_disk(tmp_path, monkeypatch):
    grid, store, outcomes = sealed_pair(tmp_path)
    replace_file, fsync = Path.replace, os.fsync

    def across_disks(self, target):
        if self.parent.name.startswith(".written-") and target.parent.name == "alignments":
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(self), None, str(target))
        return replace_file(self, target)

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(Path, "replace", across_disks)
    monkeypatch.setattr(os, "fsync", files_only)
    new = [replace(o, alignments=diagonal(["b", "c"])) for o in outcomes]
    store.write_pack(new, grid.cells, {})
    again = Store(store.folder)
    assert again.states() == dict.fromkeys(["000000000000", "000000000001"], "done")
    assert again.alignments("000000000001").source[0] == ["b", "c", "</s>"]
    assert [file.name for file in store.folder.rglob(".*") if file.name != ".index"] == []


def test_a_kept_pack_is_finished_whatever_else_lies_there(tmp_path):
    _, store, _ = sealed_pair(tmp_path)
    (store.folder / ".written-000000000000").mkdir()
    for folder in ("cells", "alignments"):
        for file in (store.folder / folder).iterdir():
            file.rename(store.folder / ".written-000000000000" / file.name)
    (store.folder / ".written-000000000000" / ".DS_Store").write_text("")
    (store.folder / "cells").rmdir()
    again = Store(store.folder)
    assert any("a run was killed while saving 1 pack" in note for note in again.notes())
    again.recover()
    assert again.states() == dict.fromkeys(["000000000000", "000000000001"], "done")
    assert again.notes() == []


def test_an_edited_index_is_not_used(tmp_path):
    _, store, _ = sealed_pair(tmp_path)
    index = store.folder / ".index"
    index.write_text(index.read_text().replace("0.5", "0.9"))
    assert Store(store.folder).frame()["exact_match"].tolist() == [0.5, 0.5]


def test_flipped_bytes_of_an_archive_are_detected(tmp_path):
    """Also without a digest, which files of earlier versions do not have."""
    _, store, _ = sealed_pair(tmp_path)
    file = store.folder / "alignments" / "000000000000.npz"
    content, detected = file.read_bytes(), 0
    for at in range(0, len(content), 3):
        file.write_bytes(content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :])
        try:
            read_alignments(file)
        except AttnbenchError:
            detected += 1
    assert detected > 100


def test_an_error_with_bytes_that_are_not_utf8_is_kept(tmp_path):
    grid = plan()
    store = write_run(tmp_path, grid, [failed(grid.cells[0], "no file a\udc80b")])
    assert store.frame()["error"].tolist() == ["no file a\\udc80b"]


def test_notes_list_what_a_table_leaves_out(tmp_path):
    grid = replace(plan(seed=[0, 1, 2]), skipped=[Skipped({}, "no sense")])
    store = write_run(tmp_path, grid, [outcome(grid.cells[0])])
    (store.folder / "cells" / "000000000002.json").write_text("{")
    waiting, skipped, broken = store.notes()
    assert waiting == "2 of 3 cells are not finished"
    assert skipped.startswith("1 combination skipped")
    assert "000000000002.json" in broken


def test_a_cell_that_the_plan_no_longer_asks_for_is_kept_but_not_shown(tmp_path):
    store = write_run(tmp_path, plan(seed=[0, 1]), map(outcome, plan(seed=[0, 1]).cells))
    store.start(plan(seed=[0]), "")
    (store.folder / "cells" / "000000000002.json").write_text("{")
    assert store.notes() == [], "nor is what is wrong with it"
    assert len(store.states()) == 2
    assert len(store.frame()) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"axes": [], "cells": [{"id": "a"}], "skipped": []}'])
def test_a_broken_plan_is_reported(tmp_path, content):
    store = write_run(tmp_path, plan(), [])
    (store.folder / "plan.json").write_text(content)
    with pytest.raises(AttnbenchError, match=r"plan\.json"):
        store.frame()


def test_find_takes_the_only_cell_with_this_prefix(tmp_path):
    grid = plan(seed=range(17))
    store = write_run(tmp_path, grid, [])
    assert store.find("000000000010") == "000000000010"
    assert store.find("00000000001") == "000000000010"
    with pytest.raises(AttnbenchError, match=r"16 cells begin.*, …"):
        store.find("00000000000")
    with pytest.raises(AttnbenchError, match="no cell begins"):
        store.find("f")
    with pytest.raises(AttnbenchError, match="not finished"):
        store.read("000000000010")


def test_open_takes_a_name_or_a_folder_and_suggests(tmp_path, monkeypatch):
    results = write_run(tmp_path, plan("quickstart"), []).folder.parent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert Store.open("quickstart", results).folder == results / "quickstart"
    assert Store.open("results/quickstart", Path("elsewhere")).name == "quickstart"
    with pytest.raises(AttnbenchError, match="did you mean 'quickstart'"):
        Store.open("quikstart", results)
    with pytest.raises(AttnbenchError, match=r"its runs: quickstart$") as caught:
        Store.open("other", results)
    assert caught.value.problems[0].where == str(results)
    with pytest.raises(AttnbenchError, match="no such folder\n  → train one first") as caught:
        Store.open("quickstart", tmp_path / "empty")
    assert caught.value.problems[0].where == str(tmp_path / "empty")


def test_a_folder_that_cannot_be_created_or_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(AttnbenchError, match="--results"):
        Store(tmp_path / "results" / "run").start(plan(), "")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(AttnbenchError, match="cannot be written"):
        Store(tmp_path / "other").start(plan(), "")
    assert not (tmp_path / "other" / "grid.yaml").exists()


def test_the_grid_is_kept_as_it_was_run(tmp_path):
    assert (write_run(tmp_path, plan(), []).folder / "grid.yaml").read_text() == "name: made-up\n"


def test_a_grid_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    store = write_run(tmp_path, plan(), [])
    monkeypatch.setattr("attnbench.store.store.MOST_BYTES", 10)
    with pytest.raises(AttnbenchError, match=r"grid\.yaml: cannot be read: it is larger than 10 bytes"):
        store.grid_text()


def test_open_takes_the_grid_file(tmp_path, monkeypatch):
    results = write_run(tmp_path, plan("quickstart"), []).folder.parent
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: quickstart\n")
    assert Store.open("mine.yaml", results).folder == results / "quickstart"
    Path("mine.yaml").write_text("name: other\n")
    with pytest.raises(AttnbenchError, match=r"there is no run 'other'\n  → attnbench run mine\.yaml"):
        Store.open("mine.yaml", results)
    with pytest.raises(AttnbenchError, match=r"there is no run 'mine\.yml'\n  → did you mean mine\.yaml\?"):
        Store.open("mine.yml", results)
    Path("my grid.yaml").write_text("name: other\n")
    with pytest.raises(AttnbenchError, match=r"→ attnbench run 'my grid\.yaml'"):
        Store.open("my grid.yaml", results)
    for text in ("name: [1]", "seeds: 3", "3", "", "{"):
        Path("mine.yaml").write_text(text)
        with pytest.raises(AttnbenchError, match=r"mine\.yaml"):
            Store.open("mine.yaml", results)


@pytest.fixture
def tuned(tmp_path):
    """A run with two reported cells and two of tuning, all of them done; its plan, and the cells in order."""
    grid = plan(seed=range(4))
    store = write_run(tmp_path, grid, map(outcome, grid.cells))
    ids = tuple(cell.id for cell in grid.cells[2:])
    configuration = Tuned({"score": "dot"}, ({"train.learning_rate": 0.1},), (ids,), 0)
    now = replace(grid, cells=grid.cells[:2], tuning=grid.cells[2:], tuned=[configuration])
    store.start(now, "")
    return store, now, grid


def test_stale_tuning_cells_are_in_the_notes_but_are_not_stale_results(tuned):
    """The settings were chosen by another training than the one that they are used for now."""
    store, now, grid = tuned
    store.start(now, "", code={cell.id: {"a.py": "new"} for cell in grid.cells[2:]})
    assert set(store.stale()) == {cell.id for cell in grid.cells[2:]}
    assert store.notes() == ["2 tuning cells trained with an earlier a.py: stale"]
    assert (summary(store).done, summary(store).stale) == (2, 0)
    store.start(now, "", code={cell.id: {"a.py": "new"} for cell in grid.cells[1:]})
    assert store.notes() == [f"{n} trained with an earlier a.py: stale" for n in ("1 cell", "2 tuning cells")]


def test_unreadable_and_unsealed_tuning_cells_are_in_the_notes_and_doubts(tuned):
    store, _, grid = tuned
    broken, unsealed = (store.folder / "cells" / f"{cell.id}.json" for cell in grid.cells[2:])
    broken.write_text("{")
    since_digests = ("digest", "alignments", "digests", "facts", "pack")
    record = json.loads(unsealed.read_text())
    unsealed.write_text(json.dumps({name: value for name, value in record.items() if name not in since_digests}))
    notes = store.notes()
    assert any(note.startswith("not read: ") and broken.name in note for note in notes)
    doubts = store.doubts()
    assert len(doubts) == 2
    assert set(doubts) <= set(notes)
    assert unsealed.name in doubts[1]
