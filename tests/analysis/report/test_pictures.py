"""The charts, panels and bars of the report: positions, colours and texts."""

import base64
import dataclasses
import io
import re

import made_up_run
import numpy as np
import pytest
from html_page import parse
from matplotlib.image import imread

from attnbench.analysis.plots import Panel
from attnbench.analysis.report.alignments import longest_sentence
from attnbench.analysis.report.charts import (
    MOST_POINTS,
    UNITS,
    Line,
    Point,
    Scale,
    at_values,
    chart,
    linear,
    logarithmic,
    thinned,
)
from attnbench.analysis.report.filters import filters_of
from attnbench.analysis.report.page import report
from attnbench.analysis.report.panel import Sentence, description, frame, panel_svg
from attnbench.analysis.report.series import COLOURS, Facet, Series, facets, legend, mark
from attnbench.analysis.report.sheets import picture_of, sheet_of

WORDS = ["a", "b", "c"]


def build(tmp_path, grid, make, left_out=()):
    """The parsed report of a run whose outcomes are made one by one."""
    outcomes = [made for planned in grid.cells if planned.id not in left_out and (made := make(planned))]
    return parse(report(made_up_run.write_run(tmp_path, grid, outcomes)))


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def titles(node):
    return [mark.one("title").text for mark in node.all(class_="mark") if mark.all("title")]


def tick(svg, text):
    """The position of a tick of x, in percent."""
    return percent(next(t["x"] for t in svg.all("text") if t.text == text and t["y"] == "100%"))


def percent(text):
    assert text.endswith("%")
    return float(text[:-1])


def heights(path):
    """The values, from 0 to 1, of the points of a path."""
    return [1 - y / UNITS for y in numbers(path["d"])[1::2]]


def pixels(address):
    """The image (H,W,3) of a data URL, each colour from 0 to 1."""
    return imread(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))[:, :, :3]


def test_learning_curves_are_the_mean_and_the_range_of_the_seeds(tmp_path):
    shares = {0: (0.6, 1.0), 1: (0.4, 1.0), 2: (0.2, 0.4)}

    def make(planned):
        history = [
            {"step": 100 * n, "valid/exact_match": v, "valid/loss": v}
            for n, v in enumerate(shares[planned.labels["seed"]], 1)
        ]
        return dataclasses.replace(made_up_run.outcome(planned, exact_match=0.5), history=history)

    page = build(tmp_path, made_up_run.plan(seed=[0, 1, 2]), make)
    exact, loss = page.one("section", id="learning").all("figure")
    assert titles(exact) == ["dot: 0.4 at step 100 (0.2 to 0.6)", "dot: 0.8 at step 200 (0.4 to 1)"]
    assert "dot 0.8 at step 200" in exact.one("svg", role="img")["aria-label"]
    assert heights(exact.one("path", class_="band")) == pytest.approx([0.6, 1.0, 0.4, 0.2], abs=1e-3)
    line = exact.one("path", class_="line")
    assert heights(line) == pytest.approx([0.4, 0.8], abs=1e-3)
    assert [x / UNITS * 100 for x in numbers(line["d"])[0::2]] == [tick(exact, "100"), tick(exact, "200")]
    marks = [mark for mark in exact.all("svg") if mark.all(class_="mark")][-2:]
    assert [(percent(mark["x"]), percent(mark["y"])) for mark in marks] == [(50, 60), (100, 20)]
    assert {t.text for t in loss.all("text")} >= {"0.1", "1"}


def test_failed_and_diverged_seeds_do_not_affect_the_curves(tmp_path):
    def make(planned):
        history = [{"step": 100, "valid/exact_match": 0.5, "valid/loss": None if planned.labels["seed"] else 2.0}]
        made = (
            made_up_run.outcome(planned, exact_match=0.5) if planned.labels["seed"] < 2 else made_up_run.failed(planned)
        )
        return dataclasses.replace(
            made, history=history if made.status == "done" else [{**history[0], "valid/exact_match": 0}]
        )

    exact, loss = build(tmp_path, made_up_run.plan(seed=[0, 1, 2]), make).one("section", id="learning").all("figure")
    assert titles(exact) == ["dot: 0.5 at step 100 (0.5 to 0.5)"]
    assert titles(loss) == ["dot: 2 at step 100"]


def test_the_trained_lengths_are_shaded(tmp_path):
    def make(planned):
        return made_up_run.outcome(planned, exact_match=0.5, exact_match_at_9=0.75, exact_match_at_20=0.25)

    section = build(tmp_path, made_up_run.plan(score=["dot", "general"]), make).one("section", id="length")
    svg = section.one("figure").one("svg", role="img")
    shade = svg.one("rect", class_="shade")
    assert shade.text == "trained on 3 to 10"
    left, right = percent(shade["x"]), percent(shade["x"]) + percent(shade["width"])
    assert left == tick(svg, "3")
    unit = (tick(svg, "20") - tick(svg, "9")) / 11
    assert right == pytest.approx(tick(svg, "9") + unit, abs=0.1)
    assert sorted(titles(svg)) == ["dot: 0.250 at 20", "dot: 0.750 at 9", "general: 0.250 at 20", "general: 0.750 at 9"]
    assert [item.text for item in section.one("ul").all("li")] == ["dot", "general"]


