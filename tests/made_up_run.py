"""A run made up by hand: a plan, and the outcomes that a training would have given."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from attnbench.cell import Cell, Component, Data, Train
from attnbench.grid.packs import Composition
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.metrics import METRICS
from attnbench.outcome import Alignments, Outcome
from attnbench.store.atomic import sealed
from attnbench.store.store import Store


def plan(name: str = "made-up", **axes: Iterable[Any]) -> Plan:
    """The product of the axes in the order given; "." in a name is written "__". Ids count up: 000000000000 …"""
    defaults: dict[str, Iterable[Any]] = {"model": ["rnn"], "score": ["dot"], "scope": ["global"], "task": ["copy"]}
    given = {axis.replace("__", "."): values for axis, values in axes.items()}
    product = {**defaults, **given}
    product["seed"] = product.pop("seed", [0])
    cells = []
    for number, values in enumerate(itertools.product(*product.values())):
        labels = dict(zip(product, values, strict=True))
        cells.append(PlannedCell(f"{number:012x}", _cell(labels), labels))
    extra = tuple(axis for axis in given if axis not in (*defaults, "seed"))
    return Plan(name, extra, cells, [])


def _cell(labels: dict[str, Any]) -> Cell:
    return Cell(
        model=Component(name=labels["model"], options={"width": 64}),
        score=None if labels["score"] == "–" else Component(name=labels["score"]),
        scope=Component(name=labels["scope"].split(" ")[0]),
        normaliser=None if (weighing := labels.get("normaliser", "softmax")) == "–" else Component(name=weighing),
        task=Component(name=labels["task"]),
        data=Data(test_lengths=(9, 20)),
        train=Train(),
        seed=labels["seed"],
    )


def outcome(planned: PlannedCell, **metrics: Any) -> Outcome:
    """A cell that is done, its other metrics without meaning; "@" in a name is written "_at_"."""
    given = {name.replace("_at_", "@"): value for name, value in metrics.items()}
    values = dict.fromkeys(METRICS) | {"parameters": 12345} | given
    return Outcome(planned.id, "done", planned.cell.seed, values, [{"step": 100, "train/loss": 0.5}])


def failed(planned: PlannedCell, error: str = "the loss is NaN at step 7") -> Outcome:
    """A cell that failed."""
    return Outcome(planned.id, "failed", planned.cell.seed, error=error)


def diagonal(words: list[str], count: int = 2, heads: int = 0) -> Alignments:
    """Alignments of a copy task: .9 on the diagonal, gold there too; the EOS last. Heads have from .8 to 1 there."""
    sentence = [*words, "</s>"]
    size = len(sentence)
    weights = np.repeat(_on_diagonal(size, 0.9)[None], count, axis=0)
    of_heads = np.zeros((count, heads, size, size))
    for head, share in enumerate(np.linspace(0.8, 1, heads)):
        of_heads[:, head] = _on_diagonal(size, share)
    links = np.repeat(np.eye(size)[None], count, axis=0).astype(bool)
    return Alignments(
        source=[sentence] * count,
        target=[sentence] * count,
        weights=weights,
        links=links,
        forming_source=sentence,
        forming_target=sentence,
        forming_links=links[0],
        forming=weights,
        steps=np.array([100, 200])[:count],
        heads=of_heads,
        forming_heads=of_heads,
    )


def scenes(count: int = 2, heads: int = 0) -> Alignments:
    """Alignments of images with 2 × 3 patches: a bright one for each of the words 7 and 2, in images before the last.

    The weights are .8 on the bright patch, .2 on the next one, a possible link, and 0 elsewhere; 1/6 for the EOS. The
    last image has the word 7 alone. Heads are as their mean, the last of them with 1 on the bright patch.
    """
    links, weights = np.zeros((2, count, 3, 6))
    images = np.zeros((count, 2, 8, 3, 8), np.float32)
    for n in range(count):
        for word, bright in enumerate((n % 3, 3)):
            links[n, word, bright] = 1
            weights[n, word, [bright, bright + 1]] = 0.8, 0.2
            images[n, bright // 3, 2:6, bright % 3, 3:5] = 1
    weights[:, 2] = 1 / 6
    links[-1, 1], weights[-1, 1], weights[-1, 2] = 0, 1 / 6, 0
    possible = links + np.roll(links, 1, axis=-1)
    words = ["7", "2", "</s>"]
    names = [f"{row},{column}" for row in (1, 2) for column in (1, 2, 3)]
    of_heads = np.repeat(weights[:, None], heads, axis=1)
    of_heads[:, -1:] = links[:, None]
    return Alignments(
        source=[names] * count,
        target=[*[words] * (count - 1), ["7", "</s>"]],
        weights=weights,
        links=links.astype(bool),
        forming_source=names,
        forming_target=words,
        forming_links=links[0].astype(bool),
        forming=np.stack([np.full((3, 6), 1 / 6), weights[0]]),
        steps=np.array([100, 200]),
        heads=of_heads,
        forming_heads=of_heads[:2],
        possible=possible.astype(bool),
        forming_possible=possible[:1].astype(bool),
        images=images.reshape(count, 16, 24),
        forming_image=images[:1].reshape(1, 16, 24),
    )


def _on_diagonal(size: int, share: float) -> np.ndarray:
    rest = (1 - share) / max(1, size - 1)
    return np.full((size, size), rest) + np.eye(size) * (share - rest)


def rewrite(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes a cell's file as if it had been written so: its digest fits."""
    record = json.loads(file.read_text())
    change(record)
    del record["digest"]
    file.write_text(json.dumps(sealed(record)))


def write_run(folder: Path, plan: Plan, outcomes: Iterable[Outcome]) -> Store:
    """Writes a plan and its outcomes into folder/results/<name>, and gives the store."""
    store = Store(folder / "results" / plan.name)
    store.start(plan, "name: made-up\n")
    by_id = {planned.id: planned for planned in plan.cells}
    # Waiting for the disk is most of the time that hundreds of small files take, and no test reads them after a crash.
    with patch("os.fsync"):
        if written := list(outcomes):
            together = Composition(tuple(by_id), tuple(planned.cell.seed for planned in plan.cells))
            store.write_pack(written, [by_id[one.cell] for one in written], {}, together)
    return store
