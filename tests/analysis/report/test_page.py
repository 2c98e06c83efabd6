"""The report as a whole: its content, its security, and its messages when something is missing."""

import base64
import csv
import dataclasses
import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import made_up_run
import numpy as np
import pytest
from html_page import parse

import attnbench
from attnbench.analysis.report.page import SCRIPTS, report
from attnbench.errors import AttnbenchError
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS, metric_of
from attnbench.outcome import Alignments
from attnbench.store.provenance import Provenance, note
from attnbench.store.store import Store

PROVENANCE = Provenance(
    date="2026-01-31T12:00:00Z",
    attnbench="0.1.0",
    git="0123abcd-dirty",
    python="3.12.3",
    system="Linux x86_64",
    cpu="Some CPU",
    cores=2,
    engine="processes",
    cells=8,
)
EVIL = "<script>alert(1)</script>"
QUOTES = "\"onload='x' & </style><b>"


def history(*seeds_share: float) -> list[dict[str, float]]:
    steps = enumerate(seeds_share, 1)
    return [{"step": 100 * n, "valid/exact_match": share, "valid/loss": 1 - share / 2} for n, share in steps]


def done(planned, share=0.5, alignments=True, versions=None, **metrics):
    made = made_up_run.outcome(planned, exact_match=share, **metrics)
    return dataclasses.replace(
        made,
        history=history(share / 2, share),
        alignments=made_up_run.diagonal(["a", "b", "c"]) if alignments else None,
        versions=versions or {"torch": "2.6.0"},
    )


@pytest.fixture
def run(tmp_path):
    """Two scores on two tasks, two seeds each: exact match .3 and .5 with dot on copy, and so on."""
    grid = made_up_run.plan("quick", score=["dot", "general"], task=["copy", "sort"], seed=[0, 1])
    shares = {("dot", "copy"): 0.3, ("dot", "sort"): 0.1, ("general", "copy"): 0.7, ("general", "sort"): 0.6}
    outcomes = [
        done(
            planned,
            shares[planned.labels["score"], planned.labels["task"]] + planned.labels["seed"] / 5,
            aer=0.25,
            alignment_entropy=0.5,
            exact_match_at_9=0.4,
            exact_match_at_20=0.2,
        )
        for planned in grid.cells
    ]
    return made_up_run.write_run(tmp_path, grid, outcomes)


def metric_table(page, metric):
    return page.one("section", id="comparison").one("details", data_metric=metric)


def test_the_table_has_every_number_of_the_comparison(run):
    table = metric_table(parse(report(run)), "exact_match").one("table")
    assert table.rows() == [
        ["score", "copy", "sort"],
        ["dot", "0.400 .30–.50", "0.200 .10–.30"],
        ["general", "0.800 .70–.90", "0.700 .60–.80"],
    ]
    assert [float(cell["data-sort"]) for cell in table.all("td")] == pytest.approx([0.4, 0.2, 0.8, 0.7])
    assert [best.text for best in table.all("strong")] == ["0.800", "0.700"]


def test_there_is_a_table_for_every_metric_that_has_values(run):
    page = parse(report(run))
    shown = [table["data-metric"] for table in page.one("section", id="comparison").all("details")]
    assert shown == ["exact_match", "aer", "alignment_entropy", "parameters", "exact_match@9", "exact_match@20"]
    assert [
        table["data-metric"]
        for table in page.one("section", id="comparison").all("details")
        if "open" in table.attributes
    ] == ["exact_match"]
    assert "On sources of 20 words" in metric_table(page, "exact_match@20").text
    assert "Lower is better" in metric_table(page, "aer").text
    assert len(metric_table(page, "aer").all("th", data_first="ascending")) == 2
    assert len(metric_table(page, "exact_match").all("th", data_first="descending")) == 2


def test_every_metric_on_the_page_is_explained(tmp_path):
    """A run with a value for each metric, and for exact match at two test lengths."""
    grid = made_up_run.plan("all", score=["dot"], seed=[0])
    values = {name: 1 if about.whole else 0.5 for name, about in METRICS.items() if name != "exact_match"}
    outcomes = [done(grid.cells[0], 0.5, exact_match_at_9=0.4, exact_match_at_20=0.2, **values)]
    page = parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))
    shown = [table["data-metric"] for table in page.one("section", id="comparison").all("details")]
    assert shown == [*METRICS, "exact_match@9", "exact_match@20"]
    for metric in shown:
        meaning = metric_table(page, metric).one("p", class_="meaning").text
        assert meaning.startswith(metric_of(metric).meaning), metric


