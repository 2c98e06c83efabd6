"""What `attnbench run` prints when it ends: the tables that say something, and the commands that come next."""

import pytest
from made_up_run import failed, outcome, plan, write_run

from attnbench.cli.run import _pointers, _print_tables
from attnbench.store.store import Store


@pytest.fixture
def ended(tmp_path, monkeypatch, capsys):
    """Gives the printed tables and the pointers of a made-up run that ended; lengths up to 10 were trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTNBENCH_RESULTS", raising=False)

    def end(grid, outcomes, results="results"):
        store = write_run(tmp_path, grid, outcomes)
        frame = store.frame()
        _print_tables(frame, grid, store)
        return capsys.readouterr().out, _pointers(store, frame, 0, "", store.folder.parent.parent / results)

    return end


@pytest.mark.parametrize("longest", [0.0, 0.25])
def test_the_table_of_longer_sources_is_printed_where_something_is_above_zero(ended, longest):
    grid = plan("ended", score=["dot", "general"])
    outcomes = [outcome(cell, exact_match=0.5, exact_match_at_20=0.0) for cell in grid.cells]
    outcomes[1] = outcome(grid.cells[1], exact_match=0.5, exact_match_at_20=longest)
    out, _ = ended(grid, outcomes)
    assert ("exact_match@20 (higher is better)" in out) == (longest > 0)
    assert ("Sources of 20 words, longer than all training sources: exact match is 0" in out) == (longest == 0)


@pytest.mark.parametrize(
    ("axes", "compare"),
    [
        ({"score": ["dot", "general"]}, "compare ended"),
        ({"scope": ["global", "self"], "task": ["copy", "sort"]}, "compare ended --axis scope"),
        ({"model__width": [8, 16]}, "compare ended --axis model.width"),
        ({"task": ["copy", "sort"]}, None),
    ],
)
def test_compare_and_report_are_suggested(ended, axes, compare):
    grid = plan("ended", **axes)
    _, lines = ended(grid, [outcome(cell, exact_match=0.5) for cell in grid.cells])
    commands = [line.partition("attnbench ")[2].partition(" --results")[0] for line in lines]
    assert [line.split(":")[0] for line in lines] == ["Results", *(["Compare"] if compare else []), "Report", "MLflow"]
    assert (compare in commands) == (compare is not None)
    assert "report ended" in commands


def test_an_axis_that_can_be_compared_is_suggested(ended):
    """The score differs as well, between scope none and the others, which share no setting."""
    grid = plan("ended", score=["dot"], scope=["none", "global", "hard"])
    for cell in grid.cells:
        cell.labels["score"] = "–" if cell.labels["scope"] == "none" else "dot"
    _, lines = ended(grid, [outcome(cell, exact_match=0.5) for cell in grid.cells])
    assert any("compare ended --axis scope" in line for line in lines)


def test_verify_is_suggested_where_the_grid_has_claims(ended, tmp_path):
    grid = plan("ended", score=["dot", "general"])
    outcomes = [outcome(cell, exact_match=0.5) for cell in grid.cells]
    assert not any(line.startswith("Claims") for line in ended(grid, outcomes)[1])
    store = Store(tmp_path / "results" / "ended")
    (store.folder / "grid.yaml").write_text("name: ended\nclaims: [{says: so, parts: []}]\n")
    lines = _pointers(store, store.frame(), 0, None, tmp_path / "results")
    assert lines[-1].endswith(f"attnbench verify ended --results {tmp_path}/results")


def test_a_run_without_results_suggests_neither(ended):
    grid = plan("ended", score=["dot", "general"])
    _, lines = ended(grid, [failed(cell) for cell in grid.cells])
    assert [line.split(":")[0] for line in lines] == ["Results", "MLflow"]


def test_another_folder_is_part_of_the_commands(ended):
    grid = plan("ended", score=["dot", "general"])
    _, lines = ended(grid, [outcome(cell, exact_match=0.5) for cell in grid.cells], "my results")
    assert all("--results '" in line and "my results'" in line for line in lines if not line.startswith("Results"))


def test_a_difference_in_parameters_is_noted(ended):
    grid = plan("ended", score=["dot", "general"])
    sizes = {"dot": 100, "general": 130}
    out, _ = ended(
        grid, [outcome(cell, exact_match=0.5, parameters=sizes[cell.labels["score"]]) for cell in grid.cells]
    )
    assert "general has 1.30 times the parameters of dot: 130 and 100." in out
