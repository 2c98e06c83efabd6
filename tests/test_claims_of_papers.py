"""The committed results of experiments/claims/ give the verdicts that results/claims.md and README have."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.cli import main

ROOT = Path(__file__).parents[1]
GRIDS = sorted(ROOT.glob("experiments/claims/*.yaml"))
SAVED = ROOT / "results" / "claims"
ROW = re.compile(r"^\| (.+?) \| .*? \| \*\*(supported|contradicted|undecided)\*\* \|", re.MULTILINE)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """The verdict on each claim, by its sentence, from the saved cells."""
    folder = tmp_path_factory.mktemp("claims")
    for grid in GRIDS:
        shutil.copy(grid, folder)
    script = ROOT / "benchmarks" / "peers" / "reverse_data.py"
    subprocess.run([sys.executable, str(script), str(folder / "joey_reverse")], check=True, stdout=subprocess.DEVNULL)
    found = {}
    for grid in sorted(folder.glob("*.yaml")):
        if not (SAVED / f"{grid.stem}.csv").exists():
            continue
        file = folder / f"{grid.stem}.json"
        with file.open("w") as out, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            with pytest.raises(SystemExit):
                main(["verify", str(grid), "--cells", str(SAVED), "--format", "json"])
        found |= {claim["says"]: claim["verdict"] for claim in json.loads(file.read_text())}
    return found


def test_every_claim_has_saved_cells() -> None:
    assert {grid.stem for grid in GRIDS} == {file.stem for file in SAVED.glob("*.csv")}


@pytest.mark.parametrize("page", ["results/claims.md", "README.md"])
def test_the_page_has_the_verdict_on_every_claim(page: str, verdicts: dict[str, str]) -> None:
    assert dict(ROW.findall((ROOT / page).read_text())) == verdicts


def test_each_grid_says_where_its_margins_come_from() -> None:
    for grid in GRIDS:
        head = grid.read_text().partition("\nname:")[0]
        assert "Source:" in head, grid.name
        assert "pilot" in head or "published" in head, grid.name
