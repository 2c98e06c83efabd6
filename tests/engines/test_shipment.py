"""Files travel by their content, and a pack finds them where they arrive."""

from pathlib import Path

import pytest
from fake_training import FAKE, pack

from attnbench.cell import Checkpoint
from attnbench.engines.ray_node import Board, code, train_here
from attnbench.engines.shipment import moved, named_files, ship, unpacked
from attnbench.outcome import Progress


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / "mine" / name for name in ("plugin.py", "train.tsv", "test.tsv")}
    (tmp_path / "mine").mkdir()
    for name, file in made.items():
        file.write_text(f"# {name}\n")
    return made


@pytest.fixture
def shipped_pack(files):
    plain = pack(0)
    data = plain.cell.data.model_copy(update={"path": str(files["train.tsv"]), "test_path": str(files["test.tsv"])})
    cell = plain.cell.model_copy(update={"data": data})
    return plain.model_copy(update={"cell": cell, "plugins": (files["plugin.py"], "a.module")})


def test_plugins_and_data_travel_and_modules_do_not(shipped_pack, files):
    assert sorted(named_files(shipped_pack)) == sorted(map(str, files.values()))


def test_a_pack_finds_its_files_where_they_are_unpacked(shipped_pack, files):
    with unpacked([ship(path, bytes) for path in named_files(shipped_pack)], bytes) as places:
        there = moved(shipped_pack, places)
        assert Path(there.cell.data.path).read_text() == "# train.tsv\n"
        assert Path(there.cell.data.test_path).read_text() == "# test.tsv\n"
        assert there.cell.data.validation_path is None
        assert Path(there.plugins[0]).read_text() == "# plugin.py\n"
        assert there.plugins[1] == "a.module"
        assert there.ids == shipped_pack.ids
        assert not {str(file) for file in files.values()} & set(named_files(there))
    assert not any(Path(place).exists() for place in places.values())


def test_a_content_has_one_place_while_the_process_lives(files):
    path = str(files["plugin.py"])
    with unpacked([ship(path, bytes)], bytes) as first:
        pass
    with unpacked([ship(path, bytes)], bytes) as again:
        assert again == first
    files["plugin.py"].write_text("# changed\n")
    with unpacked([ship(path, bytes)], bytes) as changed:
        assert changed != first
        assert Path(changed[path]).read_text() == "# changed\n"


def test_others_can_neither_read_nor_prepare_the_place(files):
    shipped = [ship(str(files["plugin.py"]), bytes)]
    with unpacked(shipped, bytes) as places:
        folder = Path(*places.values()).parents[1]
        assert folder.stat().st_mode & 0o077 == 0
    folder.mkdir()
    with pytest.raises(FileExistsError), unpacked(shipped, bytes):
        pass
    folder.rmdir()


def test_a_reason_names_the_users_file(shipped_pack, files):
    files["plugin.py"].write_text("1 / 0\n")
    shipped = [ship(path, bytes) for path in named_files(shipped_pack)]
    for file in files.values():
        file.unlink()  # as on a node
    outcomes = train_here(shipped_pack, shipped, bytes, None, "cpu", FAKE, lambda _: None)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert f"the plugin {files['plugin.py']} cannot be imported: ZeroDivisionError" in outcomes[0].error


def test_another_attnbench_on_the_node_trains_nothing():
    (outcome, _) = train_here(pack(0), [], bytes, "attnbench 0.0.1 (12345678)", "cpu", FAKE, lambda _: None)
    assert outcome.status == "failed"
    assert code() in outcome.error
    assert "attnbench 0.0.1 (12345678)" in outcome.error


def test_messages_are_taken_once_and_in_their_order():
    board = Board()
    progress = Progress("0-0", 1, 10, 0.5, None)
    board.put("0-0")
    board.put(progress)
    assert board.take() == ["0-0", progress]
    assert board.take() == []


def test_a_pack_keeps_the_place_of_its_checkpoint(tmp_path):
    """The node decides whether it sees that folder; its own copies of files are elsewhere."""
    place = Checkpoint(file=tmp_path / "a.npz", key="key", lock=tmp_path / ".lock.json", holder="a run")
    described = pack(0).model_copy(update={"checkpoint": place, "plugins": ("mine.py",)})
    assert moved(described, {"mine.py": "elsewhere.py"}).checkpoint == place
