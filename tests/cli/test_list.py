from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field, NonNegativeFloat, PositiveInt
from typer.testing import CliRunner

from attnbench import registry
from attnbench.cli.list import doc_field, list_
from attnbench.errors import AttnbenchError
from attnbench.messages import type_text
from attnbench.option_types import FromTo, OddInt

PLUGIN = '''
from attnbench.registry import score

@score("test_list_score")
class Mine:
    """Compares by my own rule [bold]here[/bold].

    Formula: first half,
        second half
    Source: me, 2026
    """

    def __init__(self, width: int, sharp: bool, temperature: float = 1.5) -> None: ...
'''


def call(*arguments):
    app = typer.Typer()
    app.command()(list_)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("kind", ["score", "scope", "normaliser", "task", "model"])
def test_every_name_is_listed_under_its_kind(kind):
    lines = call(f"{kind}s").splitlines()
    assert lines[0] == f"{kind}s"
    names = [line.strip() for line in lines if line.startswith("  ") and line[2:3].strip()]
    builtin = [name for name in registry.REGISTRIES[kind].names() if registry.REGISTRIES[kind].is_builtin(name)]
    assert builtin
    assert set(builtin) <= set(names)


def test_all_kinds_are_listed_without_an_argument():
    lines = call().splitlines()
    assert [line for line in lines if line and line[0] != " "] == ["scores", "scopes", "normalisers", "tasks", "models"]


def test_a_builtin_is_listed_with_formula_source_and_options():
    out = call("scopes")
    local = out[out.index("  local-p") :]
    assert "formula α_t = normaliser(e_t)" in local
    assert "source  Luong" in local
    assert "option  window: int > 0 (default 10)" in local
    assert "origin" not in local
    assert "width" not in local.replace("Look", "")


def test_a_plugin_is_listed_with_its_origin(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(registry.score, "_added", {})
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    out = call("scores", "--plugin", str(file))
    mine = out[out.index("  test_list_score") :]
    assert "Compares by my own rule [bold]here[/bold]." in mine
    assert "formula first half, second half" in mine
    assert "source  me, 2026" in mine
    assert "option  sharp: true | false (required)" in mine
    assert "option  temperature: number (default 1.5)" in mine
    assert "mine.py:4" in mine.replace("\n", "").replace(" ", "")


def test_the_longest_source_comes_from_the_data():
    assert "max_source_length: int > 0 (default from the data)" in call("scores")


def test_a_single_part_is_listed_by_its_name():
    out = call("additive")
    assert out.splitlines()[0] == "scores"
    assert [line.strip() for line in out.splitlines() if line[:2] == "  " and line[2:3].strip()] == ["additive"]
    with pytest.raises(AttnbenchError, match="did you mean 'additive'"):
        call("additiv")
    with pytest.raises(
        AttnbenchError, match="list one of scores, scopes, normalisers, tasks, models, or a single name"
    ):
        call("xyzzy")


def test_an_unknown_kind_is_reported():
    with pytest.raises(AttnbenchError, match="did you mean 'scores'"):
        call("score")


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (PositiveInt, "int > 0"),
        (NonNegativeFloat, "number ≥ 0"),
        (PositiveInt | None, "int > 0 or null"),
        (Literal["gru", "lstm"], "gru | lstm"),
        (Annotated[int, Field(gt=0, multiple_of=2)], "int > 0 and multiple of 2"),
        (Annotated[float, Field(gt=0, le=1)], "number > 0 and ≤ 1"),
        (list[int], "list[int]"),
        (bool, "true | false"),
        (OddInt, "odd int > 0"),
        (FromTo, "[int > 0, int > 0]"),
        (Annotated[float, Field(gt=1, le=4)], "number > 1 and ≤ 4"),
    ],
)
def test_types_are_described_in_plain_words(kind, shown):
    assert type_text(kind) == shown


def test_a_doc_without_the_field_gives_nothing():
    assert doc_field("What it is.\n\nNo Formula: here.", "Formula") == ""


def test_a_normaliser_and_a_score_with_a_state_are_listed_with_the_ranges_of_their_options():
    assert "option  alpha: number > 1 and ≤ 4 (default 1.5)" in call("entmax")
    assert "option  sink: zero | learned (default zero)" in call("softmax1")
    assert "option  kernel: odd int > 0 (default 5)" in call("location_conv")


def test_the_cosine_is_listed_as_the_normalisation_of_queries_and_keys():
    assert "QK normalisation with a learned scale" in call("cosine")
