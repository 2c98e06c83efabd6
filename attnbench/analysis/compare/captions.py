"""The sentences around a comparison: its title, its conclusions, and how to read the table."""

from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, ContrastLine
from attnbench.analysis.labels import text
from attnbench.analysis.learned import SENTENCES
from attnbench.analysis.paired import ALPHA, POWER
from attnbench.analysis.table.cell import FEWEST
from attnbench.analysis.verdict import Verdict
from attnbench.metrics import metric_of

# How a conclusion continues after the names of the values; singular and plural.
_PREDICATES = {
    Verdict.BETTER: ("is better", "are better"),
    Verdict.WORSE: ("is worse", "are worse"),
    Verdict.EQUIVALENT: ("is equivalent", "are equivalent"),
    Verdict.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
}
_UNDECIDED = (Verdict.NO_DIFFERENCE, Verdict.INCONCLUSIVE)


def title(contrast: Contrast) -> str:
    """The run, the metric, and which values are compared with which."""
    name = f"{contrast.name}: " if contrast.name else ""
    direction = metric_of(contrast.metric).direction
    best = " (the best)" if contrast.best else ""
    against = f"{text(contrast.against)}{best}"
    return f"{name}{contrast.metric} ({direction} is better), every {contrast.axis} against {against}"


def described(line: ContrastLine) -> str:
    """The verdict of a line: also that a difference is there, and smaller than the margin."""
    return f"{line.verdict}, within the margin" if line.within_margin else str(line.verdict)


def is_undecided(line: ContrastLine) -> bool:
    """Whether more seeds may lead to a verdict."""
    return line.verdict in _UNDECIDED


def conclusions(contrast: Contrast) -> list[str]:
    """One sentence per task: which values are better, worse, equivalent, and which are undecided."""
    tasks = list(dict.fromkeys(line.task for line in contrast.lines))
    return [_conclusion(contrast, [line for line in contrast.lines if line.task == task]) for task in tasks]


def _conclusion(contrast: Contrast, lines: list[ContrastLine]) -> str:
    groups: dict[tuple[Verdict, bool], list[ContrastLine]] = {}
    for line in lines:
        groups.setdefault((line.verdict, line.within_margin), []).append(line)
    order = list(Verdict)
    parts = [_part(contrast, *groups[key]) for key in sorted(groups, key=lambda key: (order.index(key[0]), key[1]))]
    task = "Over all tasks" if lines[0].task == ALL_TASKS else str(lines[0].task)
    task = "" if contrast.axis == "task" else f"{task}, "
    sentence = f"{task}against {text(contrast.against)}: {'; '.join(parts)}."
    return sentence[0].upper() + sentence[1:] if contrast.axis == "task" else sentence


def _part(contrast: Contrast, *lines: ContrastLine) -> str:
    """What a conclusion says of the lines with one verdict."""
    names, verdict = _joined([text(line.value) for line in lines]), lines[0].verdict
    if verdict is Verdict.NO_DIFFERENCE:
        return f"no difference found for {names}"
    part = f"{names} {_PREDICATES[verdict][len(lines) > 1]}"
    if lines[0].within_margin:
        return f"{part}, within the margin of ±{_margin(contrast)}"
    return f"{part} ({_fewest(contrast, *lines)})" if verdict is Verdict.INCONCLUSIVE else part


def _fewest(contrast: Contrast, *lines: ContrastLine) -> str:
    """How many seeds there are, and how many could decide."""
    fewest, seeds = max(line.fewest for line in lines), min(line.paired.n for line in lines)
    if seeds < fewest:
        return f"{_counted(contrast, seeds)}; {fewest} or more could decide"
    return f"too few of the {_counted(contrast, seeds)} differ; {fewest} must"


def _counted(contrast: Contrast, number: int) -> str:
    """A number of seeds, or of packs where the metric is measured per pack."""
    unit = "pack" if metric_of(contrast.metric).per_pack else "seed"
    return f"{number} {unit}{'s' * (number != 1)}"


def _joined(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _margin(contrast: Contrast) -> str:
    about = metric_of(contrast.metric)
    return f"{contrast.margin or 0:.{max(about.decimals, 2)}f}".rstrip("0").rstrip(".")


def caption(contrast: Contrast) -> list[str]:
    """How to read the table, and how far the verdicts can be trusted; only what occurs in it is explained."""
    lines = [_difference(contrast), _ranking(contrast), *_test(contrast)]
    if any(is_undecided(line) and line.needed is not None for line in contrast.lines):
        lines.append(
            "needed: the seeds in total with which a true difference of this size and variation is found with a "
            f"probability of {POWER} (small differences need many); only where there is no verdict yet."
        )
    if any(line.verdict is Verdict.EQUIVALENT or line.within_margin for line in contrast.lines):
        lines.append(f"equivalent, within the margin: smaller than {_margin(contrast)}, by two one-sided tests.")
    if contrast.resolution:
        sentences = round(SENTENCES / contrast.resolution)
        lines.append(
            f"All seeds share one test set of {sentences} sentences; a difference below {contrast.resolution:.4g} "
            f"({SENTENCES} sentences) is neither better nor worse."
        )
    return [*lines, *contrast.notes]


def _difference(contrast: Contrast) -> str:
    pairs = sorted({line.paired.n for line in contrast.lines})
    shared = f"{' or '.join(map(str, pairs[:-1]))}{' or ' * (len(pairs) > 1)}{_counted(contrast, pairs[-1])}"
    interval = ""
    if any(line.paired.low is not None for line in contrast.lines):
        few = " (below 5 seeds, their range)" if pairs[0] < FEWEST["mean"] else ""
        interval = f", with its 95 % interval{few}, not corrected"
    once = " Each seed counts once, with its mean over all settings."
    per_pack = " The seeds of a pack share one measurement."
    return (
        f"difference: each {contrast.axis} minus {text(contrast.against)}, the mean over {shared} that both "
        f"have{interval}.{per_pack if metric_of(contrast.metric).per_pack else once}"
    )


def _ranking(contrast: Contrast) -> str:
    reference = text(contrast.against)
    lacking = any(line.rank is None and contrast.reference(line.task).rank is not None for line in contrast.lines)
    partly = f" rank –: not in every setting of {reference}; mean and difference are over those that both have."
    return (
        f"P(better): the probability that a seed is better than a seed of {reference}; rank: the mean rank among all "
        f"values, 1 is the best.{partly if lacking else ''}"
    )


def _test(contrast: Contrast) -> list[str]:
    """The test, its correction, and the error that it holds."""
    line = f"p: exact sign-flip test of the difference{_correction(contrast)}."
    if all(one.verdict is Verdict.INCONCLUSIVE for one in contrast.lines):
        return [line]
    return [
        f'{line} Per task, any false "better" or "worse" has a probability of at most {100 * ALPHA:g} % where the '
        "values have the same distribution; more where only their means are equal."
    ]


def _correction(contrast: Contrast) -> str:
    """Over which comparisons p is corrected."""
    if len({line.value for line in contrast.lines}) == 1:
        return ""
    if contrast.chosen:
        return f", corrected (Holm) for all pairs of values, since {text(contrast.against)} was chosen as the best"
    return ", corrected (Holm) for the comparisons of a task"
