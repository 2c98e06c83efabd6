"""The formats of `attnbench compare`."""

import html
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attnbench.analysis.compare.captions import caption, conclusions, described, is_undecided, title
from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, ContrastLine, Reference
from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.labels import text
from attnbench.analysis.numbers import rounded
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.formats import latex
from attnbench.analysis.verdict import Verdict
from attnbench.analysis.width import (
    is_limited,
    least_width,
    natural_width,
    print_sentences,
    sentence_width,
    wide_enough,
)
from attnbench.escapes import markdown, one_line
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

VERDICT_STYLES = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red"}
REFERENCE = "reference"  # in place of the verdict, in the row of what the others are compared with
LEAST_NAME = 8  # columns for a name that is broken
RIGHT = ("mean", "p", "rank", "needed")  # columns of numbers


def head(contrast: Contrast) -> list[str]:
    """The names of the columns."""
    task = ["task"] if contrast.axis != "task" else []
    return [contrast.axis, *task, "verdict", "mean", "difference", "P(better)", "p", "rank", "needed"]


def rows(contrast: Contrast) -> list[tuple[list[str], ContrastLine | None]]:
    """The rows of the printed table with their lines: for each task the reference (without a line), then the others."""
    found: list[tuple[list[str], ContrastLine | None]] = []
    for reference in contrast.references:
        found.append((_reference_row(contrast, reference), None))
        found += [(row(contrast, line), line) for line in contrast.lines if line.task == reference.task]
    return found


def row(contrast: Contrast, line: ContrastLine) -> list[str]:
    """A line as text, one item per column."""
    decimals = _decimals(contrast)
    difference = Estimate(line.paired.difference, line.paired.low, line.paired.high, line.paired.n)
    return [
        text(line.value),
        *_task(contrast, line.task),
        described(line),
        f"{line.mean:,.{decimals}f}",
        _with_interval(difference, decimals, signed=True),
        _with_interval(line.probability, 2),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        _rank(line.rank),
        f"{line.needed:,}" if line.needed is not None and is_undecided(line) else NO_VALUE,
    ]


def _reference_row(contrast: Contrast, reference: Reference) -> list[str]:
    mean = f"{reference.mean:,.{_decimals(contrast)}f}"
    task = _task(contrast, reference.task)
    return [text(contrast.against), *task, REFERENCE, mean, "", "", "", _rank(reference.rank), ""]


def _task(contrast: Contrast, task: str) -> list[str]:
    """The item of the column `task`, which there is not where the tasks themselves are compared."""
    return [] if contrast.axis == "task" else ["over all" if task == ALL_TASKS else task]


def _decimals(contrast: Contrast) -> int:
    decimals = metric_of(contrast.metric).decimals
    return max(decimals, 3 if decimals else 0)


def _rank(rank: float | None) -> str:
    return NO_VALUE if rank is None else f"{rank:.2f}"


def _with_interval(estimate: Estimate, decimals: int, signed: bool = False) -> str:
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign},.{decimals}f}"
    if estimate.low is None:
        return value
    return f"{value} [{estimate.low:{sign},.{decimals}f}, {estimate.high:{sign},.{decimals}f}]"


def to_table(contrast: Contrast) -> "Table":
    """The table for the terminal, one line per comparison; those of one task are together."""
    from rich.text import Text

    table = _empty_table()
    for name in head(contrast):
        table.add_column(Text(name), justify="right" if name in RIGHT else "left", no_wrap=True)
    for items, line in rows(contrast):
        cells = [Text(item) for item in items]
        cells[head(contrast).index("verdict")].style = _style(line)
        table.add_row(*cells, style="" if line else "dim")
    return table


def to_stacked_table(contrast: Contrast, breaks: bool) -> "Table":
    """The same with two lines per comparison, for narrow terminals; `breaks`: names and verdicts may be broken."""
    from rich.text import Text

    stacked = [(_stacked(head(contrast), items, breaks), line) for items, line in rows(contrast)]
    heads = _stacked(head(contrast), head(contrast), breaks=False)
    # The caption says that it is the 95 % interval.
    heads[2:4] = [f"{name}\n[interval]" for name in heads[2:4]]
    table = _empty_table()
    for place, name in enumerate(heads):
        lines = [part for items in (heads, *(items for items, _ in stacked)) for part in items[place].split("\n")]
        longest = max(map(len, lines))
        first = place == 0 and breaks
        table.add_column(
            Text(name),
            justify="right" if name.split("\n")[0] in RIGHT else "left",
            no_wrap=not first,
            overflow="fold",
            min_width=None if first else longest,
        )
    for items, line in stacked:
        cells = [Text(item) for item in items]
        cells[1].style = _style(line)
        table.add_row(*cells, style="" if line else "dim")
    return table


def _stacked(names: list[str], items: list[str], breaks: bool) -> list[str]:
    """The items of a row, two in each: the name over the task, values over their intervals, p over needed."""
    item = dict(zip(names, items, strict=True))
    # "no difference found" and "worse, within the margin" have a line break after their second word.
    words = item["verdict"].split(" ")
    verdict = f"{' '.join(words[:2])}\n{' '.join(words[2:])}" if breaks else item["verdict"]
    return [
        "\n".join([items[0], *([item["task"]] if "task" in names[1:] else [])]),
        verdict,
        item["difference"].replace(" ", "\n", 1),
        item["P(better)"].replace(" ", "\n", 1),
        f"{item['mean']}\n{item['rank']}",
        f"{item['p']}\n{item['needed']}",
    ]


