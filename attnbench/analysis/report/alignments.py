"""The alignments of the report: a panel per row and column, with the choice of sentence, seed, head and step.

The panels have the rows and columns of the tables, and one colour scale from 0 to 1, so that they can be compared. Each
shows one alignment without the script, which shows the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.analysis.labels import row_label, text
from attnbench.analysis.plots import Panel
from attnbench.analysis.report.data import ReportData, short_names
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.panel import Sentence, description, frame, panel_svg
from attnbench.analysis.report.sheets import LEVELS, ZERO_LEVEL, Sheet, data_url, sheet_of
from attnbench.analysis.table.comparison import Key, RowLabels
from attnbench.errors import AttnbenchError
from attnbench.messages import NO_VALUE
from attnbench.outcome import Alignments

MOST_PANELS = 240  # further rows are left out to limit the file's size; `attnbench show` draws them
MOST_TEXT = 900_000  # characters of pictures and frames; of further seeds, one sentence or nothing is shown


@dataclass(frozen=True)
class SeedSheet:
    """The alignments of one seed of a place; the title describes the first of them."""

    sheet: Sheet
    cell: str
    seed: int
    title: str


class Frames:
    """The frames of all sentences on the page, each once."""

    def __init__(self) -> None:
        self._ids: dict[Sentence, str] = {}
        self._drawn: list[Html] = []

    def id(self, sentence: Sentence) -> str:
        """The id of a sentence's frame, which is drawn if it is not yet."""
        if sentence not in self._ids:
            self._ids[sentence] = f"f{len(self._ids)}"
            self._drawn.append(frame(sentence, self._ids[sentence]))
        return self._ids[sentence]

    @property
    def size(self) -> int:
        """The characters of all frames."""
        return sum(map(len, self._drawn))

    def svg(self) -> Html:
        """An invisible element with all frames."""
        definitions = element("defs", *self._drawn)
        return element("svg", definitions, width=0, height=0, class_="frames", aria_hidden="true")


def longest(alignments: Alignments) -> int:
    """The number of the first of the longest test sentences; of images, the first one with the most target words."""
    lengths = [len(words) for words in (alignments.target if alignments.images.size else alignments.source)]
    return lengths.index(max(lengths))


def longest_sentence(alignments: Alignments) -> Panel:
    """The first of the longest test sentences, without padding."""
    return panel_of(alignments, longest(alignments))


def panel_of(alignments: Alignments, n: int) -> Panel:
    """Test sentence n without padding, or image n."""
    source, target = alignments.source[n], alignments.target[n]

    def own(links: np.ndarray) -> np.ndarray | None:
        return links[n, : len(target), : len(source)].astype(bool) if links.size else None

    return Panel(
        alignments.weights[n, : len(target), : len(source)],
        source,
        target,
        own(alignments.links),
        own(alignments.possible),
        alignments.images[n] if alignments.images.size else None,
    )


