"""The formats of `attnbench compare`."""

import html
import json
from typing import TYPE_CHECKING

from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, ContrastLine
from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.labels import text
from attnbench.analysis.learned import SENTENCES
from attnbench.analysis.paired import ALPHA, POWER
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.cell import FEWEST
from attnbench.analysis.table.formats import latex
from attnbench.analysis.verdict import Verdict
from attnbench.escapes import markdown, one_line
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    from rich.console import Console, Group

VERDICT_STYLES = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red"}
# How a conclusion continues after the names of the values; singular and plural.
_PREDICATES = {
    Verdict.BETTER: ("is better", "are better"),
    Verdict.WORSE: ("is worse", "are worse"),
    Verdict.EQUIVALENT: ("is equivalent", "are equivalent"),
    Verdict.NO_DIFFERENCE: ("shows no difference", "show no difference"),
    Verdict.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
}


def title(contrast: Contrast) -> str:
    """The run, the metric, and which values are compared with which."""
    name = f"{contrast.name}: " if contrast.name else ""
    direction = metric_of(contrast.metric).direction
    best = " (the best)" if contrast.chosen else ""
    against = f"{text(contrast.against)}{best}"
    return f"{name}{contrast.metric} ({direction} is better), every {contrast.axis} against {against}"


def conclusions(contrast: Contrast) -> list[str]:
    """One sentence per task: which values are better, worse, equivalent, and which are undecided."""
    tasks = list(dict.fromkeys(line.task for line in contrast.lines))
    return [_conclusion(contrast, [line for line in contrast.lines if line.task == task]) for task in tasks]


def _conclusion(contrast: Contrast, lines: list[ContrastLine]) -> str:
    parts = []
    for verdict, (one, several) in _PREDICATES.items():
        if names := [text(line.value) for line in lines if line.verdict == verdict]:
            parts.append(f"{_joined(names)} {one if len(names) == 1 else several}")
    task = "Over all tasks" if lines[0].task == ALL_TASKS else str(lines[0].task)
    return f"{task}, against {text(contrast.against)}: {'; '.join(parts)}."


def _joined(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def caption(contrast: Contrast) -> list[str]:
    """How to read the table, and how far the verdicts can be trusted."""
    pairs = sorted({line.paired.n for line in contrast.lines})
    seeds = " or ".join(map(str, pairs))
    few = " (below 5 seeds, their range)" if pairs[0] < FEWEST["mean"] else ""
    lines = [
        f"difference: the mean over {seeds} shared seeds, with its 95 % interval{few}. Each seed counts once, with its "
        "mean over all settings. The interval is that of one comparison, without the correction of p.",
        f"P(better): the probability that a seed is better than a seed of {text(contrast.against)}.",
        f"p: exact sign-flip test of the difference{_correction(contrast)}. Per task, the probability of any false "
        f'"better" or "worse" is at most {ALPHA:.0%}; over several tasks it adds up.',
        "rank: the mean rank among all values over the shared seeds and settings; 1 is the best.",
        f"needed: the seeds with which a difference of this size and variation is found with a probability of {POWER}.",
    ]
    if contrast.margin is not None:
        about = metric_of(contrast.metric)
        shown = f"{contrast.margin:.{max(about.decimals, 2)}f}".rstrip("0").rstrip(".")
        lines.append(f"equivalent: the difference is within ±{shown} (two one-sided tests).")
    if contrast.resolution:
        sentences = round(SENTENCES / contrast.resolution)
        lines.append(
            f"All seeds share one test set of {sentences} sentences; a difference below {contrast.resolution:.4g} "
            f"({SENTENCES} sentences) is neither better nor worse."
        )
    if any(line.verdict == Verdict.INCONCLUSIVE for line in contrast.lines):
        lines.append(f"inconclusive: too few seeds with a difference; whatever their values, p cannot reach {ALPHA:g}.")
    return [*lines, *contrast.notes]


def _correction(contrast: Contrast) -> str:
    """Over which comparisons p is corrected."""
    several = len({line.value for line in contrast.lines}) > 1
    if not several:
        return ""
    if contrast.chosen:
        return f", corrected (Holm) for all pairs of values, since {text(contrast.against)} was chosen as the best"
    return ", corrected (Holm) for the comparisons of a task"


def head(contrast: Contrast) -> list[str]:
    """The names of the columns."""
    return [contrast.axis, "task", "difference", "P(better)", "p", "rank", "needed", "verdict"]


def row(contrast: Contrast, line: ContrastLine, narrow: bool = False) -> list[str]:
    """A line as text, one item per column; with `narrow`, intervals are below their values."""
    decimals = metric_of(contrast.metric).decimals
    decimals = max(decimals, 3 if decimals else 0)
    difference = Estimate(line.paired.difference, line.paired.low, line.paired.high, line.paired.n)
    between = "\n" if narrow else " "
    return [
        text(line.value),
        "over all" if line.task == ALL_TASKS else line.task,
        between.join(_with_interval(difference, decimals, signed=True)),
        between.join(_with_interval(line.probability, 2)),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        NO_VALUE if line.rank is None else f"{line.rank:.2f}",
        NO_VALUE if line.needed is None else f"{line.needed:,}",
        line.verdict,
    ]


def _with_interval(estimate: Estimate, decimals: int, signed: bool = False) -> list[str]:
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign}.{decimals}f}"
    if estimate.low is None:
        return [value]
    return [value, f"[{estimate.low:{sign}.{decimals}f}, {estimate.high:{sign}.{decimals}f}]"]