def test_the_head_of_the_page_has_the_numbers_of_cells(tmp_path):
    grid = made_up_run.plan("half", score=["dot", "general"], seed=[0, 1])
    store = made_up_run.write_run(tmp_path, grid, [done(grid.cells[0]), made_up_run.failed(grid.cells[1])])
    header = parse(report(store)).one("header")
    assert header.one("h1").text == "half"
    assert "1 of 4 cells done, 1 failed" in header.text
    assert "2 of 4 cells are not finished" in header.text


def test_names_from_the_grid_are_escaped(tmp_path):
    grid = made_up_run.plan("evil", score=[EVIL, QUOTES], task=["copy", "<img src=x onerror=alert(1)>"], seed=[0, 1])
    outcomes = [done(c, aer=0.5, exact_match_at_9=0.5, versions={EVIL: QUOTES}) for c in grid.cells[1:]]
    store = made_up_run.write_run(tmp_path, grid, [made_up_run.failed(grid.cells[0], EVIL), *outcomes])
    (store.folder / "grid.yaml").write_text(f"# {EVIL} </code></pre>{QUOTES}\nname: evil\n")
    text = report(store)
    page = parse(text)
    assert len(page.all("script")) == 1
    assert "alert" not in page.one("script").text
    assert not page.all("b")
    assert not [node for node in page.all() if any(name.startswith("on") for name in node.attributes)]
    assert {node["src"][:5] for node in page.all("img")} == {"data:"}
    assert page.one("section", id="configuration").one("pre").text == f"# {EVIL} </code></pre>{QUOTES}\nname: evil\n"
    assert metric_table(page, "exact_match").one("table").rows()[1][0] == EVIL
    for section in ("length", "learning", "alignments", "bars", "failed"):
        assert EVIL in page.one("section", id=section).text, section
    assert f"{QUOTES} 0." in page.one("section", id="learning").all("svg", role="img")[0]["aria-label"]
    assert page.one("section", id="versions").one("table").rows() == [[EVIL, QUOTES]]


