"""Writes results/claims.md from the saved cells, and the table of README: `python benchmarks/claims_page.py`.

The cells are saved where the grids were run: attnbench verify NAME … --save-cells results/claims
"""

import sys
from pathlib import Path

from attnbench.analysis.claims import formats
from attnbench.analysis.claims.saved import results_of_file
from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.claims.verification import ClaimVerdict, PartVerdict, verify
from attnbench.analysis.claims.wording import NAMES, estimate, rule

sys.path.insert(0, str(Path(__file__).parent))
from peers.reverse_data import write

GRIDS, SAVED = Path("experiments/claims"), Path("results/claims")
PAGE, README = Path("results/claims.md"), Path("README.md")
BEGIN, END = "<!-- claims -->\n", "<!-- end of claims -->\n"
HEAD = """# Twelve claims of the literature, tested

Each claim is a grid file in [experiments/claims](../experiments/claims) with a rule that was committed before the grid
was run; margins and sizes come from pilots with other seeds, which each file names. The verdicts are those of
`attnbench verify` on the [saved results](claims) (`make claims`); [what they mean](../docs/claims.md). *Contradicted*
is a statement about these small models on generated tasks, not about the systems of the papers.

## Limits

- dot_width is its second version. With three candidate rates the smallest, .001, was chosen for dot at the widths 64
  and 128, and the difference at 128 was +.61; with five, from .0001 on, no rate chosen for these is the smallest.
- joey_reverse is not the tutorial's training: 1,500 steps at rate .01 and width 80, with as many parameters.
- hard_variance, translate: REINFORCE is at .21 where soft attention is at .78, at another place of the scale.
- length_gain: with 5 words attention is at its ceiling, which can make the gain there smaller, in favour of the claim.
- The grids leave out what no part needs; each file says what was adapted.

## Verdicts

"""


def rows() -> list[tuple[str, ClaimVerdict]]:
    """The verdict on each claim, with the name of its grid."""
    found = []
    for grid in sorted(GRIDS.glob("*.yaml")):
        verification = verify(results_of_file(grid, SAVED))
        found += [(grid.stem, claim) for claim in verification.claims]
    return found


def deciding(claim: ClaimVerdict) -> PartVerdict:
    """The part that decided: one that is contradicted, else one that is undecided, else the first."""
    for verdict in (Verdict.CONTRADICTED, Verdict.UNDECIDED):
        for part in claim.parts:
            if part.verdict is verdict:
                return part
    return claim.parts[0]


def table(folder: str) -> str:
    """A row per claim: the sentence, its source, its grid, the verdict, the seeds, and the number that decided."""
    lines = ["| claim | source | verdict | seeds | one number |", "|---|---|---|---:|---|"]
    for grid, claim in rows():
        part = deciding(claim)
        number = f"{NAMES[part.measure]} {estimate(part)}: {rule(part.part)}, {part.part.metric}"
        link = f"[{grid}]({folder}experiments/claims/{grid}.yaml)"
        verdict = f"**{claim.verdict.value}**"
        lines.append(f"| {claim.claim.says} | {claim.claim.source}; {link} | {verdict} | {part.result.n} | {number} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the page, and the table of README between its marks."""
    write(GRIDS / "joey_reverse")
    verifications = [verify(results_of_file(grid, SAVED)) for grid in sorted(GRIDS.glob("*.yaml"))]
    PAGE.write_text(f"{HEAD}{table('../')}\n{formats.to_markdown(verifications)}", encoding="utf-8")
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(f"{before}{BEGIN}{table('')}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