INDEX = ("model", "score", "scope", "model.heads")
FEW = [("rnn", "dot", "global", None), ("rnn", "general", "global", None)]
SCORES = [("transformer", f"s{n}", "self", heads) for n in range(6) for heads in (1, 4)]
MANY = [*SCORES, ("rnn", "–", "none", None)]
ALL_DIFFERENT = [("rnn", f"s{n}", "global", None) for n in range(20)]


@pytest.mark.parametrize(
    "rows", [FEW, MANY, ALL_DIFFERENT, MANY + ALL_DIFFERENT], ids=["few", "many", "different", "all"]
)
def test_every_row_has_a_distinguishable_line(rows):
    charts = facets(INDEX, rows)
    assert sorted(map(str, rows)) == sorted(str(series.row) for facet in charts for series in facet.series)
    for facet in charts:
        assert len({series.colour for series in facet.series}) == len(facet.series) <= COLOURS
        assert len({series.label for series in facet.series}) == len(facet.series)
    assert len({facet.title for facet in charts}) == len(charts)


def test_the_mark_of_a_colour_is_in_the_charts_and_in_the_legend():
    """For readers who cannot distinguish colours."""
    unit = Scale(0, 1, (0.0, 1.0), "y")
    for colour, shape in ((0, "<circle"), (3, "<polygon")):
        assert shape in chart("t", [Line(colour, "dot", [Point(0.5, 0.5, 0.25, 0.75, "half")])], unit, unit)
        assert shape in legend(Facet("", (Series(FEW[0], "dot", colour),)), filters_of([]), INDEX)


def test_many_rows_are_divided_by_setting_and_coloured_by_score():
    charts = facets(INDEX, MANY)
    assert [facet.title for facet in charts] == [
        "transformer · self · heads 1",
        "transformer · self · heads 4",
        "rnn · none",
    ]
    one, four, none = charts
    assert [series.label for series in one.series] == [f"s{n}" for n in range(6)]
    assert [s.colour for s in one.series] == [s.colour for s in four.series]
    assert [series.label for series in none.series] == ["no score"]


def test_thinned_lines_keep_their_end_and_their_extremes():
    points = [Point(x, 0.5, 0.4, 0.6, "") for x in range(1000)]
    points[123] = Point(123, 0.5, 0.0, 1.0, "")
    few = thinned(points)
    assert len(few) <= MOST_POINTS
    assert few[-1].x == 999
    assert (min(p.low for p in few), max(p.high for p in few)) == (0.0, 1.0)
    assert [p.x for p in few] == sorted({p.x for p in few})
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]


def test_thinning_leaves_out_no_stretch():
    for n in range(MOST_POINTS - 2, 4 * MOST_POINTS):
        few = thinned([Point(x, 0.5, float(x), float(x), "") for x in range(n)])
        covered = [step for p in few for step in range(int(p.low), int(p.high) + 1)]
        assert covered == list(range(n))


def test_scales_contain_their_values():
    assert linear([0, 800], "x", most_ticks=4).ticks == (0, 200, 400, 600, 800)
    assert linear([3, 20], "x", [20, 9, 3, 10]).ticks == (3, 9, 20)
    assert linear([5], "x").share(5) == 0.5
    loss = logarithmic([0.004, 3.5, 0.0], "loss")
    assert (loss.low, loss.high) == (pytest.approx(0.001), 10)
    assert loss.share(0.1) == pytest.approx(0.5)
    assert loss.share(0.0) == 0
    assert logarithmic([1.0], "loss").share(1.0) == 0
    assert logarithmic([1e-12, 1e12], "loss").ticks[0] == pytest.approx(1e-12)


def test_a_line_of_one_point_has_a_mark_and_a_whisker():
    unit = Scale(0, 1, (0.0, 1.0), "y")
    svg = parse(chart("t", [Line(3, "dot", [Point(0.5, 0.5, 0.25, 0.75, "half")])], unit, unit))
    assert not svg.all(class_="band")
    assert not svg.all(class_="line")
    assert numbers(svg.one(class_="whisker")["d"]) == [500, 750, 500, 250]


