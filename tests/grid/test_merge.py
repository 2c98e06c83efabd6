"""Merge keys of YAML 1.1 and top-level keys for anchors: `<<: *base`, and `x-base: &base`."""

import pytest

from attnbench.errors import AttnbenchError
from attnbench.grid.parse import parse


def read(text: str):
    document = parse(text, "g.yaml")
    assert not document.problems
    return document.data


def problems(text: str) -> list[tuple[str, str]]:
    document = parse(text, "g.yaml")
    return [(problem.where, problem.what) for problem in document.problems._in_order()]


def test_the_keys_of_another_mapping_are_added_and_its_own_win():
    text = "x-base: &base {a: 1, b: 2}\nmodel: {b: 3, <<: *base, c: 4}\n"
    assert read(text) == {"model": {"a": 1, "b": 3, "c": 4}}
    assert list(read(text)["model"]) == ["a", "b", "c"]


def test_of_a_list_the_first_wins():
    text = "x-1: &one {a: 1}\nx-2: &two {a: 2, b: 2}\nmodel: {<<: [*one, *two]}\n"
    assert read(text) == {"model": {"a": 1, "b": 2}}


def test_a_merged_mapping_may_merge_another():
    text = "x-1: &one {a: 1}\nx-2: &two {<<: *one, b: 2}\nmodel: {<<: *two}\n"
    assert read(text) == {"model": {"a": 1, "b": 2}}


def test_a_value_that_is_merged_is_shown_where_it_is_written():
    document = parse("x-base: &base\n  a: 1\nmodel:\n  <<: *base\n  b: 2\n", "g.yaml")
    assert document.place(("model", "a")).where == "g.yaml:2:6"
    assert document.place(("model", "b")).where == "g.yaml:5:6"


def test_quoted_it_is_an_ordinary_key_and_as_a_value_ordinary_text():
    assert read("""a: {"<<": 1, b: <<}""") == {"a": {"<<": 1, "b": "<<"}}


def test_what_cannot_be_merged_is_a_problem_in_its_place():
    (first, second) = problems("a: {<<: 3}\nb: {<<: [{c: 1}, text]}\n")
    assert first == ("g.yaml:1:9", "'<<' merges a mapping, or a list of mappings")
    assert second == ("g.yaml:2:18", "'<<' merges a mapping, or a list of mappings")
    assert problems("a: {<<: {b: 1}, <<: {c: 1}}\n") == [("g.yaml:1:17", "duplicate key '<<'")]


def test_a_mapping_that_merges_itself_is_a_problem():
    assert [what for _, what in problems("a: &a {b: 1, <<: *a}\n")] == ["this mapping merges itself"]
    both = "a: &a {<<: &b {c: 1, <<: *a}}\n"
    assert [what for _, what in problems(both)] == ["this mapping merges itself"]
    with pytest.raises(AttnbenchError, match="more than 50,000 values"):
        parse("a: &a {b: {<<: *a}}\n", "g.yaml")


@pytest.mark.parametrize("merged", ["{a: 1, b: 2, c: 3}", "{}"])
def test_merges_that_multiply_are_refused_at_once(merged):
    lines = [f"x-0: &x0 {merged}"]
    lines += [f"x-{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, 7)]
    with pytest.raises(AttnbenchError, match="more than 50,000 values"):
        parse("\n".join(lines), "g.yaml")


def test_top_level_keys_for_anchors_are_ignored_and_others_are_not():
    assert read("x-anything: [1, {x-y: 2}]\nmodel: {x-z: 3}\n") == {"model": {"x-z": 3}}


def test_what_is_ignored_is_read_safely_all_the_same():
    (found,) = problems("x-base: !!python/name:os.system\nname: g\n")
    assert "is not allowed" in found[1]
