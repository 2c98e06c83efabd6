"""The id of a cell changes with whatever its numbers depend on, and with nothing else."""

from pathlib import Path

import pytest

from attnbench.cell import Cell, Component, Data, Train
from attnbench.errors import AttnbenchError
from attnbench.fingerprint import changed, fingerprint
from attnbench.grid.identity import cell_id, data_digests
from attnbench.grid.packs import packs
from grid.conftest import Plans


def cell(**changes: object) -> Cell:
    parts: dict[str, object] = {
        "model": Component(name="rnn", options={"width": 64}),
        "score": Component(name="cosine", options={"strength": None}),
        "scope": Component(name="global"),
        "task": Component(name="copy"),
        "data": Data(),
        "train": Train(),
        "seed": 0,
    }
    return Cell.model_validate(parts | changes)


def test_an_id_is_twelve_hex_digits_and_stays_the_same() -> None:
    assert cell_id(cell()) == cell_id(cell())
    assert len(cell_id(cell())) == 12
    assert int(cell_id(cell()), 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"model": Component(name="rnn", options={"width": 32})},
        {"score": Component(name="dot", options={})},
        {"score": Component(name="cosine", options={"strength": 1.0})},
        {"score": None},
        {"scope": Component(name="hard")},
        {"task": Component(name="sort")},
        *({"data": Data.model_validate({field: 7})} for field in ("vocabulary", "min_length", "max_length")),
        *({"data": Data.model_validate({field: 7})} for field in ("validation_examples", "test_examples")),
        {"data": Data(test_lengths=(7,))},
        {"data": Data(unseen_symbols=7)},
        *({"train": Train.model_validate({field: 7})} for field in ("steps", "batch_size", "learning_rate", "clip")),
        {"train": Train(valid_every=7)},
        {"train": Train.model_validate({"stop_at": {"exact_match": 0.5}})},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_field_counts(change: dict[str, object]) -> None:
    assert cell_id(cell(**change)) != cell_id(cell())


def test_the_order_of_options_does_not_count() -> None:
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert cell_id(cell(scope=Component(name="hard", options=one))) == cell_id(
        cell(scope=Component(name="hard", options=other))
    )


@pytest.mark.parametrize("field", ["path", "validation_path", "test_path"])
def test_the_content_of_a_file_counts_and_its_place_does_not(tmp_path: Path, field: str) -> None:
    for name, text in (("a", "x\ty\n"), ("b", "x\ty\n"), ("c", "x\tz\n")):
        (tmp_path / name).write_text(text)
    first, copied, other = (cell_id(cell(data=Data.model_validate({field: str(tmp_path / n)}))) for n in "abc")
    assert first == copied != other
    (tmp_path / "a").write_text("x\tz\n")
    assert cell_id(cell(data=Data.model_validate({field: str(tmp_path / "a")}))) == other
    (tmp_path / "a").unlink()
    with pytest.raises(AttnbenchError, match="cannot be read"):
        cell_id(cell(data=Data.model_validate({field: str(tmp_path / "a")})))


SAME = [b"a b\tb\nc\td\n", b"a b\tb\r\nc\td\r\n", b"\xef\xbb\xbfa b\tb\nc\td", b" a  b \tb\nc\td \r\n"]
OTHER = [b"c\td\na b\tb\n", b"a\tb b\nc\td\n", b"a b\tb\nc\td\nc\td\n", b"ab\tb\nc\td\n"]


def test_copies_that_the_reader_treats_alike_have_one_digest(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    digests = []
    for content in [*SAME, *OTHER]:
        file.write_bytes(content)
        digests.append(data_digests(Component(name="translate"), Data(path=str(file)))["data.path"])
    assert len(set(digests[: len(SAME)])) == 1
    assert len(set(digests[len(SAME) - 1 :])) == 1 + len(OTHER)


def test_packs_and_cells_have_the_digests_of_their_ids(tmp_path: Path, plan: Plans) -> None:
    (tmp_path / "t.tsv").write_text("".join(f"{'a ' * n}b\t{'c ' * n}\n" for n in range(1, 60)))
    planned = plan("name: g\nseeds: 2\ngrid: {score: [dot], task: [translate]}\ndata: {path: t.tsv}\n").cells
    assert planned[0].digests == data_digests(planned[0].cell.task, planned[0].cell.data) != {}
    assert packs(planned)[0].digests == planned[0].digests
    (tmp_path / "t.tsv").write_text("x\ty\n")
    assert cell_id(planned[0].cell, planned[0].digests) == planned[0].id != cell_id(planned[0].cell)


PLUGIN = """
from attnbench.registry import score
@score('{name}')
class Mine:
    'Mine.'
    def __call__(self, *given): ...
"""


def test_the_code_of_a_plugin_is_not_in_the_id_but_in_the_fingerprint(tmp_path: Path, plan: Plans) -> None:
    text = "name: g\nseeds: 1\ngrid: {score: [dot, mine], task: [copy]}\nplugins: [p.py]\n"

    def planned(more: str) -> tuple[list[str], list[dict[str, str]], list[dict[str, str]]]:
        (tmp_path / "p.py").write_text(PLUGIN.format(name="mine") + more)
        cells = plan(text).cells
        return [cell.id for cell in cells], [fingerprint(cell.cell) for cell in cells], [p.code for p in packs(cells)]

    ids, code, of_packs = planned("")
    assert planned("# a comment\n") == (ids, code, of_packs)
    other_ids, other_code, other_packs = planned("X = 1\n")
    assert other_ids == ids
    assert other_code[0] == code[0]
    assert changed(code[1], other_code[1]) == ["plugin:p.py"]
    assert of_packs[0] == other_packs[0] == {}
    assert of_packs[1].keys() == {"plugin:p.py"}
    assert of_packs[1] != other_packs[1]


def test_an_option_that_is_no_plain_data_is_refused() -> None:
    with pytest.raises(AttnbenchError, match="cannot be written as JSON"):
        cell_id(cell(scope=Component(name="hard", options={"x": object()})))
