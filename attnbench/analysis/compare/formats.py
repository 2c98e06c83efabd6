"""The formats of `attnbench compare`."""

import csv
import html
import io
import json
from typing import TYPE_CHECKING

from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, ContrastLine
from attnbench.analysis.labels import text
from attnbench.analysis.paired import Verdict
from attnbench.analysis.stats import Estimate
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    from rich.console import Group

_FEW = 4  # up to this number of pairs the interval is their range
VERDICT_STYLES = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red"}


def title(contrast: Contrast) -> str:
    """The run, the metric, and which values are compared with which."""
    name = f"{contrast.name}: " if contrast.name else ""
    direction = metric_of(contrast.metric).direction
    return f"{name}{contrast.metric} ({direction} is better), every {contrast.axis} against {text(contrast.against)}"


def caption(contrast: Contrast) -> list[str]:
    """How to read a line."""
    several = len({line.value for line in contrast.lines}) > 1
    pairs = sorted({line.paired.n for line in contrast.lines if line.task != ALL_TASKS})
    shared = " or ".join(map(str, pairs)) if pairs else "the"
    holm = ", corrected for the several comparisons of a task (Holm)" if several else ""
    few = " (with few pairs, their range)" if pairs and pairs[0] <= _FEW else ""
    lines = [
        f"Difference: the mean over {shared} pairs of the same seed and setting, with its 95 % interval{few}. "
        f"P(better): the probability that a seed is better than a seed of {text(contrast.against)}.",
        f"p: exact Wilcoxon signed-rank test{holm}.",
        "Seeds: the number of each that would detect this P(better) (Noether, one-sided, power .8; at least the number "
        "that the test needs).",
    ]
    if any(line.verdict == Verdict.INCONCLUSIVE for line in contrast.lines):
        lines.append("Inconclusive: too few seeds; p cannot reach .05, whatever the values.")
    if any(line.task == ALL_TASKS for line in contrast.lines):
        lines.append("Over all: the pairs of all settings in one test, as if those of one seed were independent.")
    return [*lines, *contrast.notes]


def head(contrast: Contrast) -> list[str]:
    """The names of the columns."""
    return [contrast.axis, "task", "difference", "P(better)", "p", "rank", "seeds", "verdict"]


def row(contrast: Contrast, line: ContrastLine) -> list[str]:
    """A line as text, one item per column."""
    decimals = metric_of(contrast.metric).decimals
    decimals = max(decimals, 3 if decimals else 0)
    difference = Estimate(line.paired.difference, line.paired.low, line.paired.high, line.paired.n)
    return [
        text(line.value),
        "over all" if line.task == ALL_TASKS else line.task,
        _with_interval(difference, decimals, signed=True),
        _with_interval(line.probability, 2),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        NO_VALUE if line.rank is None else f"{line.rank:.2f}",
        NO_VALUE if line.needed is None else str(line.needed),
        line.verdict,
    ]


def _with_interval(estimate: Estimate, decimals: int, signed: bool = False) -> str:
    sign = "+" if signed else ""
    ends = "" if estimate.low is None else f" [{estimate.low:{sign}.{decimals}f}, {estimate.high:{sign}.{decimals}f}]"
    return f"{estimate.value:{sign}.{decimals}f}{ends}"


def to_rich(contrast: Contrast) -> "Group":
    """Title, table and caption for the terminal; the lines of one value are a block."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=(0, 1, 0, 0))
    for name in head(contrast):
        right, whole = name in ("p", "rank", "seeds"), name in (contrast.axis, "task")
        table.add_column(Text(name), justify="right" if right else "left", no_wrap=whole, min_width=len(name))
    above = None
    for line in contrast.lines:
        first, *rest, last = row(contrast, line)
        name = "" if line.value == above else first
        above = line.value
        table.add_row(Text(name), *map(Text, rest), Text(last, style=VERDICT_STYLES.get(line.verdict, "dim")))
    return Group(Text(title(contrast), style="bold"), table, Text("\n".join(caption(contrast)), style="dim"))


def to_markdown(contrast: Contrast) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(item.replace('|', chr(92) + '|') for item in items)} |"

    table = [line(head(contrast)), line(["---"] * len(head(contrast)))]
    table += [line(row(contrast, one)) for one in contrast.lines]
    return "\n\n".join([f"**{title(contrast)}**", "\n".join(table), "  \n".join(caption(contrast))]) + "\n"


def to_html(contrast: Contrast) -> str:
    """A <table> element without styles, to be embedded in a page."""
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head(contrast))
    lines = ["<table>", f"<caption>{html.escape(title(contrast))}</caption>", f"<thead><tr>{header}</tr></thead>"]
    lines.append("<tbody>")
    for line in contrast.lines:
        first, *rest = map(html.escape, row(contrast, line))
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
            "task": line.task,
            "metric": contrast.metric,
            "difference": line.paired.difference,
            "low": line.paired.low,
            "high": line.paired.high,
            "probability": line.probability.value,
            "probability_low": line.probability.low,
            "probability_high": line.probability.high,
            "p": line.paired.p,
            "smallest_p": line.paired.smallest_p,
            "pairs": line.paired.n,
            "rank": line.rank,
            "seeds_needed": line.needed,
            "verdict": line.verdict,
        }
        for line in contrast.lines
    ]


def to_json(contrast: Contrast) -> str:
    """The records as JSON."""
    return json.dumps(records(contrast), indent=1, ensure_ascii=False) + "\n"


def to_csv(contrast: Contrast) -> str:
    """The records as CSV."""
    rows = records(contrast)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