def test_nothing_is_loaded(run):
    text = report(run)
    page = parse(text)
    addresses = [node[name] for node in page.all() for name in ("src", "href", "xlink:href") if name in node.attributes]
    assert addresses
    saved = [node["href"] for node in page.all("a") if "download" in node.attributes]
    assert {address.partition(";")[0] for address in saved} == {
        "data:text/csv",
        "data:application/x-tex",
        "data:application/yaml",
    }
    loaded = [address for address in addresses if address not in saved]
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in loaded)
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_policy_allows_only_the_script_of_the_page(run):
    page = parse(report(run))
    policy = page.one("meta", http_equiv="Content-Security-Policy")["content"]
    digest = base64.b64encode(hashlib.sha256(page.one("script").text.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
    ]


def test_every_link_of_the_contents_has_its_section(run):
    page = parse(report(run))
    links = [link["href"] for link in page.one("nav").all("a")]
    assert links == [f"#{section['id']}" for section in page.all("section")]
    assert len(links) == 9


def test_the_same_results_give_the_same_bytes(run):
    code = (
        "import sys, pathlib; from attnbench.store.store import Store\n"
        "from attnbench.analysis.report.page import report\n"
        f"sys.stdout.buffer.write(report(Store(pathlib.Path({str(run.folder)!r}))).encode())"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    )
    assert first == second == report(Store(run.folder)).encode()


def test_the_page_contains_no_path_and_no_date_but_that_of_the_training(run):
    text = report(run)
    assert str(run.folder.parent) not in text
    assert not re.search(r"20[2-9]\d-\d\d|\d\d:\d\d", text)
    note(run.folder, PROVENANCE)
    assert set(re.findall(r"20[2-9]\d-\d\d-\d\d", report(run))) == {"2026-01-31"}


def section(page, id):
    return page.one("section", id=id)


def downloads(node):
    """The content of every link that saves something, by the name of the file."""
    saved = [link for link in node.all("a") if "download" in link.attributes]
    return {link["download"]: unquote(link["href"].partition(",")[2]) for link in saved}


def test_the_verdict_comes_first_with_difference_interval_and_probability(tmp_path):
    grid = made_up_run.plan("ten", score=["dot", "general"], task=["copy", "sort"], seed=range(10))
    shares = {("dot", "copy"): 0.3, ("dot", "sort"): 0.6, ("general", "copy"): 0.7, ("general", "sort"): 0.6}
    outcomes = [
        done(c, shares[c.labels["score"], c.labels["task"]] + c.labels["seed"] / 100, alignments=False)
        for c in grid.cells
    ]
    page = parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))
    verdict = page.all("section")[0]
    assert verdict["id"] == "verdict"
    assert [item.text for item in verdict.all("li")] == [
        "Over all tasks, against general: dot is worse.",
        "copy, against general: dot is worse.",
        "sort, against general: dot is equivalent.",
    ]
    head, reference, over_all, _, copy, _, sort = verdict.one("table").rows()
    assert head[:6] == ["score", "task", "verdict", "mean", "difference", "P(better)"]
    assert reference[:4] == ["general", "over all", "reference", "0.695"]
    assert over_all[:5] == ["dot", "over all", "worse", "0.495", "-0.200 [-0.200, -0.200]"]
    assert copy[2] == "worse"
    assert copy[4].startswith("-0.400 [")
    assert copy[5].startswith("0.00 [")
    assert sort[2] == "equivalent"
    assert [cell.text for cell in verdict.one("table").all("td", class_="bad")] == ["worse", "worse"]
    assert [row["data-of"] for row in verdict.one("table").all("tr")[1:]] == [
        "0:1",
        "0:0",
        "0:1 1:0",
        "0:0 1:0",
        "0:1 1:1",
        "0:0 1:1",
    ]
    saved = downloads(verdict)
    rows = list(csv.DictReader(io.StringIO(saved["ten-verdict-score.csv"])))
    assert [(row["task"], row["verdict"]) for row in rows] == [
        ("all", "worse"),
        ("copy", "worse"),
        ("sort", "equivalent"),
    ]
    assert float(rows[1]["difference"]) == pytest.approx(-0.4)
    assert "dot & copy & worse & " in saved["ten-verdict-score.tex"]


def test_a_difference_in_parameters_is_noted_below_the_verdict_and_every_table(tmp_path):
    grid = made_up_run.plan("uneven", score=["dot", "general"], seed=[0, 1])
    sizes = {"dot": 130, "general": 100}
    outcomes = [done(c, alignments=False, aer=0.5, parameters=sizes[c.labels["score"]]) for c in grid.cells]
    page = parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))
    smaller = [p.text for p in section(page, "verdict").all("p")]
    assert "general has 0.769 times the parameters of dot: 100 and 130." in smaller
    for metric in ("exact_match", "aer"):
        notes = [p.text for p in metric_table(page, metric).all("p", class_="note")]
        assert "dot has 1.30 times the parameters of general: 130 and 100." in notes


def test_there_is_a_verdict_per_axis_but_not_of_one_that_follows_another(tmp_path):
    plan = made_up_run.plan("axes", model=["rnn", "ntm"], score=["dot"], model__width=[8, 16], seed=[0, 1])
    for cell in plan.cells:  # as a zip does
        cell.labels["scope"] = "global" if cell.labels["model"] == "rnn" else "none"
    store = made_up_run.write_run(tmp_path, plan, [done(c) for c in plan.cells])
    verdict = section(parse(report(store)), "verdict")
    questions = [title.text for name in ("h3", "summary") for title in verdict.all(name)]
    assert questions == ["Which model is better?", "Which model.width is better?"]


def test_an_axis_without_a_verdict_comes_after_those_that_have_one(tmp_path):
    plan = made_up_run.plan("none", score=["dot"], scope=["none", "global", "hard"], seed=[0, 1])
    for cell in plan.cells:
        cell.labels["score"] = "–" if cell.labels["scope"] == "none" else "dot"
    store = made_up_run.write_run(tmp_path, plan, [done(c) for c in plan.cells])
    verdict = section(parse(report(store)), "verdict")
    assert [title.text for title in verdict.all("h3")] == ["Which scope is better?"]
    assert [title.text for title in verdict.all("summary")] == ["Which score is better?"]