def panels(data: ReportData) -> Html | None:
    """The table of panels, below notes and the colour scale; None where no cell has an alignment."""
    layout = data.layout
    rows = layout.rows[: max(1, MOST_PANELS // len(layout.heads))]
    frames = Frames()
    by_place, complete = _collected(data, [(row, head) for row in rows for head in layout.heads], frames)
    shown = [row for row in rows if any(by_place.get((row, head)) for head in layout.heads)]
    if not shown:
        return None
    # Only panels of other seeds are labelled with their seed: there, the cell of this seed failed or has no alignment.
    seed = min((found[0].seed for found in by_place.values() if not isinstance(found, str)), default=0)
    corner = element("th", short_names(layout.index), scope="col")
    heads = [element("th", text(head), scope="col", data_of=data.of_column(head)) for head in layout.heads]
    body = [_row(data, row, by_place, seed, frames) for row in shown]
    header = element("thead", element("tr", corner, *heads))
    first = _first_sentences(by_place)
    kinds = " or ".join(_kinds(first))
    table = element("table", header, element("tbody", *body), class_="panels", data_kinds=kinds)
    notes = _notes(data, len(rows), shown, seed, complete, first)
    return joined(notes, _scale(), element("div", table, class_="scroll"), frames.svg())


Found = dict[Key, "list[SeedSheet] | str"]


def _collected(data: ReportData, places: Sequence[Key], frames: Frames) -> tuple[Found, bool]:
    """The sheets of every place, by seed, or why they cannot be read; and whether all seeds have their sheet.

    The first seed of every place comes before the second of any, so that all places have one where not all fit.
    """
    found: Found = {}
    complete, used = True, 0
    records = {place: data.done(place) for place in places}
    for turn in range(max(map(len, records.values()), default=0)):
        for place in places:
            if turn >= len(records[place]) or isinstance(found.get(place), str):
                continue
            room = used + frames.size < MOST_TEXT
            complete &= room
            if not room and place in found:
                continue
            record = records[place][turn]
            try:
                alignments = data.store.alignments(record["cell"])
            except AttnbenchError as error:
                found.setdefault(place, f"cannot be read: {error}")
                continue
            if alignments is None or not len(alignments.source):
                continue
            sheet = sheet_of(alignments, longest(alignments), whole=room)
            used += len(sheet.picture)
            for sentence in (*sheet.sentences, *([sheet.forming] if sheet.forming else [])):
                frames.id(sentence)
            title = description(longest_sentence(alignments))
            own = SeedSheet(sheet, record["cell"], record["labels"]["seed"], title)
            sheets = found.setdefault(place, [])
            assert isinstance(sheets, list)
            sheets.append(own)
    return found, complete


def _first_sentences(found: Found) -> list[Sentence]:
    """The sentences that the panels show without the script."""
    return [one.sheet.sentences[0] for sheets in found.values() if not isinstance(sheets, str) for one in sheets]


def _kinds(shown: Sequence[Sentence]) -> list[str]:
    """What the panels show: "sentence", "image" or both."""
    images = [sentence for sentence in shown if sentence.scene is not None]
    return ["sentence"] * (len(images) < len(shown)) + ["image"] * bool(images)


def _how_to_read(shown: Sequence[Sentence], seed: int) -> list[str]:
    """A sentence for the panels of sentences, and one for those of images; neither names links that there are not."""
    words = [sentence for sentence in shown if sentence.scene is None]
    images = [sentence for sentence in shown if sentence.scene is not None]
    lines = []
    if words:
        gold = ", gold links outlined" * any(sentence.links for sentence in words)
        lines.append(
            f"Attention weights on the longest test sentence of seed {seed}: source words across, target words down"
            f"{gold}."
        )
    if images:
        gold = "; gold links are outlined" * any(sentence.links for sentence in images)
        possible = any(sentence.scene and sentence.scene.possible for sentence in images)
        lines.append(
            f"Attention weights on the test image with the most words, of seed {seed}: the image, then the weights of "
            f"its patches for each target word{gold}{', and links that are only possible are dashed' * possible}."
        )
    return lines


def _notes(
    data: ReportData, drawn: int, shown: Sequence[RowLabels], seed: int, complete: bool, of: Sequence[Sentence]
) -> Html:
    """How to read the panels, whose first sentences are `of`, and which rows have none."""
    examples = " and ".join(f"{kind}s" for kind in _kinds(of))
    lines = [
        f"{' '.join(_how_to_read(of, seed))} Several heads are averaged. Other {examples}, seeds and heads, and the "
        "course of training, can be chosen where the browser runs scripts; "
        f"attnbench show {data.store.name} CELL shows them in the terminal.",
    ]
    if not complete:
        lines.append(f"Not all seeds, {examples} and heads are on this page, because of its size.")
    if none := [row_label(data.layout.index, row) for row in data.layout.rows[:drawn] if row not in shown]:
        lines.append(f"No alignment: {', '.join(none)}.")
    if drawn < len(data.layout.rows):
        lines.append(f"Only the first {drawn} of {len(data.layout.rows)} rows are shown.")
    return joined(*(element("p", line, class_="note") for line in lines))


def _row(data: ReportData, row: RowLabels, by_place: Found, seed: int, frames: Frames) -> Html:
    layout = data.layout
    name = row_label(layout.index, row)
    cells = [element("th", name, scope="row")]
    for head in layout.heads:
        of = data.of_column(head)
        content = by_place.get((row, head), NO_VALUE)
        if isinstance(content, str):
            cells.append(element("td", content, class_="missing", data_column=text(head), data_of=of))
            continue
        place = f"{name}, {text(head)}"
        first = content[0]
        other_seed = [element("small", f"seed {first.seed}", class_="seed")] if first.seed != seed else []
        sentence = first.sheet.sentences[0]
        title = f"{place} (cell {first.cell}, seed {first.seed}): {first.title}"
        picture = panel_svg(sentence, frames.id(sentence), first.sheet.picture, title)
        sheets = [_sheet(one, frames, with_picture=one is not first) for one in content]
        cells.append(element("td", picture, *other_seed, *sheets, data_column=text(head), data_name=place, data_of=of))
    return element("tr", *cells, data_of=data.of_row(row))


def _sheet(one: SeedSheet, frames: Frames, with_picture: bool) -> Html:
    """What the script needs to show the alignments of a seed. The picture of the first seed is in its panel."""
    sheet = one.sheet
    sentences = [*sheet.sentences, *([sheet.forming] if sheet.forming else [])]
    picture = [element("svg", sheet.picture)] if with_picture else []
    return element(
        "span",
        *picture,
        class_="sheet",
        hidden=True,
        data_seed=text(one.seed),
        data_cell=one.cell,
        data_frames=" ".join(map(frames.id, sentences)),
        data_steps=" ".join(map(str, sheet.steps)),
        data_heads=sheet.heads,
        data_correct=" ".join(map(str, sheet.correct)),
    )


def _scale() -> Html:
    """The colour scale from 0 to 1 of all panels."""

    def image(levels: np.ndarray, width: int) -> Html:
        return element("img", src=data_url(levels.astype(np.uint8)[None]), alt="", width=width, height=12)

    nothing = image(np.full(1, ZERO_LEVEL), 12)
    return element("p", nothing, " weight exactly 0 · above 0 ", image(np.arange(LEVELS), 160), " 1", class_="scale")
