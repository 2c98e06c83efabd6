"""Writes what was simulated as results/decide.md."""

GRIDS = " grids each:"  # the end of the line before a part's tables

INTRODUCTION = """
`python benchmarks/decide_simulation.py` simulates `decide` by the code that it runs; what it computes is described in
[docs/statistics.md](../docs/statistics.md#as-many-seeds-as-it-takes). A grid here is one setting with the values of one
axis: 2 values are 1 pair, tested at 10, 14, 20 and 30 seeds; 6 values are 15 pairs, tested at 12, 16, 22 and 30 seeds,
and so are 5 pairs. All shares are in percent. An upper bound is the upper end of the exact 95 % interval of a share.

The distributions, of an accuracy:

- *normal*: mean .80, standard deviation .03.
- *bimodal, 20 % fail*: with probability .2 a seed fails and has between 0 and .2; the others have mean .95 and standard
  deviation .02, at most 1. Likewise 50 %.
- *ceiling*: 500 test sentences, each right with probability .9995, so that 78 % of the seeds have exactly 1.
- *ties*: .90, .95 or 1.00, equally likely.
"""

# What each part tests, with its heading; and what its table shows.
TEXTS = {
    "different": (
        "No difference",
        "Tested: that no pair is better or worse, while all values have the same distribution. The margin is so "
        "small that no pair is equivalent unless all its seeds are equal; with a larger one more pairs would be "
        "settled as equivalent, and fewer could be called better.",
        "The share is at most 5 %, within the accuracy of the simulation; the test cannot exceed it, whatever the "
        "distribution, if the two values are exchangeable. With 6 values it is lower, since their pairs share "
        "values, and so it is where many seeds are equal, since the sums of few different numbers leave some of the "
        "error unused.",
    ),
    "equivalent": (
        "A difference of the margin",
        "Tested: that no pair is equivalent whose means differ by exactly the margin. One half of the values has "
        "the distribution named, the other half the same one, higher by the margin (at the ceiling: 97.95 % right). "
        "*Equivalence alone*: without the test of a difference, which settles most of these pairs as better or "
        "worse before they could be called equivalent; this is the test whose error is held. *With differences*: as "
        "`decide` does it, in a fifth of the grids.",
        "The tests of equivalence alone are false in at most 5 % of the grids, within the accuracy of the "
        "simulation; as `decide` runs them, nearly never where the margin is large against the differences, since "
        "such pairs are found to differ.",
    ),
    "power": (
        "Power and seeds",
        "Tested: how often a pair that differs is found, and with how many seeds, against a design of 30 seeds "
        "fixed beforehand, with the same sign-flip test at .05 divided by the number of pairs. Of 1, 5 or 15 "
        "independent pairs one differs, by the given number of standard deviations of its paired differences.",
        "At 2 standard deviations at most 43 % of the 30 seeds are needed, and the loss of power is at most 6 "
        "percentage points. Small differences take nearly all seeds. No pair takes fewer than 10 or 12, since fewer "
        "seeds cannot settle it.",
    ),
    "unlike": (
        "Where the promise does not hold",
        "Tested: what happens where the two values do not differ by a constant. The sign-flip test assumes that the "
        "paired differences, less the true one, are symmetric. First: a value that fails in more seeds than the "
        "other; the margin is the difference of the means that follows from it. Second: equal means, of a steady "
        "value and of one that fails in 20 % of the seeds.",
        "Here it does not hold. Where a value fails in 2 to 20 % more of the seeds than the other, it is often "
        "called equivalent, although the failures alone make a difference of the margin: in 12 seeds a failure of 2 "
        "% does not show in 78 % of cases, and one of 10 % not in 28 %. From 50 % on the error is held; so it is "
        "where both values fail now and then. Of values with equal means and different distributions about 15 % of "
        "pairs are called better or worse, most often at the first look, at which 11 % of them have no failed seed. "
        "Then `at_least: 20` helps.",
    ),
    "sameness": (
        "Equivalence: power and seeds",
        "Tested: how often a pair without a difference is found equivalent, and with how many seeds, for margins in "
        "standard deviations of the paired differences. Of 1, 5 or 15 pairs the others differ by the margin.",
        "A margin of 1.2 standard deviations or more is shown with 13 to 19 seeds, one of .5 seldom with 30 if "
        "there are several pairs. The loss against 30 fixed seeds is at most 8 percentage points. A share below 100 "
        "with a large margin are the pairs that are falsely called better or worse.",
    ),
    "spending": (
        "What the exact test over all looks gains",
        "Tested: three ways to share out the error among looks, all of which spend α·t². *Exact for all looks*: as "
        "`decide` does it. *Normal levels*: p at each look is compared with the level that is exact for sums of "
        "normal values. *Spent probabilities as levels*: p is compared with what is spent at the look: valid by "
        "Boole's inequality. The power and the mean number of seeds of a pair; and the share of false verdicts of "
        "one pair without a difference.",
        "The exact test has 2 to 3 percentage points more power at small differences than the spent probabilities, "
        "and holds the error. The normal levels have 1 point more power, and exceed the error where a part of the "
        "seeds fails.",
    ),
    "passing": (
        "What passing error on gains",
        "Tested: the share of the pairs of six values that are settled, and the mean number of seeds of a value, "
        "where each value is a step better than the one before, in standard deviations of the paired differences; "
        "and the same where the settled pairs pass nothing on to the others (Bonferroni).",
        "Where most values differ by one standard deviation, a quarter of the seeds is saved.",
    ),
    "interval": (
        "The interval after an early stop",
        "Tested: the 95 % interval that is printed, of the seeds of the look that settled a pair, for one normal "
        "pair with a true difference in standard deviations: how often a pair is settled before 30 seeds, the mean "
        "of the differences that are printed then, and how often the interval covers the true difference; and how "
        "often the interval of all 30 seeds does.",
        "Of a small difference, the few pairs that are settled early show it larger than it is: .5 is printed as "
        ".8. From 1.2 on nothing of this is left. The interval covers the truth about as often as that of 30 seeds.",
    ),
}


def page(tables: dict[str, list[str]]) -> str:
    """The page of the parts that were simulated."""
    lines = ["# As many seeds as it takes, simulated", "", *INTRODUCTION.strip().split("\n")]
    for name, (title, tested, shown) in TEXTS.items():
        if name in tables:
            lines += ["", f"## {title}", "", tested, "", shown, "", *tables[name]]
    return "\n".join(lines) + "\n"


def tables(text: str) -> dict[str, list[str]]:
    """The tables of a page, by part, each with the line before it."""
    found = {}
    for name, (title, _, _) in TEXTS.items():
        _, there, section = text.partition(f"\n## {title}\n")
        lines = section.partition("\n## ")[0].rstrip().split("\n")
        if there:
            found[name] = lines[next(place for place, line in enumerate(lines) if line.endswith(GRIDS)) :]
    return found
