"""Draws the README's pictures: `python benchmarks/readme_pictures.py`, after runs of quickstart, systems and caption.

The pages are looked at in Chromium, which has to be here with its driver.
"""

import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image
from rich.console import Console

from attnbench.analysis.in_words import in_words, lines
from attnbench.analysis.plots import Panel, alignment_panels, png
from attnbench.analysis.report.alignments import longest_sentence
from attnbench.analysis.report.page import report
from attnbench.analysis.table.formats import comparison, print_table
from attnbench.messages import NO_VALUE
from attnbench.store.store import Store
from attnbench.tracking.content import panels_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import ARROW_RIGHT, Browser, browser

RUN, SYSTEMS, CAPTION = Path("results/quickstart"), Path("results/systems"), Path("results/caption")
PICTURES = Path("results/pictures")
WIDTH = 1280
SETTLES = 3.0  # seconds for a page's fonts and movements
# MLflow's assistant opens by itself for who comes first, over a quarter of the page.
NO_ASSISTANT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
SLIDER = "document.querySelector('[role=slider]')"


def draw_table(store: Store) -> None:
    """The table and its words as the terminal shows them, as SVG, in whatever fixed-width font the reader has."""
    console = Console(width=100, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print("$ make demo", highlight=False)
    print_table(comparison(store.frame(), name=store.name), console)
    console.print()
    for line in lines(in_words(store.frame(), "score"), "exact_match"):
        for part in textwrap.wrap(line, console.width, subsequent_indent="    "):
            console.print(part, highlight=False, markup=False)
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="attnbench"), flags=re.DOTALL)
    (PICTURES / "table.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"))


def draw_alignments(store: Store) -> None:
    """The alignment of one test sentence per score and task."""
    frame = store.frame()
    figure = alignment_panels(panels_of(frame, store.folder), "")
    (PICTURES / "alignments.png").write_bytes(png(figure))


def draw_systems(store: Store) -> None:
    """The alignment of one test sentence per system and task, each system under the score of its paper."""
    frame = store.frame()
    panels: dict[tuple[str, str], Panel] = {}
    for model, rows in frame[frame["score"] != NO_VALUE].groupby("model", sort=False):
        panels |= {(str(model), task): panel for (_, task), panel in panels_of(rows, store.folder).items()}
    (PICTURES / "systems.png").write_bytes(png(alignment_panels(panels, "")))


def draw_scenes(store: Store) -> None:
    """Soft and hard attention of the score additive on the same image: a row per number of fragments between digits.

    Hard attention is that of the estimator with the highest mean exact match; both are of their first seed.
    """
    frame = store.frame()
    rows = frame[(frame["score"] == "additive") & (frame["status"] == "done")]
    panels: dict[tuple[str, str], Panel] = {}
    for clutter, of_task in rows.groupby(_clutter(rows), sort=True):
        hard = of_task[of_task["scope"].str.startswith("hard")]
        names = [name for name in ("scope", "scope.estimator") if name in hard]
        best = hard[names].loc[hard.groupby(names)["exact_match"].transform("mean").idxmax()]
        chosen = hard[(hard[names] == best).all(axis=1)]
        for name, cells in (("soft attention", of_task[of_task["scope"] == "global"]), ("hard attention", chosen)):
            alignments = store.alignments(cells.sort_values("seed")["cell"].iloc[0])
            assert alignments is not None
            panels[f"{clutter} fragments" if clutter else "digits alone", name] = longest_sentence(alignments)
    (PICTURES / "scenes.png").write_bytes(png(alignment_panels(panels, "")))


def _clutter(rows: pd.DataFrame) -> pd.Series:
    """The number of fragments of each cell: an axis, or part of the name of the task."""
    if "task.clutter" in rows:
        return rows["task.clutter"].astype(int)
    return rows["task"].str.extract(r"clutter=(\d+)")[0].fillna(0).astype(int)


def draw_report(store: Store, window: Browser, folder: Path) -> None:
    """The head of the report: the table, accuracy against length, and curves."""
    page = folder / "report.html"
    page.write_text(report(store), encoding="utf-8")
    window.resize(WIDTH, 1420)
    window.open(page.as_uri())
    window.wait_for("document.querySelector('select')")
    _save(window, "report.png")


def draw_mlflow(store: Store, window: Browser, folder: Path) -> None:
    """MLflow's charts of the cells, with their alignments at the end of the training; of this run alone."""
    shutil.copytree(store.folder, folder / store.name)
    attnbench = [sys.executable, "-m", "attnbench"]
    there = ["--results", str(folder)]
    subprocess.run([*attnbench, "sync", store.name, *there], check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [*attnbench, "ui", "--port", port, *there]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            said = (line.strip().partition(": ") for line in server.stdout)
            address = next(page for name, _, page in said if name == "curves and alignments")
            window.resize(WIDTH, 1000)
            window.open(f"http://127.0.0.1:{port}/version")
            window.script(NO_ASSISTANT)
            window.open(address)
            _slide_to_the_end(window)
            _save(window, "mlflow.png")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _slide_to_the_end(window: Browser) -> None:
    window.wait_for(f"{SLIDER} && [...document.images].some(image => image.naturalWidth > 100)")
    while window.script(f"return {SLIDER}.ariaValueNow !== {SLIDER}.ariaValueMax"):
        window.script(f"{SLIDER}.focus()")
        window.press(ARROW_RIGHT)
    last = "decodeURIComponent(image.src).includes(`+step+${arguments[0]}+`)"
    step = window.script(f"return {SLIDER}.ariaValueMax")
    window.wait_for(f"[...document.images].some(image => {last} && image.naturalWidth > 100)", step)


def _save(window: Browser, name: str) -> None:
    time.sleep(SETTLES)
    with Image.open(io.BytesIO(window.picture())) as shown:
        shown.convert("RGB").quantize(256).save(PICTURES / name, optimize=True)


def draw_pages(store: Store) -> None:
    """Our page and MLflow's, as a browser shows them."""
    with TemporaryDirectory() as scratch, browser(Path(scratch)) as window:
        draw_report(store, window, Path(scratch))
        draw_mlflow(store, window, Path(scratch) / "results")


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw_table(Store(RUN))
    draw_alignments(Store(RUN))
    if SYSTEMS.is_dir():
        draw_systems(Store(SYSTEMS))
    if CAPTION.is_dir():
        draw_scenes(Store(CAPTION))
    draw_pages(Store(RUN))
