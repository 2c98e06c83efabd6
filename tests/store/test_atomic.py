"""Sealed JSON files, whose long lists are written and checked in parts."""

import hashlib
import json
import math
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from attnbench.store import atomic

CONTENTS = [
    {},
    {"empty": []},
    {"b": [1, 2, 3], "a": [], "c": {"z": 1, "y": [None, True]}},
    {"list": [{"name": f"\u201c{i}\u201d", "value": i / 3} for i in range(10)], "text": "é\n"},
    {"lists": [[], [1], [[2]]], "more": list(range(7)), "none": None},
]


@pytest.fixture(autouse=True)
def _three_at_once(monkeypatch):
    monkeypatch.setattr(atomic, "AT_ONCE", 3)


class Numbers(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    numbers: list[int]
    others: list[str] = []


@pytest.mark.parametrize("content", CONTENTS)
def test_the_digest_is_that_of_the_whole_text(content):
    text = json.dumps(content, sort_keys=True)
    assert atomic.sealed(content) == content | {"digest": hashlib.sha256(text.encode()).hexdigest()}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_is_the_text_that_json_writes(tmp_path: Path, content):
    file = tmp_path / "file.json"
    atomic.write_json(file, content)
    assert file.read_text(encoding="utf-8") == json.dumps(content, indent=1, ensure_ascii=False)


def test_nan_and_infinity_become_null(tmp_path: Path):
    file = tmp_path / "file.json"
    content = {"values": [1.5, math.nan, 2.5, 3.5, -math.inf], "nested": {"value": math.inf}}
    atomic.write_json(file, content)
    assert json.loads(file.read_text()) == {"values": [1.5, None, 2.5, 3.5, None], "nested": {"value": None}}
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def write(folder: Path, content: dict) -> Path:
    file = folder / "file.json"
    atomic.write_json(file, atomic.sealed(content))
    return file


def read(file: Path) -> dict:
    return atomic.read_sealed(file, Numbers, most=10**6, later=("numbers",))


@pytest.mark.parametrize("count", [0, 2, 3, 4, 8])
def test_what_was_sealed_is_read_back(tmp_path: Path, count):
    content = {"numbers": list(range(count)), "others": ["a", "b"], "more": {"key": "text"}}
    found = read(write(tmp_path, content))
    assert {name: value for name, value in found.items() if name != "digest"} == content


@pytest.mark.parametrize("wrong", [0, 2, 3, 7])
def test_a_wrong_element_of_any_part_is_named_by_its_index(tmp_path: Path, wrong):
    numbers: list = list(range(8))
    numbers[wrong] = "x"
    with pytest.raises(ValueError, match=rf"^numbers\.{wrong}: "):
        read(write(tmp_path, {"numbers": numbers, "others": ["a"]}))


def test_a_wrong_element_of_a_short_list_is_named_by_its_index(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^others\.1: "):
        read(write(tmp_path, {"numbers": list(range(8)), "others": ["a", 1]}))


def test_an_edited_element_of_a_later_part_does_not_match_the_digest(tmp_path: Path):
    file = write(tmp_path, {"numbers": list(range(8))})
    read(file)  # it is not checked again, but its digest is compared
    content = json.loads(file.read_text())
    content["numbers"][7] = 70
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="digest"):
        read(file)


def test_a_file_is_checked_once_and_a_wrong_one_each_time(tmp_path: Path, monkeypatch):
    (tmp_path / "right").mkdir()
    right, wrong = write(tmp_path / "right", {"numbers": [1]}), write(tmp_path, {"numbers": ["x"]})
    checks = []
    check = Numbers.model_validate_json
    monkeypatch.setattr(Numbers, "model_validate_json", lambda text: (checks.append(text), check(text)))
    assert read(right) == read(right)
    assert len(checks) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="numbers"):
            read(wrong)
    assert len(checks) == 3
    write(tmp_path / "right", {"numbers": [2]})
    assert read(right)["numbers"] == [2]
    assert len(checks) == 4
