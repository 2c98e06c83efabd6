"""MLflow's own pages over a real run, looked at in a browser."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser import ARROW_LEFT, ARROW_RIGHT, CHROMIUM, DRIVER, MISSING, Browser, browser
from PIL import Image
from ports import free_port

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)

GRID = """
name: looked-at
seeds: 2
grid: {score: [additive, dot], task: [copy]}
data: {vocabulary: 6, min_length: 2, max_length: 4, test_lengths: [4, 6], validation_examples: 8, test_examples: 8}
model: {kind: rnn, width: 4, embedding: 4}
train: {steps: 4, batch_size: 4, valid_every: 2}
"""
STEPS = [0, 2, 4]  # of the alignment's pictures
CELLS = [f"{score} · copy · seed {seed}" for score in ("additive", "dot") for seed in (0, 1)]
LINKS = "[...document.querySelectorAll('a[href*=\"/runs/\"]')]"
TEXT = "document.body.innerText"
CARD = "[...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card]')]"
ALIGNMENT = f"{CARD}.find(card => card.querySelector('h4')?.title === 'alignment')"
# Charts are drawn while they are in view.
SCROLL = "document.querySelectorAll('*').forEach(part => { part.scrollTop += 400 })"
# What a picture is of, and its size: those of MLflow's that it fetched from a run.
PICTURES = (
    f"[...({ALIGNMENT}?.querySelectorAll('img') ?? [])].map(image => [decodeURIComponent(image.src)"
    ".match(/images\\/alignment\\+step\\+(\\d+)\\+/)?.[1], image.naturalWidth, image.naturalHeight])"
)


class Pages(NamedTuple):
    """The folder of a run, and the addresses of its pages that `attnbench ui` prints."""

    folder: Path
    cells: str
    charts: str
    comparison: str


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Trains the grid, and serves MLflow's pages over it until the tests are over."""
    folder = tmp_path_factory.mktemp("looked-at")
    (folder / "grid.yaml").write_text(GRID)
    outside = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    attnbench = [sys.executable, "-m", "attnbench"]
    given: dict[str, Any] = {"cwd": folder, "env": outside, "text": True}
    trained = subprocess.run(
        [*attnbench, "run", "grid.yaml", "--engine", "serial"], **given, capture_output=True, timeout=200
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    command = [*attnbench, "ui", "--port", str(free_port())]
    with subprocess.Popen(command, **given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            yield Pages(folder, **_addresses(server))
        finally:
            # Asked to end, it ends all processes of MLflow's.
            server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(40)
            server.kill()


def _addresses(server: "subprocess.Popen[str]") -> dict[str, str]:
    names = {"looked-at": "cells", "curves and alignments": "charts", "comparison": "comparison"}
    found: dict[str, str] = {}
    shown = []
    assert server.stdout
    for line in server.stdout:
        shown.append(line)
        name, _, address = line.strip().partition(": ")
        if name in names:
            found[names[name]] = address
        if len(found) == len(names):
            return found
    raise AssertionError("".join(shown))


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def go(window: Browser, address: str) -> None:
    """Opens a page from an empty one: MLflow's UI is one document, and does not reload for another part of it."""
    window.open("about:blank")
    window.open(address)


def cell_page(window: Browser, pages: Pages, name: str) -> str:
    """The address of a cell's page, which the table of cells links to by its name."""
    go(window, pages.cells)
    link = window.wait_for(f"{LINKS}.find(link => link.innerText.trim() === arguments[0])?.href", name)
    return str(link)


def slide(window: Browser, cells: int, steps: list[int], key: str) -> list[list[Any]]:
    """The step and the pictures of this many cells at every stop of the slider, which opens at the first of them."""
    drawn = f"{PICTURES}.filter(([step, width]) => step === String(arguments[0]) && width).length === arguments[1]"
    slider = f"{ALIGNMENT}?.querySelector('[role=slider]')"
    window.wait_for(f"({ALIGNMENT} ? {ALIGNMENT}.scrollIntoView() : {SCROLL}, {slider})")
    seen: list[list[Any]] = []
    for step in steps:
        if seen:
            window.script(f"{slider}.focus()")
            window.press(key)
        window.wait_for(f"{slider}?.ariaValueNow === String(arguments[0])", step)
        window.wait_for(drawn, step, cells)
        seen.append([step, sorted(window.script(f"return {PICTURES}"))])
    return seen


def logged_sizes(pages: Pages, step: int) -> list[tuple[int, int]]:
    """The sizes of the pictures of a step as MLflow keeps them for its pages, one per cell."""
    found = (pages.folder / "results/mlartifacts").rglob(f"images/alignment+step+{step}+*.webp")
    sizes = []
    for file in found:
        with Image.open(file) as image:
            sizes.append(image.size)
    return sorted(sizes)


def test_the_cells_are_listed_by_name_with_what_they_reached(window: Browser, pages: Pages) -> None:
    go(window, pages.cells)
    names = f"{LINKS}.map(link => link.innerText.trim())"
    window.wait_for(f"{names}.length >= {len(CELLS)}")
    assert window.script(f"return {names}") == CELLS
    for column in ("exact_match", "exact_match_at_4", "exact_match_at_6"):
        cells = f"[...document.querySelectorAll('.ag-row [col-id*=\"`{column}`\"]')].map(cell => cell.innerText.trim())"
        window.wait_for(f"{cells}.filter(text => text !== '' && text !== '-').length === {len(CELLS)}")
        assert all(0 <= float(value) <= 1 for value in window.script(f"return {cells}"))


def test_the_charts_begin_with_the_alignments_of_all_cells_as_they_form(window: Browser, pages: Pages) -> None:
    go(window, pages.charts)
    window.wait_for(ALIGNMENT)
    assert window.script(f"return {CARD}[0].querySelector('h4').title") == "alignment"
    for step, pictures in slide(window, len(CELLS), STEPS[::-1], ARROW_LEFT):
        assert pictures == [[str(step), *size] for size in logged_sizes(pages, step)]
    for name in CELLS:
        assert window.script(f"return {ALIGNMENT}.innerText.includes(arguments[0])", name)


def test_the_curves_of_the_cells_are_in_one_chart(window: Browser, pages: Pages) -> None:
    go(window, pages.charts)
    for title in ("train/loss", "valid/exact_match"):
        window.wait_for(f"({SCROLL}, {CARD}.some(card => card.querySelector('h4')?.title === arguments[0]))", title)
    for name in CELLS:
        window.wait_for(f"{TEXT}.includes(arguments[0])", name)


def test_a_cell_shows_its_params_and_metrics_and_leads_to_its_grid(window: Browser, pages: Pages) -> None:
    go(window, cell_page(window, pages, CELLS[0]))
    for word in ("exact_match_at_6", "parameters", "score", "model.width", "data.test_lengths"):
        window.wait_for(f"{TEXT}.includes(arguments[0])", word)
    window.wait_for(f"{TEXT}.includes('Parent run') && {LINKS}.some(link => link.innerText.trim() === 'looked-at')")


def test_a_cell_shows_its_alignment_as_it_forms(window: Browser, pages: Pages) -> None:
    go(window, f"{cell_page(window, pages, CELLS[3])}/model-metrics")
    for step, pictures in slide(window, 1, STEPS, ARROW_RIGHT):
        assert pictures[0] in [[str(step), *size] for size in logged_sizes(pages, step)]


def test_the_grids_run_shows_the_comparison_and_its_cells(window: Browser, pages: Pages) -> None:
    go(window, pages.comparison)
    window.enter("iframe")
    table = "[...document.querySelectorAll('th')].map(head => head.innerText)"
    window.wait_for(f"{table}.includes('copy') && {table}.includes('additive') && {table}.includes('dot')")
    go(window, pages.comparison.partition("/artifacts/")[0])
    window.wait_for("[...document.querySelectorAll('table th')].some(head => head.innerText.trim() === 'copy')")
    for name in CELLS:
        window.wait_for(f"{LINKS}.some(link => link.innerText.trim().startsWith(arguments[0]))", name)


def test_the_grids_pictures_and_its_chart_of_lengths_are_drawn(window: Browser, pages: Pages) -> None:
    go(window, pages.comparison.replace("comparison.html", "exact_match.png"))
    window.wait_for("[...document.images].some(image => image.naturalWidth > 200)")
    go(window, pages.comparison.replace("comparison.html", "exact_match_by_length.html"))
    window.enter("iframe")
    window.wait_for("document.querySelector('figure svg .line')")
    shown = window.script(f"return {TEXT} + document.querySelector('svg').textContent")
    assert "looked-at: accuracy against length" in shown
    for word in ("additive", "dot", "copy", "source length", "4", "6"):
        assert word in shown
    shade = window.script("return document.querySelector('.shade').getBoundingClientRect().width")
    assert shade > 20, "the trained lengths"


def test_the_pages_ask_no_one_else(window: Browser, pages: Pages) -> None:
    go(window, pages.charts)
    window.wait_for(ALIGNMENT)
    asked = "[...new Set(performance.getEntriesByType('resource').map(entry => new URL(entry.name).hostname))]"
    assert window.script(f"return {asked}.filter(host => host)") == ["127.0.0.1"]
