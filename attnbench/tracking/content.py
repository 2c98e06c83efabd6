"""What is logged to MLflow about a grid and its cells, as plain values: names, params, points, texts and pictures."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.labels import KIND, text
from attnbench.cell import KINDS, LABELS, Cell
from attnbench.escapes import one_line
from attnbench.messages import NO_VALUE, shortened
from attnbench.tracking.pictures import IMAGE_KEY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from attnbench.analysis.plots import Panel

MetricPoint = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step
MAX_DESCRIPTION = 5000  # characters, the limit of a tag on older MLflow servers
PAGE_STYLE = (
    "body{font-family:sans-serif;font-size:14px}table{border-collapse:collapse}caption{font-weight:bold;padding:8px}"
    "th,td{padding:5px 12px;border-bottom:1px solid #ddd;text-align:right}th[scope=row]{text-align:left;"
    "font-weight:normal}thead th:first-child{text-align:left}tfoot td{color:#666;text-align:left;font-size:12px}"
)
# The metrics in the table of an experiment, in addition to exact match per test length.
VIEW_METRICS = ("exact_match", "loss", "bleu", "aer", "steps_to_95", "seconds")
KIND_TAG = "attnbench.kind"  # of a run: grid, cell, or tuning for a cell that is trained to choose a candidate
VIEW = "cells"  # the name of the saved view, and its key in a URL: viewStateShareKey=cells
MAX_NAME, MAX_VALUE = 250, 6000  # characters that MLflow takes in the name of a param or a run, and in a value
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"  # the tag of an experiment in which MLflow stores the view
MAX_VIEW_COLUMNS = 24  # a view is stored in a tag, which has a maximum length
MAX_FILE_NAME = 50  # characters, of up to 4 bytes: a file name has at most 255 bytes
MAX_PICTURES = 12  # overviews of alignments, one per setting
MAX_PICTURE_ROWS = 16  # scores in one overview


def run_name(labels: Mapping[str, Any], varying: Collection[str]) -> str:
    """The display name of a cell, such as "additive · copy · seed 0"; at most MAX_NAME characters.

    MLflow's lists are narrow, so model and scope are left out unless they vary.

    Args:
        labels: the labels of the cell.
        varying: those of "model" and "scope" that have several values in the grid.
    """
    first = [name for name in KINDS if name in ("score", "normaliser", "task", *varying)]
    words = [str(labels[name]) for name in first if labels.get(name, NO_VALUE) != NO_VALUE]
    named = {*LABELS, "normaliser", KIND}  # the kind of model is part of the model's label
    axes = [f"{name} {text(value)}" for name, value in labels.items() if name not in named and value is not None]
    seed = f" · seed {labels['seed']}"
    return shortened(one_line(" · ".join([*words, *axes])), MAX_NAME - len(seed)) + seed


def params_of(cell: Cell) -> dict[str, str]:
    """Every resolved field by its dotted path; values as in YAML.

    A component is its name under its kind, such as `score`, and its options below it, such as `score.strength`.

    Names and values are such that MLflow takes them: other characters than letters, digits and "_-. " become "_", and
    long ones are cut. Names that would be the same, or were cut, end in a digest.
    """
    params: dict[str, str] = {}
    for name, value in _fields(cell.written()):
        allowed = re.sub(r"[^\w.\- ]", "_", name)
        if allowed in params or len(allowed) > MAX_NAME:
            digest = _digest(name)
            allowed = f"{allowed[: MAX_NAME - len(digest) - 1]}-{digest}"
        params[allowed] = shortened(value, MAX_VALUE)
    return params


def flat_config(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a cell's `config`, as stored in its file, by their dotted paths."""
    return dict(_fields(config))


