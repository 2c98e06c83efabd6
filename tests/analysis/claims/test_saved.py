"""Cells that were saved as CSV: the same verdicts as those of the run, and every mistake in the file with its line."""

import pytest

from analysis.claims.made_up_claims import GRID, WHERE, A, B, claim, run_with
from attnbench.analysis.claims.results import results_of_run
from attnbench.analysis.claims.saved import results_of_file, saved_text
from attnbench.analysis.claims.verification import verify
from attnbench.errors import AttnbenchError

CLAIMS = [
    claim(
        f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.05}}",
        f"{{better: {A}, than: {B}, where: {{task: reverse, model.width: 16}}, more_than_in: {{model.width: 128}}}}",
    ),
    claim(f"{{at_most: 0.5, of: {B}, where: {WHERE}}}"),
    claim(
        f"{{at_least: 0.8, of: {A}, where: {WHERE}, in_share: 0.5}}", f"{{varies_more: {A}, than: {B}, where: {WHERE}}}"
    ),
]


def accuracy(labels):
    """Numbers of many digits; one seed failed."""
    if labels["score"] == "dot" and labels["seed"] == 3:
        return None
    return (0.9 if labels["score"] == "additive" else 0.7) + 0.1 * (
        (labels["seed"] + 1) * labels["model.width"] % 7
    ) / 7


@pytest.fixture
def saved(tmp_path):
    """The results of the run, its grid file, and its saved cells."""
    store = run_with(tmp_path, CLAIMS, accuracy)
    text = (store.folder / "grid.yaml").read_text()
    grid_file, cells = tmp_path / "made-up.yaml", tmp_path / "made-up.csv"
    grid_file.write_text(text)
    results = results_of_run(store)
    cells.write_text(saved_text(results), encoding="utf-8")
    return results, grid_file, cells


def test_saved_cells_give_the_same_verdicts(saved):
    results, grid_file, cells = saved
    for path in (cells, cells.parent):
        found = results_of_file(grid_file, path)
        assert verify(found).claims == verify(results).claims


def test_only_what_the_claims_need_is_saved_in_the_order_of_the_grid(saved):
    _, _, cells = saved
    head, first, *rest = cells.read_text().splitlines()
    assert head == "cell,status,model,score,scope,task,model.width,seed,exact_match"
    assert first == "000000000000,done,rnn,dot,global,copy,16,0,0.7285714285714285"
    assert rest[2] == "000000000003,failed,rnn,dot,global,copy,16,3,"
    assert len(rest) == 95
    assert float(first.rsplit(",", 1)[1]) == accuracy({"score": "dot", "seed": 0, "model.width": 16})


def test_the_order_of_the_rows_and_spreadsheets_do_not_matter(saved):
    results, grid_file, cells = saved
    head, *rows = cells.read_text().splitlines()
    written = "\r\n".join([head, *(row.replace(",16,", ",16.0,") for row in reversed(rows))])
    cells.write_bytes(f"\ufeff{written}\r\n".encode())
    assert verify(results_of_file(grid_file, cells)).claims == verify(results).claims


def test_cells_of_a_changed_grid_are_noted(saved):
    _, grid_file, cells = saved
    (note,) = results_of_file(grid_file, cells).notes
    assert "96 of 96 cells have another id than in" in note  # the ids of a made-up run are no hashes


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        (",exact_match\n", ",exact_mach\n", ":1", "there is no column exact_match"),
        ("cell,status", "cell,cell", ":1", "there is no column status; the column cell occurs twice"),
        ("0.7285714285714285", "much", ":2", "the value 'much' of exact_match is not a number from 0 to 1"),
        ("0.7285714285714285", "1.5", ":2", "the value '1.5' of exact_match is not a number from 0 to 1"),
        ("0.7285714285714285", "nan", ":2", "the value 'nan' of exact_match is not a number from 0 to 1"),
        ("0000,done", "0000,fine", ":2", "the status should be done or failed, found 'fine'"),
        (",copy,16,0,", ",copy,17,0,", ":2", "the grid has no cell with model rnn, score dot, scope global"),
        (",copy,16,1,", ",copy,16,0,", ":3", "line 2 already has this cell"),
        (",copy,16,0,", ",copy,16,", ":2", "the row has 8 fields, but the header has 9"),
        ("000000000000,done", '"0"0,done', ":2", "not valid CSV"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_has_its_line(saved, old, new, where, what):
    _, grid_file, cells = saved
    text = cells.read_text()
    assert old in text
    cells.write_text(text.replace(old, new, 1))
    with pytest.raises(AttnbenchError) as error:
        results_of_file(grid_file, cells)
    problem = error.value.problems[0]
    assert what in problem.what
    assert f"made-up.csv{where}" in problem.where
    assert "restore the file from version control" in problem.hint


def test_all_mistakes_are_reported_at_once(saved):
    _, grid_file, cells = saved
    cells.write_text(cells.read_text().replace(",done,", ",fine,", 2))
    with pytest.raises(AttnbenchError) as error:
        results_of_file(grid_file, cells)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("content", [None, b"", b"cell,status\n", b"\xff\xfe", b"\0"])
def test_a_file_that_is_none(saved, content):
    _, grid_file, cells = saved
    if content is None:
        cells.unlink()
    else:
        cells.write_bytes(content)
    with pytest.raises(AttnbenchError, match=r"made-up\.csv"):
        results_of_file(grid_file, cells)


def test_a_header_without_rows(saved):
    _, grid_file, cells = saved
    cells.write_text(cells.read_text().splitlines()[0])
    with pytest.raises(AttnbenchError, match="the file has no rows"):
        results_of_file(grid_file, cells)


def test_missing_rows_are_missing_cells(saved):
    _, grid_file, cells = saved
    cells.write_text("".join(cells.read_text().splitlines(keepends=True)[:-4]))
    with pytest.raises(AttnbenchError, match=r"4 of \d+ cells that the claims are about are missing"):
        verify(results_of_file(grid_file, cells))


def test_a_grid_file_without_claims(saved):
    _, grid_file, cells = saved
    grid_file.write_text(GRID.format(seeds=3, claims="").replace("claims:\n", ""))
    with pytest.raises(AttnbenchError, match="the grid has no claims"):
        results_of_file(grid_file, cells)


def test_seeds_that_decide_did_not_need_are_not_missing(saved):
    """All of the first ones are."""
    _, grid_file, cells = saved
    decided = "seeds: {at_least: 8, at_most: 12}\ndecide: {axis: score, margin: 0.02}"
    grid_file.write_text(grid_file.read_text().replace("seeds: 12", decided))
    head, *rows = cells.read_text().splitlines(keepends=True)
    some = [row for row in rows if ",dot,global,copy,16,9," not in row]
    cells.write_text("".join([head, *some]))
    found = results_of_file(grid_file, cells)
    assert verify(found).parts[0].result.n == 11
    assert "with decide, seeds were added until pairs were settled" in found.notes[0]
    cells.write_text("".join([head, *(row for row in some if ",dot,global,copy,16,7," not in row)]))
    with pytest.raises(AttnbenchError, match=r"1 of \d+ cells that the claims are about are missing"):
        verify(results_of_file(grid_file, cells))


def test_cells_of_a_tuned_grid_are_found_by_their_labels(saved):
    """Their ids follow from what was chosen."""
    results, grid_file, cells = saved
    grid_file.write_text(grid_file.read_text() + "tune: {grid: {train.learning_rate: [0.001, 0.01]}}\n")
    found = results_of_file(grid_file, cells)
    assert found.notes == ()
    assert verify(found).claims == verify(results).claims
