"""A pack is trained on the files that its ids were computed from, or not at all."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import fake_training
import pytest
from fake_training import FAKE, pack

from attnbench.cell import Pack
from attnbench.engines import inputs
from attnbench.engines.base import Engine, Finished, attempt
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.ray_node import train_here
from attnbench.engines.serial import SerialEngine
from attnbench.engines.shipment import named_files, ship
from attnbench.grid.identity import data_digests
from attnbench.outcome import Outcome

CHANGED = "train.tsv changed while the grid ran"


@pytest.fixture(params=[SerialEngine, ProcessEngine])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with closing(request.param(1, "cpu", FAKE)) as made:
        made.prepare()
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "train.tsv"
    made.write_text("a b\tb a\nc\tc\n")
    return made


def reading(number: int, file: Path, field: str = "path", does: str = "finish") -> Pack:
    """A pack whose ids were computed from the file as it is now."""
    plain = pack(number, does)
    data = plain.cell.data.model_copy(update={field: str(file)})
    return plain.model_copy(
        update={"cell": plain.cell.model_copy(update={"data": data}), "digests": data_digests(plain.cell.task, data)}
    )


def trained(engine: Engine, described: Pack) -> list[Outcome]:
    (outcomes,) = (e.outcomes for e in engine.run([described], lambda _: None) if isinstance(e, Finished))
    return outcomes


@pytest.mark.parametrize("field", ["path", "validation_path", "test_path"])
def test_data_edited_while_the_grid_runs_fail_the_later_cells(engine, file, field):
    first, second = reading(0, file, field), reading(1, file, field)
    assert {outcome.status for outcome in trained(engine, first)} == {"done"}
    file.write_text("a b\tb a\nc\td\n")
    later = trained(engine, second)
    assert {outcome.status for outcome in later} == {"failed"}
    assert CHANGED in later[0].error
    assert f"run the grid again to train on the new data.{field}, or restore the file" in later[0].error


def test_a_file_saved_again_with_the_same_pairs_is_the_same(engine, file):
    described = reading(0, file)
    file.write_bytes(b"\xef\xbb\xbfa  b\tb a\r\nc\tc")
    assert {outcome.status for outcome in trained(engine, described)} == {"done"}


def test_data_edited_between_the_check_and_the_reading_are_noticed(file, monkeypatch):
    def edited_before_reading(pack, device, report):
        file.write_text("a b\tb a\nc\td\n")
        return fake_training.train(pack, device, report)

    monkeypatch.setattr(fake_training, "edited_before_reading", edited_before_reading, raising=False)
    outcomes = attempt(reading(0, file), "cpu", "fake_training:edited_before_reading", lambda _: None)
    assert CHANGED in outcomes[0].error


def test_code_that_is_first_imported_during_the_training_is_checked(monkeypatch):
    """A module that a function imports: its digest is known only after the function was called."""
    loaded = {"plugin:score.py": "1"}
    monkeypatch.setattr(inputs, "code_of", lambda _: loaded)

    def imports_an_edited_helper(pack, device, report):
        loaded["plugin:helper.py"] = "2"
        return fake_training.train(pack, device, report)

    monkeypatch.setattr(fake_training, "imports_an_edited_helper", imports_an_edited_helper, raising=False)
    planned = pack(0).model_copy(update={"code": dict(loaded)})
    outcomes = attempt(planned, "cpu", "fake_training:imports_an_edited_helper", lambda _: None)
    assert "helper.py changed while the grid ran" in outcomes[0].error


def test_data_edited_after_the_reading_do_not_matter(file, monkeypatch):
    def edited_after_reading(pack, device, report):
        outcomes = fake_training.train(pack, device, report)
        file.write_text("a b\tb a\nc\td\n")
        return outcomes

    monkeypatch.setattr(fake_training, "edited_after_reading", edited_after_reading, raising=False)
    outcomes = attempt(reading(0, file), "cpu", "fake_training:edited_after_reading", lambda _: None)
    assert {outcome.status for outcome in outcomes} == {"done"}


def test_a_training_that_reports_nothing_is_checked_at_its_end(file, monkeypatch):
    def silent(pack, device, _):
        file.write_text("a b\tb a\nc\td\n")
        return fake_training.train(pack, device, lambda _: None)

    monkeypatch.setattr(fake_training, "silent", silent, raising=False)
    assert CHANGED in attempt(reading(0, file), "cpu", "fake_training:silent", lambda _: None)[0].error


def test_deleted_data_are_named(engine, file):
    described = reading(0, file)
    file.unlink()
    assert f"{file}: cannot be read: " in trained(engine, described)[0].error


def test_a_node_checks_what_was_shipped(file):
    described = reading(0, file)
    same = [ship(path, bytes) for path in named_files(described)]
    file.write_text("a b\tb a\nc\td\n")
    other = [ship(path, bytes) for path in named_files(described)]
    os.unlink(file)  # as on a node
    done = train_here(described, same, bytes, None, "cpu", FAKE, lambda _: None)
    assert {outcome.status for outcome in done} == {"done"}
    failed = train_here(described, other, bytes, None, "cpu", FAKE, lambda _: None)
    assert CHANGED in failed[0].error