def to_rich(contrast: Contrast, narrow: bool = False) -> "Group":
    """Title, conclusions, settings, table and caption for the terminal; the lines of one value are a block."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=(0, 1, 0, 0))
    for name in head(contrast):
        right, whole = name in ("p", "rank", "needed"), name not in ("verdict",)
        table.add_column(Text(name), justify="right" if right else "left", no_wrap=whole, min_width=len(name))
    above = None
    for line in contrast.lines:
        first, *rest, last = row(contrast, line, narrow)
        name = "" if line.value == above else first
        above = line.value
        table.add_row(Text(name), *map(Text, rest), Text(last, style=VERDICT_STYLES.get(line.verdict, "dim")))
    return Group(
        Text(title(contrast), style="bold"),
        Text("\n".join([*conclusions(contrast), *contrast.settings])),
        table,
        Text("\n".join(caption(contrast)), style="dim"),
    )


def print_contrast(contrast: Contrast, console: "Console") -> None:
    """Prints the rich table; without a terminal at its full width, in a narrow one with intervals below values."""
    shown, width = to_rich(contrast), console.width
    console.width = 10_000  # rich limits a measurement to the width of the console
    needed = console.measure(shown.renderables[2]).maximum
    console.width = width if console.is_terminal else max(width, needed)
    console.print(to_rich(contrast, narrow=True) if needed > console.width else shown)
    console.width = width


def to_markdown(contrast: Contrast) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(map(markdown, items))} |"

    table = [line(head(contrast)), f"| {' | '.join(['---'] * len(head(contrast)))} |"]
    table += [line(row(contrast, one)) for one in contrast.lines]
    first, below = (
        "  \n".join(map(markdown, sentences))
        for sentences in ([*conclusions(contrast), *contrast.settings], caption(contrast))
    )
    return "\n\n".join([f"**{markdown(title(contrast))}**", first, "\n".join(table), below]) + "\n"


def to_latex(contrast: Contrast) -> str:
    """A tabular for the LaTeX package booktabs, with title, conclusions and caption as comments."""
    comments = [title(contrast), *conclusions(contrast), *contrast.settings]
    rows = [[latex(item) for item in row(contrast, line)] for line in contrast.lines]
    return "\n".join([
        *(f"% {one_line(sentence)}" for sentence in [*comments, *caption(contrast)]),
        r"\begin{tabular}{llllrrrl}",
        r"\toprule",
        *(f"{' & '.join(items)} \\\\" for items in [[latex(name) for name in head(contrast)]]),
        r"\midrule",
        *(f"{' & '.join(items)} \\\\" for items in rows),
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
            "p_equivalent": line.paired.p_equivalent,
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
    return csv_text(records(contrast))
