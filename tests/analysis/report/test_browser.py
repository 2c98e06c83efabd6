"""The report in a browser: its script runs under its own policy, and sorts, selects and highlights."""

import dataclasses
import html
import json
import re
import shutil
import subprocess

import made_up_run
import pytest

from attnbench.analysis.report.page import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three scores, of which one has no value on sort and one has a long name."""
    folder = tmp_path_factory.mktemp("report")
    grid = made_up_run.plan("quick", score=["b" * 40, "c", "a"], task=["copy", "sort"], seed=[0, 1])
    shares = {
        ("b" * 40, "copy"): 0.9,
        ("c", "copy"): 0.1,
        ("a", "copy"): 0.5,
        ("b" * 40, "sort"): 0.2,
        ("a", "sort"): 0.8,
    }

    def make(planned):
        share = shares.get((planned.labels["score"], planned.labels["task"]))
        made = made_up_run.outcome(planned, exact_match=share, loss=share, aer=share, exact_match_at_9=share)
        return dataclasses.replace(made, alignments=made_up_run.diagonal([f"word{n}" for n in range(12)]))

    return report(made_up_run.write_run(folder, grid, map(make, grid.cells)))


WRITE_OUTPUT = """
const written = document.createElement("pre");
written.id = "output";
written.textContent = JSON.stringify(output);
document.body.append(written);
"""


def opened(page, tmp_path, script="", *options):
    """The page's HTML after its script ran; with another script, which runs after it, the value of its `output`.

    The page's policy forbids other scripts, so it is removed for them.
    """
    file = tmp_path / "page.html"
    if script:
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        page = page.replace(
            "</body>", f"<script>onload = () => {{ const output = [];{script};{WRITE_OUTPUT} }}</script></body>"
        )
    file.write_text(page, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    if not script:
        return done.stdout
    found = re.search('<pre id="output">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return json.loads(html.unescape(found[1]))


TABLE = """
const table = document.querySelector("details[open] table");
const heads = [...table.tHead.rows[0].cells], copy = heads.length - 2, sort = heads.length - 1;
const press = (column) => {
  heads[column].querySelector("button").click();
  output.push([heads.map((head) => head.getAttribute("aria-sort"))[column],
             [...table.tBodies[0].rows].map((row) => row.cells[1].textContent[0]).join("")]);
};
"""


def test_the_script_runs_under_the_policy(page, tmp_path):
    shown = opened(page, tmp_path)
    assert "<select>" in shown
    assert "Sort by this column" in shown


def test_clicks_sort_a_column_best_first_then_reversed_then_in_the_original_order(page, tmp_path):
    states = opened(page, tmp_path, f"{TABLE} press(copy); press(copy); press(copy); press(copy)")
    assert states == [["descending", "bac"], ["ascending", "cab"], [None, "bca"], ["descending", "bac"]]


def test_cells_without_a_value_come_last_in_both_directions(page, tmp_path):
    assert opened(page, tmp_path, f"{TABLE} press(sort); press(sort)") == [["descending", "abc"], ["ascending", "bac"]]


def test_names_can_be_sorted_and_one_column_at_a_time(page, tmp_path):
    states = opened(
        page, tmp_path, f"{TABLE} press(sort); press(1); output.push(table.querySelectorAll('[aria-sort]').length)"
    )
    assert states[1:] == [["ascending", "abc"], 1]


def test_only_the_chosen_metric_is_shown(page, tmp_path):
    script = """
    const select = document.querySelector("select");
    const tables = () => [...document.querySelectorAll("details[open]")];
    const open = () => output.push(tables().map((table) => table.dataset.metric));
    open(); output.push([...select.options].map((option) => option.text));
    select.value = "aer"; select.dispatchEvent(new Event("change")); open();
    """
    first, names, then = opened(page, tmp_path, script)
    assert first == ["exact_match"]
    assert names == ["exact_match", "loss", "aer", "parameters", "exact_match@9"]
    assert then == ["aer"]


def test_a_line_is_highlighted_while_its_name_is_pressed(page, tmp_path):
    script = """
    const facet = document.querySelector(".facet"), name = facet.querySelectorAll(".legend button")[1];
    const faded = () => output.push([name.getAttribute("aria-pressed"), facet.querySelectorAll(".faded").length]);
    faded(); name.click(); faded(); name.click(); faded();
    """
    assert opened(page, tmp_path, script) == [["false", 0], ["true", 4], ["false", 0]]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(page, tmp_path, width):
    """In a frame, because a window of Chromium is at least 500 pixels wide."""
    measure = "<script>document.title = [document.documentElement.scrollWidth, innerWidth]</script></body>"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", measure)
    frame = f"<body><iframe width={width} height=900 style='border: 0' srcdoc='{html.escape(page)}'></iframe></body>"
    script = "output.push(...frames[0].document.title.split(',').map(Number))"
    wide, window = opened(frame, tmp_path, script, "--window-size=1300,900")
    assert window == width
    assert wide <= width