def _empty_table() -> "Table":
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=(0, 1, 0, 0))


def _style(line: ContrastLine | None) -> str:
    return VERDICT_STYLES.get(line.verdict, "dim") if line else "dim"


def print_contrast(contrast: Contrast, console: "Console") -> None:
    """Prints title, conclusions, settings, table and caption; the table is stacked where it is wider than a line.

    Nothing is cut. Where lines are limited, names may be broken; elsewhere they are not: a log is searched line by
    line.
    """
    from rich.text import Text

    table = to_table(contrast)
    if natural_width(table, console) > sentence_width(console):
        table = to_stacked_table(contrast, breaks=is_limited(console))
        if is_limited(console):
            _narrow_names(table, console, max(len(reference.task) for reference in contrast.references))
    print_sentences(console, Text(title(contrast), style="bold"))
    print_sentences(console, Text("\n".join([*conclusions(contrast), *contrast.settings])))
    with wide_enough(console, natural_width(table, console), least=least_width(table, console)):
        console.print(table)
    print_sentences(console, Text("\n".join(caption(contrast)), style="dim"))


def _narrow_names(table: "Table", console: "Console", longest_task: int) -> None:
    """Gives the first column the width that the others leave: rich would not make it narrower than its longest word."""
    names = table.columns[0]
    natural = natural_width(table, console)
    names.width = max(LEAST_NAME, longest_task)
    least = natural_width(table, console)
    names.width += min(natural, max(console.width, least)) - least


def to_markdown(contrast: Contrast) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(map(markdown, items))} |"

    def sentences(given: Iterable[str]) -> str:
        return "  \n".join(map(markdown, given))

    table = [line(head(contrast)), line(["---"] * len(head(contrast)))]
    table += [line(items) for items, _ in rows(contrast)]
    first = sentences([*conclusions(contrast), *contrast.settings])
    heading = f"**{markdown(title(contrast))}**"
    return "\n\n".join([heading, first, "\n".join(table), sentences(caption(contrast))]) + "\n"


def to_latex(contrast: Contrast) -> str:
    """A tabular for the LaTeX package booktabs, with title, conclusions and caption as comments."""
    comments = [title(contrast), *conclusions(contrast), *contrast.settings]
    columns = "".join("r" if name in RIGHT else "l" for name in head(contrast))
    return "\n".join([
        *(f"% {one_line(sentence)}" for sentence in [*comments, *caption(contrast)]),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        f"{' & '.join(map(latex, head(contrast)))} \\\\",
        r"\midrule",
        *(f"{' & '.join(map(latex, items))} \\\\" for items, _ in rows(contrast)),
        r"\bottomrule",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def to_html(contrast: Contrast) -> str:
    """A <table> element without styles, to be embedded in a page."""
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head(contrast))
    first = "<br>".join(
        html.escape(sentence) for sentence in [title(contrast), *conclusions(contrast), *contrast.settings]
    )
    lines = ["<table>", f"<caption>{first}</caption>", f"<thead><tr>{header}</tr></thead>"]
    lines.append("<tbody>")
    for items, _ in rows(contrast):
        first, *rest = map(html.escape, items)
        lines.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{item}</td>" for item in rest)}</tr>')
    below = "<br>".join(map(html.escape, caption(contrast)))
    lines += ["</tbody>", f'<tfoot><tr><td colspan="{len(head(contrast))}">{below}</td></tr></tfoot>', "</table>"]
    return "\n".join(lines) + "\n"


def records(contrast: Contrast) -> list[dict[str, str | int | float | bool | None]]:
    """One record per line, with numbers in full precision."""
    return [
        {
            contrast.axis: line.value,
            "against": contrast.against,
            **({"task": line.task} if contrast.axis != "task" else {}),
            "metric": contrast.metric,
            "difference": line.paired.difference,
            "low": line.paired.low,
            "high": line.paired.high,
            "probability": line.probability.value,
            "probability_low": line.probability.low,
            "probability_high": line.probability.high,
            "p": line.paired.p,
            "smallest_p": line.paired.smallest_p,
            "p_equivalent": line.paired.p_equivalent,
            "pairs": line.paired.n,
            "rank": line.rank,
            "seeds_needed": line.needed,
            "mean": line.mean,
            "against_mean": line.mean - line.paired.difference,
            "against_rank": contrast.reference(line.task).rank,
            "within_margin": line.within_margin,
            "fewest_seeds": line.fewest,
            "verdict": line.verdict,
        }
        for line in contrast.lines
    ]


def to_json(contrast: Contrast) -> str:
    """The records as JSON."""
    return json.dumps(_numbers(contrast), indent=1, ensure_ascii=False) + "\n"


def to_csv(contrast: Contrast) -> str:
    """The records as CSV."""
    return csv_text(_numbers(contrast))


def _numbers(contrast: Contrast) -> list[dict[str, Any]]:
    return rounded(records(contrast), (contrast.axis, "against"))