def test_without_anything_to_compare_the_verdict_says_so(tmp_path):
    grid = made_up_run.plan("one", seed=[0, 1])
    page = parse(report(made_up_run.write_run(tmp_path, grid, [done(c) for c in grid.cells])))
    assert "nothing that could be compared" in section(page, "verdict").text
    grid = made_up_run.plan("failed", score=["dot", "general"])
    store = made_up_run.write_run(tmp_path, grid, map(made_up_run.failed, grid.cells))
    assert "No verdict: all 2 finished cells failed" in section(parse(report(store)), "verdict").text


def test_every_table_can_be_saved_as_csv_and_latex(run):
    page = parse(report(run))
    names = set(downloads(page))
    metrics = [table["data-metric"] for table in section(page, "comparison").all("details")]
    tables = [*metrics, "verdict-score", "provenance", "versions"]
    assert names == {f"quick-{table}.{ending}" for table in tables for ending in ("csv", "tex")} | {"quick.yaml"}
    saved = downloads(section(page, "comparison"))
    run_as_python = attnbench.load(str(run.folder)).table()
    rows = list(csv.DictReader(io.StringIO(saved["quick-exact_match.csv"])))
    assert [float(row["mean"]) for row in rows] == pytest.approx(list(run_as_python.frame["mean"]))
    assert r"general & \textbf{0.800}" in saved["quick-exact_match.tex"]


def test_saved_tables_keep_every_character(tmp_path):
    names = ["a#b%25c d", "ü\n&<\"'>", EVIL]
    grid = made_up_run.plan("odd", score=names, seed=[0])
    page = parse(report(made_up_run.write_run(tmp_path, grid, [done(c) for c in grid.cells])))
    rows = list(csv.DictReader(io.StringIO(downloads(section(page, "comparison"))["odd-exact_match.csv"])))
    assert [row["score"] for row in rows] == names
    for link in page.all("a"):
        assert link["href"].isascii()
        assert not re.search(r"[\s<>\"]", link["href"])


def test_the_provenance_has_dates_versions_machine_seeds_time_and_commands(run):
    note(run.folder, PROVENANCE)
    note(run.folder, PROVENANCE.model_copy(update={"date": "2026-02-01T08:00:00Z", "python": "3.13.1"}))
    part = section(parse(report(run)), "provenance")
    facts = dict(part.one("table").rows())
    assert facts == {
        "trained": "2026-01-31T12:00:00Z to 2026-02-01T08:00:00Z",
        "attnbench": "0.1.0",
        "git revision": "0123abcd-dirty",
        "Python": "3.12.3; 3.13.1",
        "system": "Linux x86_64",
        "CPU": "Some CPU (2 cores)",
        "engine": "processes",
        "seeds": "2: 0, 1",
        "total time": NO_VALUE,
    }
    assert part.one("pre").text.splitlines() == [
        "git checkout 0123abcd",
        "pip install ./attnbench  # version 0.1.0",
        "attnbench run quick.yaml",
        "attnbench compare quick",
        "attnbench report quick",
    ]
    assert "not committed" in part.text
    assert downloads(part)["quick.yaml"] == "name: made-up\n"


def test_the_users_own_files_are_named_that_the_grid_needs(run):
    def trained_with_a_plugin(record):
        record["code"] = {"plugin:my_score.py": "0", "scores/dot.py": "1"}

    assert "own files" not in section(parse(report(run)), "provenance").text
    made_up_run.rewrite(next((run.folder / "cells").iterdir()), trained_with_a_plugin)
    assert "not on this page: my_score.py." in section(parse(report(Store(run.folder))), "provenance").text


def test_the_total_time_is_the_sum_of_the_seeds_shares(tmp_path):
    grid = made_up_run.plan("timed", score=["dot", "general"], seed=[0, 1, 2])
    store = made_up_run.write_run(tmp_path, grid, [])
    for pack in (grid.cells[:3], grid.cells[3:]):
        store.write_pack([done(c, seconds=620.0) for c in pack], pack, {})
    facts = dict(section(parse(report(store)), "provenance").one("table").rows())
    assert facts["total time"] == "1 h 2 min of training, summed over 2 packs"
    assert facts["CPU"] == "not recorded: trained by an earlier version"


