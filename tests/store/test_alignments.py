"""An archive of alignments is believed only after its digest, its sizes, its types and its shapes were checked."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from made_up_run import diagonal, outcome, plan, rewrite, scenes, write_run

from attnbench.errors import AttnbenchError
from attnbench.store import alignments
from attnbench.store.alignments import file_digest, read_alignments, write_alignments


def arrays_of(file):
    with np.load(file) as archive:
        return dict(archive)


@pytest.fixture
def file(tmp_path):
    """An archive with three heads, and gold links."""
    file = tmp_path / "cell.npz"
    write_alignments(file, diagonal(["a", "b"], heads=3))
    return file


CHANGES = {
    "weights that are not numbers": lambda a: {"weights": a["weights"] * np.nan},
    "weights without an axis": lambda a: {"weights": a["weights"][0]},
    "weights as text": lambda a: {"weights": a["weights"].astype(str)},
    "fewer weights": lambda a: {"weights": a["weights"][:1]},
    "weights of shorter sentences": lambda a: {name: a[name][:, :1] for name in ("weights", "links")}
    | {"heads": a["heads"][:, :, :1]},
    "more sentences": lambda a: {name: np.concatenate([a[name]] * 2) for name in ("source", "target")},
    "one source less": lambda a: {"source": a["source"][:1]},
    "no sentence during training": lambda a: {"forming_source": a["forming_source"][:0]},
    "words as numbers": lambda a: {"source": np.zeros(a["source"].shape)},
    "other links": lambda a: {"links": a["links"][:, :1]},
    "other links during training": lambda a: {"forming_links": a["forming_links"][:1]},
    "steps as a square": lambda a: {"steps": a["steps"][:, None]},
    "a head less during training": lambda a: {"forming_heads": a["forming_heads"][:, :1]},
    "heads of another shape": lambda a: {"heads": a["heads"][..., :1]},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_arrays_that_do_not_fit_together_are_refused(file, change):
    arrays = arrays_of(file)
    np.savez_compressed(file, **arrays | change(arrays))
    with pytest.raises(AttnbenchError, match=r"cell\.npz: cannot be read: .*(shape|numbers|type|axes|sentence|index)"):
        read_alignments(file)


@pytest.mark.parametrize("name", ["images", "forming_image"])
@pytest.mark.parametrize("size", [(16, 16), (16, 20), (24,)])
def test_images_of_other_patches_than_the_weights_are_refused(tmp_path, name, size):
    file = tmp_path / "cell.npz"
    write_alignments(file, scenes())
    assert read_alignments(file).images.shape[1:] == (16, 24)
    arrays = arrays_of(file)
    both = {each: np.zeros((len(arrays[each]), *size), np.float32) for each in ("images", "forming_image")}
    np.savez_compressed(file, **arrays | (both if len(size) == 2 else {name: both[name]}))
    with pytest.raises(AttnbenchError, match=r"cell\.npz: cannot be read: .*(shape|patches)"):
        read_alignments(file)


def test_an_archive_without_an_array_is_refused(file):
    arrays = arrays_of(file)
    del arrays["forming"]
    np.savez_compressed(file, **arrays)
    with pytest.raises(AttnbenchError, match="no array 'forming'"):
        read_alignments(file)


@pytest.mark.parametrize("read", [read_alignments, file_digest])
def test_an_archive_that_is_too_large_is_not_read(file, monkeypatch, read):
    monkeypatch.setattr(alignments, "MOST_BYTES", 100)
    with pytest.raises((AttnbenchError, OSError), match="larger than 100 bytes"):
        read(file)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(file, monkeypatch):
    monkeypatch.setattr(alignments, "MOST_BYTES", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    file.write_bytes(file.read_bytes())
    monkeypatch.setattr(alignments, "read_file", lambda path, _: path.read_bytes())
    with pytest.raises(AttnbenchError, match="unpacked it would have"):
        read_alignments(file)


def test_a_header_that_promises_more_than_there_is_reserves_no_memory(file, monkeypatch):
    arrays = arrays_of(file)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1, 1)})
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", header.getvalue() if name == "weights" else content.getvalue())
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("it was read"))
    monkeypatch.setattr(alignments, "_TEXT_ARRAYS", ())
    monkeypatch.setattr(alignments, "_NUMBER_ARRAYS", ("weights",))
    with pytest.raises(AttnbenchError, match="which cannot be"):
        read_alignments(file)


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_cells_archive_is_compared_with_its_record_before_it_is_drawn(tmp_path, change):
    grid = plan()
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=diagonal(["a", "b"]))])
    file = store.folder / "alignments" / f"{grid.cells[0].id}.npz"
    write_alignments(file, diagonal(["a", "c"])) if change == "edited" else file.unlink()
    with pytest.raises(AttnbenchError, match="digest does not match" if change == "edited" else "No such file"):
        store.alignments(grid.cells[0].id)


@pytest.mark.parametrize(
    ("room", "sentences", "steps", "heads"),
    [(240_000, 5, 4, 2), (160_000, 3, 3, 2), (60_000, 1, 1, 2), (30_000, 1, 1, 0), (10_000, None, None, None)],
)
def test_alignments_that_an_archive_has_no_room_for_are_kept_in_part(
    tmp_path, monkeypatch, room, sentences, steps, heads
):
    """A finished training was lost, because the archive of its alignments was larger than what is read."""
    one = diagonal(["word"] * 30, count=5, heads=2)
    given = replace(one, forming=one.forming[:4], forming_heads=one.forming_heads[:4], steps=np.array([0, 10, 20, 40]))
    monkeypatch.setattr(alignments, "MOST_BYTES", room)
    grid = plan()
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=given)])
    assert list(store.states().values()) == ["done"]
    found = store.alignments(grid.cells[0].id)
    if sentences is None:
        assert found is None
        return
    assert (len(found.source), len(found.steps), found.heads.shape[1]) == (sentences, steps, heads)
    assert found.steps[-1] == 40
    np.testing.assert_array_equal(found.weights, given.weights[:sentences])
    np.testing.assert_array_equal(found.forming[-1], given.forming[-1])
    size = sum(array.nbytes for array in arrays_of(store.folder / "alignments" / f"{grid.cells[0].id}.npz").values())
    assert size <= room


def test_a_word_of_a_million_letters_is_not_stored_for_every_place(tmp_path, monkeypatch):
    monkeypatch.setattr(alignments, "MOST_BYTES", 10_000_000)
    one = diagonal(["a"] * 20)
    given = replace(one, source=[["a" * 1_000_000, *one.source[0][1:]], one.source[1]])
    grid = plan()
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=given)])
    assert list(store.states().values()) == ["done"]
    assert store.alignments(grid.cells[0].id) is None


def test_a_record_without_a_seal_has_the_archive_beside_it(tmp_path):
    grid = plan()
    cell = grid.cells[0].id
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=diagonal(["a", "b"]))])
    file = store.folder / "cells" / f"{cell}.json"
    rewrite(file, lambda record: record.update(alignments=None))
    assert store.alignments(cell) is None
    rewrite(file, lambda record: record.update(alignments=file_digest(store.folder / "alignments" / f"{cell}.npz")))
    assert store.alignments(cell) is not None
