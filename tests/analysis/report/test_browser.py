"""The report in a browser: its script runs under its own policy, and does what it says."""

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
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the page in")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three scores, of which one has no value on sort; a copy of a common width and a long name."""
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


TELL = """
const told = document.createElement("pre");
told.id = "said";
told.textContent = JSON.stringify(said);
document.body.append(told);
"""


def look(page, tmp_path, script="", *options):
    """What the page holds once its script ran, and then another, whose `said` is read; the policy forbids that one."""
    file = tmp_path / "page.html"
    if script:
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        page = page.replace("</body>", f"<script>onload = () => {{ const said = [];{script};{TELL} }}</script></body>")
    file.write_text(page, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    if not script:
        return done.stdout
    found = re.search('<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return json.loads(html.unescape(found[1]))


TABLE = """
const table = document.querySelector("details[open] table");
const heads = [...table.tHead.rows[0].cells], copy = heads.length - 2, sort = heads.length - 1;
const press = (column) => {
  heads[column].querySelector("button").click();
  said.push([heads.map((head) => head.getAttribute("aria-sort"))[column],
             [...table.tBodies[0].rows].map((row) => row.cells[1].textContent[0]).join("")]);
};
"""


def test_the_script_runs_under_the_policy(page, tmp_path):
    shown = look(page, tmp_path)
    assert "<select>" in shown
    assert "Sort by this column" in shown


def test_columns_sort_their_own_way_first_then_the_other_then_as_they_were(page, tmp_path):
    said = look(page, tmp_path, f"{TABLE} press(copy); press(copy); press(copy); press(copy)")
    assert said == [["descending", "bac"], ["ascending", "cab"], [None, "bca"], ["descending", "bac"]]


def test_cells_without_a_value_come_last_either_way(page, tmp_path):
    assert look(page, tmp_path, f"{TABLE} press(sort); press(sort)") == [["descending", "abc"], ["ascending", "bac"]]


def test_names_sort_too_and_one_column_at_a_time(page, tmp_path):
    said = look(
        page, tmp_path, f"{TABLE} press(sort); press(1); said.push(table.querySelectorAll('[aria-sort]').length)"
    )
    assert said[1:] == [["ascending", "abc"], 1]


def test_a_metric_is_chosen_and_stands_alone(page, tmp_path):
    script = """
    const select = document.querySelector("select");
    const open = () => said.push([...document.querySelectorAll("details[open]")].map((table) => table.dataset.metric));
    open(); said.push([...select.options].map((option) => option.text));
    select.value = "aer"; select.dispatchEvent(new Event("change")); open();
    """
    first, names, then = look(page, tmp_path, script)
    assert first == ["exact_match"]
    assert names == ["exact_match", "loss", "aer", "parameters", "exact_match@9"]
    assert then == ["aer"]


def test_a_line_stands_out_while_its_name_is_pressed(page, tmp_path):
    script = """
    const facet = document.querySelector(".facet"), name = facet.querySelectorAll(".legend button")[1];
    const faded = () => said.push([name.getAttribute("aria-pressed"), facet.querySelectorAll(".faded").length]);
    faded(); name.click(); faded(); name.click(); faded();
    """
    assert look(page, tmp_path, script) == [["false", 0], ["true", 4], ["false", 0]]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(page, tmp_path, width):
    """In a frame, for no window of Chromium is narrower than 500 pixels."""
    measure = "<script>document.title = [document.documentElement.scrollWidth, innerWidth]</script></body>"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", measure)
    frame = f"<body><iframe width={width} height=900 style='border: 0' srcdoc='{html.escape(page)}'></iframe></body>"
    script = "said.push(...frames[0].document.title.split(',').map(Number))"
    wide, window = look(frame, tmp_path, script, "--window-size=1300,900")
    assert window == width
    assert wide <= width