def test_metrics_are_drawn_against_every_axis_of_numbers(tmp_path):
    grid = made_up_run.plan(
        "numbers", score=["dot", "general"], model__width=[64, 16, 32], model__bias=[True, False], seed=[0, 1]
    )

    def make(planned):
        return done(planned, share=planned.labels["model.width"] / 100 + planned.labels["seed"] / 10, aer=0.5)

    part = section(parse(report(made_up_run.write_run(tmp_path, grid, map(make, grid.cells)))), "axes")
    assert [title.text for title in part.all("h3")] == ["Against model.width"]
    assert [one["data-metric"] for one in part.all("details")] == ["exact_match", "aer", "parameters"]
    lines = part.all("details")[0].one("figure").all("g")
    assert len(lines) == 4
    described = [title.text for title in lines[-1].all("title")]
    assert described == [
        "dot · bias true: 0.210 at 16 (0.160 to 0.260)",
        "dot · bias true: 0.370 at 32 (0.320 to 0.420)",
        "dot · bias true: 0.690 at 64 (0.640 to 0.740)",
    ]
    one_width = made_up_run.plan("one", model__width=[64])
    page = parse(report(made_up_run.write_run(tmp_path, one_width, [done(c) for c in one_width.cells])))
    assert not page.all("section", id="axes")


def test_filters_name_what_each_part_shows(run):
    page = parse(report(run))
    form = page.one("details", class_="filters")
    assert "hidden" in form.attributes  # without the script it does nothing
    boxes = {box.text.strip(): box.one("input")["value"] for box in form.all("label")}
    assert boxes == {"dot": "0:0", "general": "0:1", "copy": "1:0", "sort": "1:1"}
    table = metric_table(page, "exact_match").one("table")
    assert [row["data-of"] for row in table.all("tr")[1:]] == ["0:0", "0:1"]
    assert [cell["data-of"] for cell in table.all("td")] == ["1:0", "1:1"] * 2
    for part in ("length", "learning"):
        figures = section(page, part).all("figure")
        assert [figure["data-of"] for figure in figures][:2] == ["1:0", "1:1"]
        assert {line["data-of"] for line in figures[0].all("g")} == {"0:0", "0:1"}
    assert [row["data-of"] for row in section(page, "alignments").one("table").all("tr")[1:]] == ["0:0", "0:1"]


def test_200_cells_with_long_noisy_alignments_are_below_2_megabytes(tmp_path):
    """The worst case for size: no two weights are equal. 21 words, 4 heads, 8 sentences, 9 records of training."""
    scores, tasks = [f"score{n}" for n in range(5)], ["copy", "reverse", "sort", "translate"]
    grid = made_up_run.plan("large", score=scores, task=tasks, model__width=[32, 64], seed=range(5))
    assert len(grid.cells) == 200
    random = np.random.default_rng(0)

    def softmax(*shape):
        logits = np.exp(random.normal(0, 2, (*shape, 21, 21)))
        return logits / logits.sum(-1, keepdims=True)

    def make(planned):
        seed = planned.labels["seed"]
        words = [[f"{planned.labels['task'][:2]}{seed}{n}{w}" for w in range(20)] + ["</s>"] for n in range(9)]
        aligned = Alignments(
            source=words[:8], target=words[:8], weights=softmax(8), links=np.eye(21)[None].repeat(8, 0) > 0,
            forming_source=words[8], forming_target=words[8], forming_links=np.eye(21) > 0, forming=softmax(9),
            steps=np.arange(9) * 100, heads=softmax(8, 4), forming_heads=softmax(9, 4),
        )  # fmt: skip
        values = {name: random.random() for name, about in METRICS.items() if not about.whole}
        values |= {"exact_match_at_9": random.random(), "exact_match_at_20": random.random()}
        made = done(planned, **{"share": values.pop("exact_match"), **values})
        return dataclasses.replace(made, alignments=aligned, history=history(*random.random(50)))

    text = report(made_up_run.write_run(tmp_path, grid, map(make, grid.cells)))
    assert len(text.encode()) < 2_000_000
    page = parse(text)
    assert len(page.all("svg", class_="panel")) == 40
    assert "Not all seeds, sentences and heads are on this page" in page.text


