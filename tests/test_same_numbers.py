"""The same cells have the same numbers, to the bit, whatever happens to a run: interruptions, workers, other seeds."""

import json

import pandas as pd
import pytest
import yaml
from small_grid import SMALL

import attnbench
from attnbench.store.store import Store

TIMES = ["seconds", "tokens_per_second"]


def grid(**changes):
    base = yaml.safe_load(SMALL)
    base["grid"] = {"score": ["additive"], "scope": ["global", "hard"], "task": ["copy"]}
    base["train"] |= {"steps": 12, "stop_at": {"exact_match": 0.05}}  # some replicas stop early
    return base | changes


def run(results, workers=1, **changes):
    frame = attnbench.run(grid(**changes), results=results, workers=workers, engine="serial", mlflow=False)
    assert (frame["status"] == "done").all()
    return frame.drop(columns=TIMES).set_index("cell")


def assert_same(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True)  # else it tolerates a relative difference of 1e-5


def packs(results):
    """The seeds that were trained together, by cell."""
    store = Store(results / "small")
    return {cell: store.read(cell)["pack"]["seeds"] for cell in store.states()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed"), seeds=4)


def lose(results, *cells):
    for cell in cells:
        (results / "small" / "cells" / f"{cell}.json").unlink()


def test_a_lost_file_is_trained_again_in_its_pack(tmp_path, undisturbed):
    run(tmp_path, seeds=4)
    lose(tmp_path, undisturbed.index[1], undisturbed.index[6])
    assert_same(run(tmp_path, seeds=4), undisturbed)


def test_a_run_that_was_limited_goes_on_as_planned(tmp_path, undisturbed):
    attnbench.run(grid(seeds=4), results=tmp_path, limit=1, engine="serial", mlflow=False)
    assert_same(run(tmp_path, seeds=4), undisturbed)


def test_the_workers_of_the_first_run_decide(tmp_path):
    """Two packs are spread over four workers at first; later one worker trains what was lost, as it was."""
    first = (
        attnbench.run(grid(seeds=4), results=tmp_path, workers=4, mlflow=False).drop(columns=TIMES).set_index("cell")
    )
    records = Store(tmp_path / "small")
    assert [records.read(cell)["pack"]["seeds"] for cell in first.index] == [[0, 1]] * 2 + [[2, 3]] * 2 + [
        [0, 1]
    ] * 2 + [[2, 3]] * 2
    lose(tmp_path, first.index[0], first.index[7])
    assert_same(run(tmp_path, seeds=4), first)


def test_a_grid_that_grows_leaves_its_old_cells_as_they_are(tmp_path):
    two = run(tmp_path, seeds=2)
    four = run(tmp_path, seeds=4)
    assert_same(four.loc[two.index], two)
    lose(tmp_path, two.index[0], four.index[3])
    assert_same(run(tmp_path, seeds=4), four)


def test_a_grid_that_shrinks_trains_whole_packs(tmp_path, undisturbed):
    run(tmp_path, seeds=4)
    lose(tmp_path, undisturbed.index[0])
    one = run(tmp_path, seeds=1)
    assert_same(one, undisturbed.loc[one.index])


@pytest.mark.parametrize("lost", [True, False])
def test_a_damaged_or_lost_plan_does_not_lose_the_packs(tmp_path, lost):
    """A new plan would have one pack of four seeds instead of two of two."""
    run(tmp_path, seeds=2)
    first = run(tmp_path, seeds=4)
    together = packs(tmp_path)
    assert {tuple(seeds) for seeds in together.values()} == {(0, 1), (2, 3)}
    plan = tmp_path / "small" / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"packs": []}))
    if lost:
        plan.unlink()
    lose(tmp_path, first.index[2])
    assert_same(run(tmp_path, seeds=4), first)
    assert packs(tmp_path) == together