def _fields(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, value in config.items():
        if section in KINDS:
            component = value or {"name": NO_VALUE, "options": {}}
            yield section, component["name"]
            yield from _flat(section, component["options"])
        else:
            yield from _flat(section, value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}", part)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def series_points(history: Iterable[Mapping[str, float | None]], start: int) -> Iterator[MetricPoint]:
    """The step series. The time of a point is `start` (milliseconds) plus its seconds of training.

    Validations have seconds; between them, time passes evenly over the steps.
    """
    rows = list(history)
    timed = [(row["step"] or 0, row["seconds"] or 0) for row in rows if row.get("seconds") is not None]
    steps, seconds = [0, *(step for step, _ in timed)], [0, *(second for _, second in timed)]
    # All at once: interpolating row by row takes a time that grows with the square of the rows.
    times = np.interp([row["step"] or 0 for row in rows], steps, seconds).tolist()
    for row, passed in zip(rows, times, strict=True):
        at = start + int(1000 * passed)
        for name, value in row.items():
            if name != "step" and _drawable(value):
                yield name, float(value or 0), at, int(row["step"] or 0)


def result_points(metrics: Mapping[str, float | None], now: int, steps: int) -> Iterator[MetricPoint]:
    """The test metrics. "exact_match@20" becomes "exact_match_at_20", because MLflow does not allow "@" in names.

    All are logged at step 0, which MLflow draws as bars, except for `seconds`: there is a series of that name, of which
    the total is the last point.
    """
    for name, value in metrics.items():
        if _drawable(value):
            yield name.replace("@", "_at_"), float(value or 0), now, steps if name == "seconds" else 0


def _drawable(value: float | None) -> bool:
    """Whether a chart can show the value. A diverged loss is described by the cell's error instead."""
    return value is not None and math.isfinite(value)


def comparison_texts(frame: "pd.DataFrame", folder: Path) -> tuple[str, str]:
    """The comparison table of exact match: Markdown for the run's description, and an HTML page.

    Below it are the decisions of a run with `decide`, and what tuning chose. Arguments as for `overview_pictures`.
    """
    from attnbench.analysis.notes import answers_of, seeds_are_fixed
    from attnbench.analysis.table.formats import comparison, to_html, to_markdown
    from attnbench.store.store import Store

    store = Store(folder)
    table = comparison(frame, name=folder.name, notes=answers_of(store), tested=seeds_are_fixed(store))
    page = f"<!DOCTYPE html><meta charset='utf-8'><style>{PAGE_STYLE}</style>{to_html(table)}"
    markdown = to_markdown(table)
    if len(markdown) > MAX_DESCRIPTION:
        markdown = "See the artifacts: comparison.html has the comparison, table.csv every number."
    return markdown, page


def saved_view(frame: "pd.DataFrame", last_step: int) -> str:
    """The saved view of an experiment, as JSON for MLflow: the cells by name, with the metrics of table.csv.

    The grid's own run is filtered out, because MLflow does not expand the cells below it in a saved view. The charts
    begin with the alignments, at the last step of training; MLflow would put them last, each below all params of its
    cell, and at the first step.
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
        state |= _alignments_first(last_step)
    # Fixed times, so that the same results give the same bytes.
    return json.dumps({"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def _alignments_first(step: int) -> dict[str, Any]:
    """Alignments as the first section of the charts, with the slider at a step; MLflow adds all other charts."""
    section = {"uuid": "alignments", "name": "alignments", "display": True, "columns": 1, "cardHeight": 470}
    chart = {"uuid": IMAGE_KEY, "type": "IMAGE", "imageKeys": [IMAGE_KEY], "step": step, "showRunParams": False}
    chart |= {"metricSectionId": "alignments", "displayName": IMAGE_KEY, "runsCountToCompare": 10}
    return {
        "compareRunSections": [section | {"isReordered": False, "deleted": False, "isGenerated": True}],
        "compareRunCharts": [chart | {"deleted": False, "isGenerated": True}],
    }


def overview_files(frame: "pd.DataFrame", folder: Path) -> "Iterator[tuple[str, Callable[[], bytes | None]]]":
    """The artifacts of a grid's run by file name: the table, the pictures, and a page of accuracy against length.

    The files are made by a call each, so that one that fails does not prevent the others; None: there is nothing to
    show. The page needs two tested lengths. Arguments as for `overview_pictures`.
    """
    from attnbench.analysis.plots import png
    from attnbench.analysis.report.length_page import length_page
    from attnbench.store.store import Store
    from attnbench.store.table import table_text

    def as_png(draw: "Callable[[], Figure | None]") -> bytes | None:
        figure = draw()
        return None if figure is None else png(figure)

    def by_length() -> bytes | None:
        page = length_page(Store(folder))
        return None if page is None else page.encode()

    yield "table.csv", lambda: table_text(frame).encode()
    for name, draw in (*overview_pictures(frame, folder), *tuning_pictures(folder)):
        yield name, partial(as_png, draw)
    yield "exact_match_by_length.html", by_length


def tuning_pictures(folder: Path) -> "Iterator[tuple[str, Callable[[], Figure | None]]]":
    """The pictures of a run with tuning by file name: each metric on validation against each tuned field."""
    from attnbench.analysis.sensitivity_plot import sensitivity_plot
    from attnbench.analysis.tuning import sensitivity
    from attnbench.store.store import Store

    for (field, metric), curves in sensitivity(Store(folder)).items():
        if curves:
            yield f"tuning_{metric}_by_{field}.png", partial(sensitivity_plot, field, metric, curves)


def overview_pictures(frame: "pd.DataFrame", folder: Path) -> "Iterator[tuple[str, Callable[[], Figure | None]]]":
    """The pictures of a grid by file name: accuracy, then the alignments of every setting. A call draws each.

    Args:
        frame: the rows of table.csv.
        folder: the grid's results folder, which has the alignments of all cells.
    """
    from attnbench.analysis.plots import accuracy_heatmap, alignment_panels, by_setting

    def alignments(label: str, rows: "pd.DataFrame") -> "Figure | None":
        panels = panels_of(rows, folder)
        return alignment_panels(panels, label) if panels else None

    if not frame["exact_match"].notna().any():
        return
    yield "exact_match.png", lambda: accuracy_heatmap(frame)
    settings = [(label, rows) for label, rows in by_setting(frame) if (rows["status"] == "done").any()]
    names = _file_names([label for label, _ in settings])
    for name, (label, rows) in list(zip(names, settings, strict=True))[:MAX_PICTURES]:
        yield f"alignments_{name}.png", partial(alignments, label, rows)


def _file_names(labels: Iterable[str]) -> list[str]:
    """A file name for each label: without characters such as /, short enough, and different for different labels."""
    names: list[str] = []
    for label in labels:
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
        if len(name) > MAX_FILE_NAME or name in names:
            name = f"{name[:MAX_FILE_NAME]}-{_digest(label)}"
        names.append(name)
    return names


def panels_of(rows: "pd.DataFrame", folder: Path) -> dict[tuple[str, str], "Panel"]:
    """The alignment of the longest test sentence, of the first seed, per (score, task)."""
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