def test_failed_cells_are_listed_with_their_errors(tmp_path):
    grid = made_up_run.plan("failing", score=["dot", "general"], seed=[0, 1])
    outcomes = [made_up_run.failed(grid.cells[0]), *(done(planned, 0.5) for planned in grid.cells[1:])]
    page = parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))
    assert page.one("section", id="failed").one("table").rows() == [
        ["cell", "configuration", "task", "seed", "error"],
        ["000000000000", "dot", "copy", "0", "the loss is NaN at step 7"],
    ]
    assert "n=1/2" in metric_table(page, "exact_match").one("table").rows()[1][1]
    assert not parse(report(made_up_run.write_run(tmp_path, grid, [done(c) for c in grid.cells]))).all(id="failed")


def test_control_characters_of_an_error_are_replaced(tmp_path):
    grid = made_up_run.plan("failing", score=["dot"], seed=[0])
    error = "bad\x00 \x1b]0;title\x07 \x1b[31mred\x9b2J\r\n\tline two é"
    text = report(made_up_run.write_run(tmp_path, grid, [made_up_run.failed(grid.cells[0], error)]))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "bad� �]0;title� �[31mred�2J\n\tline two é" in text


def test_a_run_with_only_failed_cells_is_shown(tmp_path):
    grid = made_up_run.plan("failing", seed=[0, 1])
    page = parse(report(made_up_run.write_run(tmp_path, grid, map(made_up_run.failed, grid.cells))))
    assert metric_table(page, "exact_match").one("table").rows()[1] == ["dot", "failed 2/2"]
    assert "No cell has a validation result" in page.one("section", id="learning").text
    assert "No length was tested separately" in page.one("section", id="length").text
    assert "No cell has an alignment" in page.one("section", id="alignments").text
    assert "No cell has an alignment" in page.one("section", id="bars").text


def test_a_run_without_finished_cells_is_an_error(tmp_path):
    store = made_up_run.write_run(tmp_path, made_up_run.plan("empty"), [])
    with pytest.raises(AttnbenchError, match="no cell is finished yet"):
        report(store)


def test_a_missing_grid_file_is_reported(run):
    (run.folder / "grid.yaml").unlink()
    assert "grid.yaml cannot be read" in parse(report(run)).one("section", id="configuration").text


def test_versions_are_counted_where_they_differ(tmp_path):
    grid = made_up_run.plan("mixed", seed=[0, 1, 2])
    versions = [{"torch": "2.6", "code": {"a": 1}}, {"torch": "2.6", "code": {"a": 1}}, {"torch": "2.7"}]
    outcomes = [done(planned, versions=v) for planned, v in zip(grid.cells, versions, strict=True)]
    page = parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))
    assert page.one("section", id="versions").one("table").rows() == [
        ["code", '{"a": 1}'],
        ["torch", "2.6 (2 cells); 2.7 (1 cell)"],
    ]


def test_a_large_run_stays_small(tmp_path):
    scores, tasks = [f"score{n}" for n in range(13)], [f"task{n}" for n in range(8)]
    grid = made_up_run.plan("large", score=scores, task=tasks)
    words = made_up_run.diagonal([f"word{n}" for n in range(40)])
    outcomes = [
        dataclasses.replace(
            done(planned, 0.5, aer=0.5, exact_match_at_9=0.5), alignments=words, history=history(*[0.5] * 300)
        )
        for planned in grid.cells
    ]
    text = report(made_up_run.write_run(tmp_path, grid, outcomes))
    assert len(parse(text).all("svg", class_="panel")) == 104
    assert len(text) < 3_000_000
    assert "With more than 150 validations" in text


def test_style_and_script_are_part_of_the_package():
    """pyproject.toml lists the files that are not Python; setuptools packs no others."""
    parts = Path(sys.modules["attnbench.analysis.report.page"].__file__ or "").parent
    present = {file.name for file in parts.iterdir() if file.suffix in (".css", ".js")}
    assert present == {"page.css", *SCRIPTS}
    assert f'"{NO_VALUE}"' in (parts / "tables.js").read_text()  # sorted last
