"""A contrast as people and programs read it."""

import csv
import io
import json
from typing import TYPE_CHECKING

from attnbench.analysis.compare.contrast import EVERYTHING, Contrast, Line
from attnbench.analysis.labels import NOTHING, text
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.comparison import STYLES

if TYPE_CHECKING:
    from rich.console import Group

_FEW = 4  # pairs whose interval is their range
VERDICT_STYLES = {"better": "bold green", "worse": "bold red"}


def title(contrast: Contrast) -> str:
    """What is held against what."""
    name = f"{contrast.name}: " if contrast.name else ""
    better = {1: "higher", -1: "lower"}[STYLES[contrast.metric.split("@")[0]].better]
    return f"{name}{contrast.metric} ({better} is better), every {contrast.axis} against {text(contrast.against)}"


def caption(contrast: Contrast) -> list[str]:
    """How to read a line."""
    several = len({line.value for line in contrast.lines}) > 1
    pairs = sorted({line.paired.n for line in contrast.lines if line.task != EVERYTHING})
    shared = " or ".join(map(str, pairs)) if pairs else "the"
    holm = ", corrected for the several comparisons of a task (Holm)" if several else ""
    few = " (of so few: their range)" if pairs and pairs[0] <= _FEW else ""
    lines = [
        f"Difference: the mean over {shared} pairs of the same seed and setting, with its 95 % interval{few}. "
        f"P(better): that a seed of it does better than one of {text(contrast.against)}.",
        f"p: exact Wilcoxon signed-rank test{holm}.",
        "Seeds: how many of each it would take to tell such a P(better) (Noether, one-sided, power .8; at least what "
        "the test needs).",
    ]
    if any(line.task == EVERYTHING for line in contrast.lines):
        lines.append("Over all: the pairs of all settings in one test, as if one seed's were independent.")
    return [*lines, *contrast.notes]


def head(contrast: Contrast) -> list[str]:
    """The names of the columns."""
    return [contrast.axis, "task", "difference", "P(better)", "p", "rank", "seeds", "verdict"]


def row(contrast: Contrast, line: Line) -> list[str]:
    """A line as it is shown."""
    style = STYLES[contrast.metric.split("@")[0]]
    decimals = max(style.decimals, 3 if style.decimals else 0)
    difference = Estimate(line.paired.difference, line.paired.low, line.paired.high, line.paired.n)
    return [
        text(line.value),
        "over all" if line.task == EVERYTHING else line.task,
        _with_interval(difference, decimals, signed=True),
        _with_interval(line.probability, 2),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        NOTHING if line.rank is None else f"{line.rank:.2f}",
        NOTHING if line.needed is None else str(line.needed),
        line.verdict,
    ]


def _with_interval(estimate: Estimate, decimals: int, signed: bool = False) -> str:
    sign = "+" if signed else ""
    ends = "" if estimate.low is None else f" [{estimate.low:{sign}.{decimals}f}, {estimate.high:{sign}.{decimals}f}]"
    return f"{estimate.value:{sign}.{decimals}f}{ends}"


def to_rich(contrast: Contrast) -> "Group":
    """For the terminal: a block of lines per value of the axis."""
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
        table.add_row(Text(name), *map(Text, rest), Text(last, style=VERDICT_STYLES.get(last, "dim")))
    return Group(Text(title(contrast), style="bold"), table, Text("\n".join(caption(contrast)), style="dim"))


def to_markdown(contrast: Contrast) -> str:
    """A GitHub table, its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(item.replace('|', chr(92) + '|') for item in items)} |"

    table = [line(head(contrast)), line(["---"] * len(head(contrast)))]
    table += [line(row(contrast, one)) for one in contrast.lines]
    return "\n\n".join([f"**{title(contrast)}**", "\n".join(table), "  \n".join(caption(contrast))]) + "\n"


def records(contrast: Contrast) -> list[dict[str, str | int | float | bool | None]]:
    """A record per line, with every number in full."""
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
