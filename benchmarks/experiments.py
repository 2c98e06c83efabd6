"""Writes results/experiments.md and results/tables/ from the grids of experiments/ that were run.

for grid in experiments/*.yaml; do attnbench run $grid; done
python benchmarks/experiments.py

The sections of grids that were not run here stay as they are.
"""

import platform
import shutil
from pathlib import Path

import torch
import yaml

from attnbench.analysis.table.formats import comparison, to_markdown
from attnbench.store.store import Store

RESULTS = Path("results")
# The tables of each grid: the metrics, by the axis that names the columns.
TABLES = {
    "quickstart": {"task": ["exact_match", "exact_match@15", "aer"]},
    "cosine": {"task": ["exact_match", "aer"]},
    "scopes": {"task": ["exact_match", "exact_match@12", "aer"]},
    "systems": {"task": ["exact_match", "exact_match@20", "aer"]},
    "self_attention": {"task": ["exact_match", "exact_match@12", "aer"]},
    "pointer_sort": {"data.max_length": ["exact_match", "exact_match_unseen"]},
    "positions": {"task": ["exact_match", "exact_match@12"]},
    "normalisers": {"task": ["exact_match", "exact_match@12", "aer", "attended"]},
    "length": {"scope": [f"exact_match@{n}" for n in (10, 20, 50, 100)]},
    "caption": {"task.clutter": ["exact_match", "aer", "pointing"]},
    "g2p": {"scope": ["exact_match", "phoneme_error_rate", "exact_match@4", "exact_match@12"]},
    "ntm_copy": {"task": [*(f"exact_match@{n}" for n in (20, 40, 80, 120)), "token_accuracy@120"]},
}


def section(store: Store) -> str:
    """The grid's question, which is the comment it begins with up to an empty line, and its tables."""
    grid = Path("experiments") / f"{store.name}.yaml"
    comment = [line.removeprefix("#").strip() for line in grid.read_text().splitlines() if line.startswith("#")]
    question = " ".join(comment[: comment.index("")])
    settings = yaml.safe_load(grid.read_text())
    lines = [f"## {store.name}", "", f"{question} ([grid](../{grid}), [every cell](tables/{store.name}.csv))", ""]
    for name in sorted({"data", "train"} & settings.keys()):
        lines += [f"`{name}: {yaml.safe_dump(settings[name], default_flow_style=True, width=200).strip()}`", ""]
    for columns, metrics in TABLES[store.name].items():
        lines += [to_markdown(comparison(store.frame(), columns=columns, metric=m, name=store.name)) for m in metrics]
    return "\n".join(lines)


def split(text: str) -> tuple[str, dict[str, str]]:
    """The head of the page, and its sections by the name of their grid."""
    head, *parts = text.split("\n## ")
    return head, {part.partition("\n")[0]: f"## {part.strip()}\n" for part in parts}


def main() -> None:
    """Writes the sections of the page and copies each grid's table.csv."""
    (RESULTS / "tables").mkdir(parents=True, exist_ok=True)
    stores = [Store(RESULTS / name) for name in TABLES if (RESULTS / name / "plan.json").is_file()]
    unfinished = [store.name for store in stores if len(store.frame()) < len(store.plan()["cells"])]
    if unfinished:
        raise SystemExit(f"not finished: {', '.join(unfinished)}")
    head = (
        "# What the experiments showed\n\n"
        "Mean over the seeds, then its 95 % interval, or the range of fewer than five seeds; **bold** is the best of a "
        f"column. Made by `python benchmarks/experiments.py` (torch {torch.__version__}, {platform.machine()}, CPU).\n"
    )
    page = RESULTS / "experiments.md"
    head, before = split(page.read_text()) if page.is_file() else (head, {})
    found = before | {store.name: section(store) for store in stores}
    page.write_text("\n".join([head, *(found[name] for name in TABLES if name in found)]))
    for store in stores:
        shutil.copyfile(store.folder / "table.csv", RESULTS / "tables" / f"{store.name}.csv")
        print(f"{store.name}: {len(store.frame())} cells")


if __name__ == "__main__":
    main()
