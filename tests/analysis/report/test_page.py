"""The report as a whole: its content, its security, and its messages when something is missing."""

import base64
import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import made_up_run
import pytest
from html_page import parse

from attnbench.analysis.report.page import report
from attnbench.errors import AttnbenchError
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS, metric_of
from attnbench.store.store import Store

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
    return page.one("details", data_metric=metric)


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
    shown = [table["data-metric"] for table in page.all("details")]
    assert shown == ["exact_match", "aer", "alignment_entropy", "parameters", "exact_match@9", "exact_match@20"]
    assert [table["data-metric"] for table in page.all("details") if "open" in table.attributes] == ["exact_match"]
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
    shown = [table["data-metric"] for table in page.all("details")]
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
    assert page.one("pre").text == f"# {EVIL} </code></pre>{QUOTES}\nname: evil\n"
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
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
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
    assert len(links) == 7


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


def test_the_page_contains_no_date_and_no_path(run):
    text = report(run)
    assert str(run.folder.parent) not in text
    assert not re.search(r"20[2-9]\d-\d\d|\d\d:\d\d", text)


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
    assert {file.name for file in parts.iterdir() if file.suffix in (".css", ".js")} == {"page.css", "page.js"}
    assert f'"{NO_VALUE}"' in (parts / "page.js").read_text()  # sorted last
