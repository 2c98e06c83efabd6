"""YAML is read safely, as YAML 1.2, and every value keeps its place."""

import os
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.grid.parse import MAX_DEPTH, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("-3", -3), ("08", 8), ("0x1F", 31), ("0o17", 15),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None),
        ("yes", "yes"), ("off", "off"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("none", "none"),
        ("'3'", "3"), ("!!str 3", "3"), ("1_000", "1_000"), ("3.x", "3.x"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    document = parse(f"key: {text}", "g.yaml")
    found = document.data["key"]
    assert (found, type(found)) == (value, type(value))
    assert not document.problems


def test_places_point_at_values_and_keys() -> None:
    document = parse("a:\n  - x\n  - {b: 3}\n", "g.yaml")
    assert document.place(("a", 1, "b")).where == "g.yaml:3:9"
    assert document.place(("a", 1, "b"), key=True).where == "g.yaml:3:6"
    assert document.place(("a", 1, "b")).source == "  - {b: 3}\n        ^"


def test_the_place_of_what_is_not_written_is_the_key_around_it() -> None:
    document = parse("x: 1\ndata: {y: 3}\n", "g.yaml")
    assert document.place(("data", "max_length")).where == "g.yaml:2:1"


def test_a_long_line_is_cut_around_the_column() -> None:
    document = parse("a: [" + "1234567, " * 100 + "wrong]", "g.yaml")
    line, caret = document.place(("a", 100)).source.split("\n")
    assert len(line) <= 110
    assert line[caret.index("^") :].startswith("wrong")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3", "g.yaml:3:1", "duplicate key"),
        ("a: .nan", "g.yaml:1:4", "not a finite number"),
        ("a: -.inf", "g.yaml:1:4", "not a finite number"),
        ("a: 1e999", "g.yaml:1:4", "not a finite number"),
        ("a: 9223372036854775808", "g.yaml:1:4", "too large"),
        ("a: " + "9" * 5000, "g.yaml:1:4", "too large"),
        ("a: !!python/object/apply:os.system [ls]", "g.yaml:1:4", "not allowed"),
        ("a: !mine 3", "g.yaml:1:4", "not allowed"),
        ("3: x", "g.yaml:1:1", "a key should be text"),
        ("? [x]\n: y", "g.yaml:1:3", "a key should be text"),
        ("a: !!int x", "g.yaml:1:4", "not of the type 'int'"),
    ],
)
def test_problems_leave_the_rest_readable(text: str, where: str, what: str) -> None:
    document = parse(f"{text}\nlast: 1", "g.yaml")
    assert document.data["last"] == 1
    with pytest.raises(AttnbenchError) as caught:
        document.problems.raise_all()
    (problem,) = caught.value.problems
    assert problem.where == where
    assert what in problem.what


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [1, 2\nb: 3", "not YAML"),
        ("a:\n\t- 3", "not YAML"),
        ("a: *nowhere", "undefined alias"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: \x07", "not allowed in YAML"),
        ("[" * 5000, f"more than {MAX_DEPTH} levels deep"),
        ("{a: " * 5000, f"more than {MAX_DEPTH} levels deep"),
        (BOMB, "more than 50,000 values"),
        ("a: &a [*a]", "more than 50,000 values"),
    ],
    ids=["open", "tab", "alias", "documents", "control", "deep", "deep-map", "bomb", "recursive"],
)
def test_what_cannot_be_read_is_one_problem_with_its_line(text: str, what: str) -> None:
    with pytest.raises(AttnbenchError) as caught:
        parse(text, "g.yaml")
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.where.startswith("g.yaml:")


def test_aliases_of_a_sane_size_are_read() -> None:
    assert parse("a: &x {b: 1}\nc: *x", "g.yaml").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\nseeds: 2\r\n")
    document = read(path)
    assert document.data == {"name": "x", "seeds": 2}
    assert document.place(("seeds",)).where.endswith(":2:8")


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_bytes(b"name: x\nscore: caf\xe9\n")
    with pytest.raises(AttnbenchError, match=r"grid.yaml:2: the file is not UTF-8"):
        read(path)


@pytest.mark.parametrize("asked", ["mine.yml", "mine", "mien.yaml", "mine.yam"])
def test_a_missing_file_has_the_name_of_one_that_exists(tmp_path: Path, asked: str) -> None:
    (tmp_path / "mine.yaml").write_text("name: g\n")
    (tmp_path / "a.yaml").write_text("name: g\n")
    with pytest.raises(AttnbenchError) as caught:
        read(tmp_path / asked)
    assert caught.value.problems[0].hint == f"did you mean {tmp_path / 'mine.yaml'}?"
    with pytest.raises(AttnbenchError, match="attnbench init"):  # the ending that all have is no similarity
        read(tmp_path / "z.yaml")


def test_a_folder_a_missing_and_an_endless_file(tmp_path: Path) -> None:
    with pytest.raises(AttnbenchError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(AttnbenchError, match="there is no grid file"):
        read(tmp_path / "nix.yaml")
    with pytest.raises(AttnbenchError, match="`attnbench init` writes a starter grid"):
        read(tmp_path / "no such folder" / "nix.yaml")
    if os.path.exists("/dev/zero"):
        with pytest.raises(AttnbenchError, match="not a regular file"):
            read(Path("/dev/zero"))
