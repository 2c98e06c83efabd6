"""What MLflow is told about a grid and its cells, as plain values: names, params, points, words and pictures."""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.labels import KIND, text
from attnbench.cell import Cell
from attnbench.outcome import Alignments

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from attnbench.analysis.plots import AlignmentPainter, Panel

MetricPoint = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step
LABELS = ("model", "score", "scope", "task", "seed")
MAX_DESCRIPTION = 5000  # characters, the limit of a tag on older MLflow servers
PAGE_STYLE = (
    "body{font-family:sans-serif;font-size:14px}table{border-collapse:collapse}caption{font-weight:bold;padding:8px}"
    "th,td{padding:5px 12px;border-bottom:1px solid #ddd;text-align:right}th[scope=row]{text-align:left;"
    "font-weight:normal}thead th:first-child{text-align:left}tfoot td{color:#666;text-align:left;font-size:12px}"
)
VIEW_METRICS = ("exact_match", "loss", "bleu", "aer", "steps_to_95", "seconds")  # metrics in the table of an experiment
KIND_TAG = "attnbench.kind"  # of a run: grid or cell
VIEW = "cells"  # its name, and its key in an address: viewStateShareKey=cells
MAX_VIEW_COLUMNS = 24  # of a view: it is kept in a tag, which has a limit
IMAGE_KEY = "alignment"
# MLflow adds all other charts, in sections of their own.
ALIGNMENTS_FIRST = {
    "compareRunSections": [
        {"uuid": "alignments", "name": "alignments", "display": True, "columns": 1, "cardHeight": 470}
        | {"isReordered": False, "deleted": False, "isGenerated": True}
    ],
    "compareRunCharts": [
        {"uuid": IMAGE_KEY, "type": "IMAGE", "imageKeys": [IMAGE_KEY], "step": 0, "showRunParams": False}
        | {"metricSectionId": "alignments", "displayName": IMAGE_KEY, "runsCountToCompare": 10}
        | {"deleted": False, "isGenerated": True}
    ],
}
MAX_PICTURES = 12  # alignment overviews, one per setting
MAX_PICTURE_ROWS = 16  # scores in one of them


def run_name(labels: Mapping[str, Any], varying: Collection[str]) -> str:
    """A cell's name for people: "additive · copy · seed 0". Model and scope are said where there are several.

    MLflow's lists are narrow: what goes without saying would take the room of what tells the cells apart.
    """
    first = [name for name in ("model", "score", "scope", "task") if name in ("score", "task", *varying)]
    words = [str(labels[name]) for name in first if labels[name] != "–"]
    said = {*LABELS, KIND}  # the model says its kind
    axes = [f"{name} {text(value)}" for name, value in labels.items() if name not in said and value is not None]
    return " · ".join([*words, *axes, f"seed {labels['seed']}"])


def params_of(cell: Cell) -> dict[str, str]:
    """Every resolved field by its dotted path, a component's options beside its name; values as in YAML."""
    return flat_config(cell.model_dump(mode="json"))


def flat_config(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a cell's `config`, as its file has it, by their dotted paths."""
    fields = dict(config)
    for kind in ("model", "score", "scope", "task"):
        component = fields[kind] or {"name": "–", "options": {}}
        fields[kind] = {"name": component["name"], **component["options"]}
    return dict(_flat("", fields))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, part)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def series_points(history: Iterable[Mapping[str, float | None]], start: int) -> Iterator[MetricPoint]:
    """The step series; a point's time is the start (milliseconds) plus the seconds logged with it."""
    for row in history:
        at = start + int(1000 * (row.get("seconds") or 0))
        for name, value in row.items():
            if name != "step" and _drawable(value):
                yield name, float(value or 0), at, int(row["step"] or 0)


def result_points(metrics: Mapping[str, float | None], now: int, steps: int) -> Iterator[MetricPoint]:
    """The metrics of the test; "exact_match@20" becomes "exact_match_at_20", for MLflow forbids the sign @.

    They stand at step 0, which MLflow charts as bars; only the seconds end the series of that name.
    """
    for name, value in metrics.items():
        if _drawable(value):
            yield name.replace("@", "_at_"), float(value or 0), now, steps if name == "seconds" else 0


def _drawable(value: float | None) -> bool:
    """Whether a chart can show it: a diverged loss is told by the cell's error instead."""
    return value is not None and math.isfinite(value)