def test_a_band_has_no_width_where_all_seeds_agree():
    unit = Scale(0, 1, (0.0, 1.0), "y")
    points = [Point(0, 0.5, 0.25, 0.75, ""), Point(0.5, 0.5, None, None, ""), Point(1, 0.5, 0.25, 0.75, "")]
    band = parse(chart("t", [Line(0, "dot", points)], unit, unit)).one("path", class_="band")
    assert heights(band) == [0.75, 0.5, 0.75, 0.25, 0.5, 0.25]


def test_an_axis_of_numbers_has_a_tick_at_every_value_where_there_is_room():
    width = at_values([16, 64, 32, 128], "model.width")
    assert (width.logarithmic, width.ticks) == (True, (16, 32, 64, 128))
    assert [width.share(value) for value in width.ticks] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert at_values([10, 11, 20], "x").logarithmic is False
    assert at_values([0, 1, 10], "x").logarithmic is False  # 0 has no logarithm
    crowded = at_values([1, 1.01, 1000], "x")
    assert crowded.ticks[-1] == 1000
    assert len(crowded.ticks) == 2


def panel_of(weights, links=None):
    return Panel(np.array(weights, float), ["x", "y", "z"][: len(weights[0])], ["A", "B"], links)


def drawn(panel):
    """A panel and its frame, parsed."""
    sentence = Sentence.of(panel.source, panel.target, panel.links)
    svg = panel_svg(sentence, "f0", picture_of([panel.weights]), "dot on copy")
    return parse(svg), parse(frame(sentence, "f0"))


def test_a_panel_has_the_source_across_and_darker_for_more():
    svg, words = drawn(panel_of([[0, 0.5, 1], [0, 0, 0]]))
    image = pixels(svg.one("image")["href"])
    assert image.shape == (2, 3, 3)
    brightness = image.sum(axis=2)
    assert brightness[0, 0] > brightness[0, 1] > brightness[0, 2]
    assert np.ptp(brightness[1]) == 0
    assert [text.text for text in words.all("text")] == ["x", "y", "z", "A", "B"]
    assert svg.one("use")["href"] == f"#{words.one('g', id='f0')['id']}"


def test_all_panels_share_one_scale():
    """A weight has the same colour whatever else is in its panel."""
    half, full = (pixels(drawn(panel_of(w))[0].one("image")["href"]) for w in ([[0.5, 0, 0]] * 2, [[0.5, 1, 0]] * 2))
    assert (half[0, 0] == full[0, 0]).all()


def test_a_weight_of_0_has_a_colour_that_no_other_weight_has():
    levels = [0.0, *np.linspace(1e-9, 1, 100)]
    zero, *others = pixels(drawn(panel_of([levels]))[0].one("image")["href"])[0].tolist()
    assert zero not in others
    assert len(set(zero)) == 1, "a grey, which is grey in the inverted colours of a dark page as well"


def test_gold_links_are_outlined_at_their_positions():
    links = np.zeros((2, 3), bool)
    links[1, 2] = True
    svg, gold = drawn(panel_of([[1, 0, 0], [1, 0, 0]], links))
    place, (x, y, width, *_) = svg.all("svg")[1], numbers(gold.one(class_="gold")["d"])
    cell = float(place["width"]) / 3
    assert (x - float(place["x"])) // cell == 2
    assert (y - float(place["y"])) // cell == 1
    assert width < cell
    assert not drawn(panel_of([[1, 0, 0], [1, 0, 0]]))[1].all(class_="gold")


def test_a_sheet_has_every_sentence_head_and_step_in_order():
    """The script counts its rows: test sentences, then steps, each with the mean before the heads."""
    made = made_up_run.diagonal(["a", "b"], heads=2)
    short = dataclasses.replace(
        made, source=[["a", "</s>"], made.source[1]], target=[["a", "</s>"], made.target[1]], steps=np.array([100, 200])
    )
    sheet = sheet_of(short, first=1, whole=True)
    assert [len(sentence.target) for sentence in sheet.sentences] == [3, 2]
    assert (sheet.heads, sheet.steps, len(sheet.correct)) == (2, (100, 200), 3 * (2 + 2))
    image = pixels(parse(sheet.picture).one("image")["href"])
    assert image.shape == (3 * (3 + 2 + 3 + 3), 3, 3)
    dark = 1 - image.sum(axis=2) / 3
    first = [dark[3 * part, 0] for part in range(3)]  # the mean of .9, then heads of .8 and 1
    assert first[1] < first[0] < first[2]
    assert np.ptp(dark[9 + 6 : 9 + 6 + 9 : 3, 0][1:]) > 0
    small = sheet_of(short, first=1, whole=False)
    assert (len(small.sentences), small.forming, small.steps, small.heads) == (1, None, (), 0)
    assert pixels(parse(small.picture).one("image")["href"]).shape == (3, 3, 3)


