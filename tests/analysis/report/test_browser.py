"""The report in a browser: its script runs under its own policy, and sorts, selects and highlights."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
import time
from xml.etree import ElementTree

import made_up_run
import pytest
from browser import DRIVER, browser

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
        alignments = made_up_run.diagonal(
            [f"word{n}" for n in range(12)], heads=2 if planned.labels["score"] == "a" else 0
        )
        return dataclasses.replace(made, alignments=alignments)

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
const table = document.querySelector("details.metric[open] table");
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
    const select = document.querySelector("#comparison select");
    const tables = () => [...document.querySelectorAll("#comparison details[open]")];
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


FILTER = """
const box = (name) => [...document.querySelectorAll(".filters label")]
  .find((label) => label.textContent.trim() === name).querySelector("input");
const visible = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.getClientRects().length);
const state = () => output.push([
  visible("#comparison details[open] tbody tr").map((row) => row.cells[1].textContent[0]).join(""),
  visible("#comparison details[open] thead th.part, #comparison details[open] thead th[data-first]").length,
  visible("#length figure").length, visible("#length .legend li").length, visible("#alignments tbody tr").length,
  document.querySelector(".filters summary").textContent,
]);
state();
"""


def test_a_filter_hides_rows_columns_charts_and_panels(page, tmp_path):
    script = f"""{FILTER}
    box("c").click(); state(); box("sort").click(); state();
    document.querySelectorAll(".filters fieldset")[1].querySelectorAll("button")[0].click();
    document.querySelectorAll(".filters fieldset")[0].querySelectorAll("button")[1].click(); state();
    """
    assert opened(page, tmp_path, script, "--window-size=1300,900") == [
        ["bca", 3, 2, 3, 3, "Filter"],
        ["ba", 3, 2, 2, 2, "Filter: 2 of 3 rows shown"],
        ["ba", 2, 1, 2, 2, "Filter: 2 of 3 rows shown"],
        ["", 3, 0, 0, 0, "Filter: 0 of 3 rows shown"],
    ]


PANELS = """
const [sentence, seed, head] = document.querySelectorAll("#alignments select");
const slider = document.querySelector("#alignments input[type=range]");
const set = (list, value) => {
  list.value = value;
  list.dispatchEvent(new Event(list === slider ? "input" : "change"));
};
const rows = [...document.querySelectorAll("table.panels tbody tr")];
const state = (row) => {
  const cell = rows[row].cells[1], panel = cell.querySelector(".panel");
  output.push([panel.querySelector("svg").getAttribute("viewBox"), panel.querySelector("title").textContent,
               panel.classList.contains("absent") ? cell.querySelector(".why").textContent : ""]);
};
"""


def test_sentence_seed_head_and_step_can_be_chosen(page, tmp_path):
    """Row 2 has two heads. A sentence has 13 words: its sheet has 2 sentences of 3 parts, then 2 steps of 3 parts."""
    script = f"""{PANELS}
    output.push([...document.querySelectorAll("#alignments select")].map((list) => list.options.length));
    output.push([sentence, head].map((list) => list.options[1].text));
    output.push(slider.closest("label").hidden);
    set(sentence, "1"); state(2); state(0);
    set(seed, "1"); set(head, "2"); state(2); state(0);
    set(sentence, "validation"); output.push([slider.closest("label").hidden, slider.value]); state(2);
    set(slider, "0"); state(2);
    set(head, "0"); state(0);
    """
    found = opened(page, tmp_path, script)
    size = 13
    good = "13 of 13 target words with gold links have their largest weight on one"
    # Numbered from 0, as by `attnbench show --example 0 --head 0`.
    assert found[:2] == [[3, 2, 3], ["test sentence 1", "head 0"]]
    assert found.pop(2) is True
    one, other = found[2:4]
    assert one[0] == f"0 {3 * size} {size} {size}"  # after three parts of the first sentence
    assert one[1] == f"a, copy (cell 000000000008, seed 0): test sentence 1; {good}"
    assert other[0] == f"0 {size} {size} {size}"  # without heads, after one part
    with_head, without = found[4:6]
    assert with_head[0] == f"0 {5 * size} {size} {size}"
    assert "seed 1): test sentence 1; head 1; 13 of 13" in with_head[1]
    assert without[2] == "no head 1"
    assert found[6] == [False, "1"]  # the last step, as in MLflow
    last, first, mean = found[7:]
    assert last[0] == f"0 {11 * size} {size} {size}"
    assert "validation sentence at step 200; head 1" in last[1]
    assert first[0] == f"0 {8 * size} {size} {size}"
    assert mean[0] == f"0 {2 * size} {size} {size}"
    assert "validation sentence at step 100; 13 of 13" in mean[1]


def test_the_choice_of_images_calls_them_images(tmp_path):
    grid = made_up_run.plan("eyes", task=["caption"])
    made = [dataclasses.replace(made_up_run.outcome(cell), alignments=made_up_run.scenes()) for cell in grid.cells]
    script = f"""{PANELS}
    output.push(sentence.closest("label").textContent.split(" ")[0], [...sentence.options].map((one) => one.text));
    set(sentence, "1"); state(0);
    set(sentence, "validation"); state(0);
    """
    label, options, test, validation = opened(report(made_up_run.write_run(tmp_path, grid, made)), tmp_path, script)
    assert label == "Image"
    assert options == ["test image 0", "test image 1", "validation image, by training step"]
    assert "test image 1;" in test[1]
    assert "validation image at step 200;" in validation[1]


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    """A page with charts of every section."""
    grid = made_up_run.plan("charts", score=["dot", "general"], model__width=[8, 16])
    words = made_up_run.diagonal(["a", "b"])
    history = [{"step": step, "valid/exact_match": step / 200, "valid/loss": 1.0} for step in (100, 200)]
    made = [made_up_run.outcome(c, exact_match=0.5, exact_match_at_9=0.5, exact_match_at_20=0.5) for c in grid.cells]
    made = [dataclasses.replace(one, history=history, alignments=words) for one in made]
    return report(made_up_run.write_run(tmp_path_factory.mktemp("charts"), grid, made))


def test_every_chart_and_alignment_can_be_saved(charts, tmp_path):
    script = """for (const one of document.querySelectorAll("figure.chart, .panels td"))
      output.push([one.closest("section").id, one.querySelectorAll(".download").length])"""
    found = opened(charts, tmp_path, script)
    assert {section for section, _ in found} == {"length", "learning", "axes", "alignments"}
    assert {buttons for _, buttons in found} == {1}


def test_the_words_of_a_panel_have_the_colour_of_the_page(page, tmp_path):
    """They are copied by <use>, where not every rule of the style sheet applies."""
    script = """for (const theme of ["", "light"]) {
      document.documentElement.className = theme;
      const words = document.querySelector(".frames .words");
      output.push(getComputedStyle(words).fill === getComputedStyle(document.body).color);
    }
    const rules = [...document.styleSheets[0].cssRules].map((rule) => rule.selectorText || "");
    output.push(rules.includes(".words"));"""
    assert opened(page, tmp_path, script, "--blink-settings=preferredColorScheme=0") == [True, True, True]


def test_the_first_panel_is_the_same_with_and_without_the_script(page, tmp_path):
    script = f"""{PANELS} state(2); set(sentence, "0"); state(2)"""
    before, after = opened(page, tmp_path, script)
    assert before[0] == after[0] == "0 0 13 13"


def test_a_chart_is_a_file_with_its_styles_title_and_legend(page, tmp_path):
    script = """output.push(chartFile(document.querySelector("#length figure")))
    output.push(panelFile(document.querySelector(".panel")))"""
    chart, panel = map(ElementTree.fromstring, opened(page, tmp_path, script, "--window-size=1300,900"))
    for file in (chart, panel):
        assert file.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(file.get("width")) > 100
        assert not [node for node in file.iter() if node.get("class") or node.get("id") or node.tag.endswith("}use")]
        assert "var(" not in ElementTree.tostring(file, encoding="unicode")
    texts = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert "copy" in texts
    assert {"b" * 40, "c", "a"} <= set(texts)
    strokes = {
        path.get("style").partition("stroke: ")[2][:3] for path in chart.iter("{http://www.w3.org/2000/svg}path")
    }
    assert "rgb" in strokes
    assert "word0" in [text.text for text in panel.iter("{http://www.w3.org/2000/svg}text")]
    assert next(panel.iter("{http://www.w3.org/2000/svg}image")).get("href").startswith("data:image/png")


@pytest.mark.skipif(DRIVER is None, reason="chromedriver is not installed")
def test_tables_and_charts_are_saved_under_the_policy(page, tmp_path):
    file, saved = tmp_path / "page.html", tmp_path / "saved"
    file.write_text(page, encoding="utf-8")
    saved.mkdir()
    with browser(tmp_path) as window:
        window.open(file.as_uri())
        window.save_downloads(saved)
        for selector, name in (
            ("#comparison a[download$=csv]", "quick-exact_match.csv"),
            ("#length figure .download", "quick-length-copy.svg"),
        ):
            window.script("document.querySelector(arguments[0]).click()", selector)
            wait_until((saved / name).is_file)
    assert (saved / "quick-exact_match.csv").read_text(encoding="utf-8").startswith("score,task,mean,low,high")
    assert ElementTree.parse(saved / "quick-length-copy.svg").getroot().tag.endswith("svg")


def wait_until(holds):
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_chart_is_as_wide_as_its_share_of_the_page(page, tmp_path, width):
    measure = """<script>document.title = JSON.stringify([...document.querySelectorAll("#length figure")].map(
      (one) => [one, one.parentNode, one.querySelector("svg")]
        .map((box) => Math.round(box.getBoundingClientRect().width))))</script></body>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", measure)
    frame = f"<body><iframe width={width} height=900 style='border: 0' srcdoc='{html.escape(page)}'></iframe></body>"
    (one, whole, drawn), (other, *_) = opened(
        frame, tmp_path, "output.push(...JSON.parse(frames[0].document.title))", "--window-size=1300,900"
    )
    if width == 390:
        assert one == other == whole
    else:
        assert one + other == pytest.approx(whole - 16, abs=2)  # two tasks side by side, with a gap
    assert drawn == pytest.approx(one - 56, abs=1)  # all but the margins of the numbers at the axes


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