def comparison_texts(frame: "pd.DataFrame", name: str) -> tuple[str, str]:
    """The comparison table of exact match, in Markdown for the run's description and as a page of HTML."""
    from attnbench.analysis.table.formats import comparison, to_html, to_markdown

    table = comparison(frame, name=name)
    page = f"<!DOCTYPE html><meta charset='utf-8'><style>{PAGE_STYLE}</style>{to_html(table)}"
    markdown = to_markdown(table)
    if len(markdown) > MAX_DESCRIPTION:
        markdown = "The comparison is among the artifacts: comparison.html, and every number in table.csv."
    return markdown, page


def saved_view(frame: "pd.DataFrame") -> str:
    """What MLflow offers under Views on an experiment: the cells by name, with the metrics that table.csv has.

    Of a view that is saved, MLflow does not unfold the cells below their grid's run; so the grid's run is left out.
    The charts begin with the alignments, which MLflow would put last, each below all params of its cell.
    """
    metrics = [name for name in frame.columns if name in VIEW_METRICS or name.startswith("exact_match@")]
    columns = [f"metrics.`{name.replace('@', '_at_')}`" for name in metrics if frame[name].notna().any()]
    state = {
        "selectedColumns": columns[:MAX_VIEW_COLUMNS],
        "searchFilter": f"tags.`{KIND_TAG}` = 'cell'",
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    if "alignment_entropy" in frame and frame["alignment_entropy"].notna().any():
        state |= ALIGNMENTS_FIRST
    # The same bytes for the same results: the time is of no use.
    return json.dumps({"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def overview_files(frame: "pd.DataFrame", folder: Path) -> Iterator[tuple[str, bytes]]:
    """The table, the pictures, and a page of accuracy against length if there are lengths; as `overview_pictures`."""
    from attnbench.analysis.plots import png
    from attnbench.analysis.report.length_page import length_page
    from attnbench.store.store import Store

    yield "table.csv", frame.to_csv(index=False).encode()
    for name, figure in overview_pictures(frame, folder):
        yield name, png(figure)
    if by_length := length_page(Store(folder)):
        yield "exact_match_by_length.html", by_length.encode()


def overview_pictures(frame: "pd.DataFrame", folder: Path) -> Iterator[tuple[str, "Figure"]]:
    """The pictures of a grid, each with its file name: accuracy, then the alignments of every setting.

    Args:
        frame: the rows of table.csv.
        folder: the grid's results folder, that holds the alignments of all runs.
    """
    from attnbench.analysis.plots import accuracy_heatmap, alignment_panels, by_setting

    if not frame["exact_match"].notna().any():
        return
    yield "exact_match.png", accuracy_heatmap(frame)
    settings = [(label, rows) for label, rows in by_setting(frame) if (rows["status"] == "done").any()]
    for label, rows in settings[:MAX_PICTURES]:
        if panels := panels_of(rows, folder):
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
            yield f"alignments_{name}.png", alignment_panels(panels, label)


def panels_of(rows: "pd.DataFrame", folder: Path) -> dict[tuple[str, str], "Panel"]:
    """The alignment of the first seed per score and task."""
    from attnbench.analysis.report.alignments import longest_sentence
    from attnbench.store.store import Store

    store = Store(folder)
    done = rows[rows["status"] == "done"].drop_duplicates(["score", "task"])
    scores = list(dict.fromkeys(done["score"]))[:MAX_PICTURE_ROWS]
    panels = {}
    for cell, score, task in zip(done["cell"], done["score"], done["task"], strict=True):
        alignments = store.alignments(cell) if score in scores else None
        if alignments is not None:
            panels[str(score), str(task)] = longest_sentence(alignments)
    return panels


class AlignmentPictures:
    """Draws how alignments formed; what the pictures of one sentence share is drawn once and kept."""

    def __init__(self) -> None:
        self._painter = lru_cache(maxsize=16)(_painter)

    def forming(self, alignments: Alignments, title: str) -> Iterator[tuple[int, np.ndarray]]:
        """The training steps, each with its picture (height, width, 3) in bytes; heads stand beside their mean."""
        links = alignments.forming_links.astype(bool)
        gold = links.tobytes() if links.size else None
        painter = self._painter(tuple(alignments.forming_source), tuple(alignments.forming_target), gold)
        for moment, (weights, step) in enumerate(zip(alignments.forming, alignments.steps, strict=True)):
            heads = alignments.forming_heads[moment] if alignments.forming_heads.size else ()
            pictures = [painter.paint(weights, title)]
            pictures += [painter.paint(head, f"head {number}") for number, head in enumerate(heads)]
            yield int(step), np.concatenate(pictures, axis=1)


def _painter(source: tuple[str, ...], target: tuple[str, ...], links: bytes | None) -> "AlignmentPainter":
    from attnbench.analysis.plots import AlignmentPainter

    shape = (len(target), len(source))
    return AlignmentPainter(source, target, None if links is None else np.frombuffer(links, bool).reshape(shape))