def test_a_panel_has_a_description():
    links = np.array([[1, 0, 0], [0, 1, 0]], bool)
    text = description(panel_of([[0.75, 0.25, 0], [0, 0, 1]], links))
    assert text == (
        "1 of 2 target words with gold links have their largest weight on one; "
        "the largest weight of each target word: A → x 0.75, B → z 1.00"
    )
    assert description(panel_of([[0.75, 0.25, 0], [0, 0, 1]])).startswith("the largest weight of each target word")
    assert drawn(panel_of([[1, 0, 0]] * 2, links))[0].one("title").text == "dot on copy"


def test_panels_of_long_sentences_are_not_larger_and_have_no_tiny_words():
    words = [f"w{n}" for n in range(60)]
    panel = Panel(np.full((60, 60), 1 / 60), words, words, None)
    svg, without = drawn(panel)
    assert float(svg.all("svg")[0]["width"]) < 260
    assert not without.all("text")
    assert "w59 → w0 0.02" in description(panel)


def test_the_longest_sentence_is_shown_without_padding():
    weights = np.zeros((2, 3, 3))
    weights[1] = np.eye(3)
    made = dataclasses.replace(
        made_up_run.diagonal(["a"]),
        source=[["a", "e"], ["a", "b", "e"]],
        target=[["a", "e"], ["a", "e"]],
        weights=weights,
        links=np.zeros((0, 0, 0), bool),
    )
    panel = longest_sentence(made)
    assert (panel.source, panel.target, panel.links) == (["a", "b", "e"], ["a", "e"], None)
    assert (panel.weights == np.eye(3)[:2]).all()


def test_panels_are_arranged_by_row_and_task_and_missing_ones_are_named(tmp_path):
    grid = made_up_run.plan(score=["dot", "general", "–"], task=["copy", "sort"], seed=[0, 1])
    without = {("general", "sort", 0), ("general", "sort", 1), ("dot", "sort", 0)}

    def make(planned):
        made = made_up_run.outcome(planned, exact_match=0.5)
        labels = tuple(planned.labels[name] for name in ("score", "task", "seed"))
        kept = labels[0] != "–" and labels not in without
        return dataclasses.replace(made, alignments=made_up_run.diagonal(WORDS) if kept else None)

    section = build(tmp_path, grid, make).one("section", id="alignments")
    assert [[cell[:3] for cell in row] for row in section.one("table").rows()] == [
        ["sco", "cop", "sor"],
        ["dot", "dot", "dot"],
        ["gen", "gen", "–"],
    ]
    copy, sort = section.one("table").all("td")[:2]
    assert [sheet["data-seed"] for sheet in copy.all("span")] == ["0", "1"]
    assert [sheet["data-seed"] for sheet in sort.all("span")] == ["1"]
    assert [note.text for note in section.all("small")] == ["seed 1"]  # seed 0 has no alignment there
    assert "No alignment: –." in section.text
    assert "seed 0" in section.all("p")[0].text
    nothing, scale = (pixels(image["src"]).sum(axis=2)[0] for image in section.all("img"))
    assert nothing.size == 1
    assert nothing[0] not in scale
    assert (np.diff(scale) <= 0).all()
    assert (scale[0], scale[-1]) == (scale.max(), scale.min())


def test_a_broken_alignment_is_reported_and_the_others_are_shown(tmp_path):
    grid = made_up_run.plan("broken", score=["dot", "general"])
    outcomes = [
        dataclasses.replace(made_up_run.outcome(c, exact_match=0.5), alignments=made_up_run.diagonal(WORDS))
        for c in grid.cells
    ]
    store = made_up_run.write_run(tmp_path, grid, outcomes)
    (store.folder / "alignments" / f"{grid.cells[0].id}.npz").write_bytes(b"nothing")
    page = parse(report(store))
    assert f"{grid.cells[0].id}.npz: the file was changed: its digest does not match" in page.text
    assert len(page.one("section", id="alignments").all("svg", class_="panel")) == 1


def test_the_length_of_bars_is_proportional_to_their_values(tmp_path):
    values = {0: 0.2, 1: 0.4}

    def make(planned):
        aer = values[planned.labels["seed"]] if planned.labels["score"] == "dot" else None
        return made_up_run.outcome(planned, exact_match=0.5, aer=aer)

    section = build(tmp_path, made_up_run.plan(score=["dot", "none"], seed=[0, 1]), make).one("section", id="bars")
    assert section.one("table").rows() == [["score", "copy"], ["dot", "0.300 .20–.40"]]
    track, bar, interval = section.one("svg", class_="bar").all("rect")
    assert (track["width"], bar["width"]) == ("100", "30")
    assert (interval["x"], interval["width"]) == ("20", "20")


def test_every_colour_has_a_mark_of_its_own():
    """For readers who cannot tell the colours apart."""
    assert len({str(mark(colour, 0, 0, 1)) for colour in range(COLOURS)}) == COLOURS
