"""The formats of `attnbench verify`: text for people, JSON for programs, Markdown for pages.

Sentences and names are written by users, so every format escapes them.
"""

import json
import math
import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.claims.verification import ClaimVerdict, PartVerdict, Verification
from attnbench.analysis.claims.wording import (
    caption,
    context,
    estimate,
    facts,
    p_value,
    probability,
    rule,
    seeds,
    setting,
    smallest,
    summary,
)
from attnbench.analysis.numbers import rounded
from attnbench.analysis.stats import Estimate
from attnbench.analysis.width import sentence_width
from attnbench.escapes import markdown, one_line
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLOURS = {Verdict.SUPPORTED: "green", Verdict.CONTRADICTED: "red", Verdict.UNDECIDED: "yellow"}
VERDICT = max(map(len, Verdict)) + 2  # columns of the verdict, before a sentence
INDENT = 2  # of the parts, below their claim
SEPARATOR = " · "
WIDEST = 140  # columns of text: a longer line is hard to read


def print_verifications(verifications: Sequence[Verification], console: "Console") -> None:
    """Prints each claim with its verdict, and below it each part with its verdict and its numbers."""
    from rich.text import Text

    width = min(sentence_width(console), WIDEST)
    for one in verifications:
        console.print(Text(one_line(one.name), style="bold cyan"), soft_wrap=True)
        for claim in one.claims:
            console.print()
            _print(console, _claim_lines(claim, width))
        console.print()
        if one.notes:
            _print(console, [Text(line, style="dim") for note in one.notes for line in _wrapped(note, width)])
            console.print()
    lines = [line for sentence in caption(verifications) for line in _wrapped(sentence, width)]
    _print(console, [Text(line, style="dim") for line in lines])
    found = {claim.verdict for one in verifications for claim in one.claims}
    worst = next(v for v in (Verdict.CONTRADICTED, Verdict.UNDECIDED, Verdict.SUPPORTED) if v in found)
    console.print(Text(summary(verifications), style=f"bold {COLOURS[worst]}"), soft_wrap=True)


def _print(console: "Console", lines: "Sequence[Text]") -> None:
    for line in lines:
        console.print(line, soft_wrap=True)  # each is wrapped already


def _claim_lines(claim: ClaimVerdict, width: int) -> "list[Text]":
    source = f" ({claim.claim.source})" if claim.claim.source else ""
    lines = _beside(claim.verdict, _wrapped(f"{claim.claim.says}{source}", width - VERDICT), 0, "bold")
    for part in claim.parts:
        room = width - VERDICT - INDENT
        text = [*_wrapped(f"{rule(part.part)} ({context(part.part)})", room), *_joined(facts(part), room)]
        text += [line for remark in part.remarks for line in _wrapped(remark, room)]
        lines += _beside(part.verdict, text, INDENT, "")
    return lines


def _beside(verdict: Verdict, lines: Sequence[str], indent: int, style: str) -> "list[Text]":
    """The lines with the verdict before the first one."""
    from rich.text import Text

    first = Text(" " * indent).append(f"{verdict:{VERDICT}}", style=COLOURS[verdict]).append(lines[0], style=style)
    rest = [Text(" " * (indent + VERDICT)).append(line, style=style or "dim") for line in lines[1:]]
    return [first, *rest]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(one_line(text), max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def _joined(items: Sequence[str], width: int) -> list[str]:
    """The items in as few lines as they need, none of them broken."""
    lines = [items[0]]
    for item in items[1:]:
        if len(lines[-1]) + len(SEPARATOR) + len(item) <= width:
            lines[-1] += f"{SEPARATOR}{item}"
        else:
            lines.append(item)
    return lines


def records(verifications: Sequence[Verification]) -> list[dict[str, Any]]:
    """One record per claim, with one per part in it; numbers that do not exist, or are infinite, are None."""
    return [
        {
            "run": one.name,
            "says": claim.claim.says,
            "source": claim.claim.source,
            "verdict": str(claim.verdict),
            "parts": [_part_record(part) for part in claim.parts],
        }
        for one in verifications
        for claim in one.claims
    ]


def _part_record(found: PartVerdict) -> dict[str, Any]:
    part, result = found.part, found.result
    better = result.probability
    value = _finite(result.value)
    record = {
        "verdict": str(found.verdict),
        "rule": rule(part),
        "kind": part.kind,
        "metric": part.metric,
        "sides": {key: dict(side) for key, side in part.sides.items()},
        **{key: dict(shared) for key, shared in part.conditions.items()},
        "limit": part.limit,
        "in_share": part.in_share,
        "measure": found.measure,
        "value": value,
        "difference": value if found.measure == "difference" else None,
        "interval": _interval(Estimate(result.value, result.low, result.high, result.n)),
        "confidence": result.confidence,
        "p_better": None if better is None else better.value,
        "p_better_interval": None if better is None else _interval(better),
        "means": list(found.means),
        "pairs": result.n,
        "p": found.p,
        "smallest_telling": result.smallest,
        "remarks": list(found.remarks),
    }
    return rounded([record], labels=("sides", "where", "more_than_in", "limit", "in_share"))[0]


def _interval(found: Estimate) -> list[float | None] | None:
    if found.low is None or found.high is None:
        return None
    return [None if end is None else float(f"{end:.14g}") for end in map(_finite, (found.low, found.high))]


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def to_json(verifications: Sequence[Verification]) -> str:
    """The records as JSON text."""
    return json.dumps(records(verifications), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(verifications: Sequence[Verification]) -> str:
    """A heading per grid, and below it each claim with a table of its parts."""
    blocks = []
    for one in verifications:
        blocks.append(f"## {markdown(one.name)}\n")
        blocks += [_claim_markdown(claim) for claim in one.claims]
        blocks += [f"{markdown(note)}\n" for note in one.notes]
    blocks.append("\n".join(f"{markdown(line)}  " for line in caption(verifications)).rstrip() + "\n")
    blocks.append(f"**{summary(verifications)}**\n")
    return "\n".join(blocks)


HEAD = ("part", "metric and setting", "verdict", "value [interval]", "P(better)", "n", "p", "smallest telling")


def _claim_markdown(claim: ClaimVerdict) -> str:
    source = f" ({markdown(claim.claim.source)})" if claim.claim.source else ""
    lines = [f"**{claim.verdict}**: {markdown(claim.claim.says)}{source}", ""]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(map(markdown, _row(part)))} |" for part in claim.parts]
    remarks = [f"{rule(part.part)}: {'; '.join(part.remarks)}." for part in claim.parts if part.remarks]
    return "\n".join([*lines, "", *[f"- {markdown(remark)}" for remark in remarks], *[""] * bool(remarks)])


def _row(found: PartVerdict) -> list[str]:
    better = probability(found) or NO_VALUE
    what = f"{found.measure.replace('_', ' ')} {estimate(found)}"
    return [
        rule(found.part), context(found.part), str(found.verdict), what, better, seeds(found), p_value(found),
        smallest(found),
    ]  # fmt: skip


def to_html(verifications: Sequence[Verification]) -> str:
    """A table element with a row per part, for a notebook."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("claim", *HEAD))
    rows = []
    for one in verifications:
        for claim in one.claims:
            for part in claim.parts:
                cells = "".join(f"<td>{escape(one_line(cell))}</td>" for cell in (claim.claim.says, *_row(part)))
                rows.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def part_records(verifications: Sequence[Verification]) -> list[dict[str, Any]]:
    """One flat record per part, for a data frame."""
    flat = []
    for claim in records(verifications):
        head = {"claim": claim["says"], "source": claim["source"], "claim_verdict": claim["verdict"]}
        for part in claim["parts"]:
            ends = {}
            for name, prefix in (("interval", ""), ("p_better_interval", "p_better_")):
                ends[f"{prefix}low"], ends[f"{prefix}high"] = part[name] or (None, None)
            nested = ("interval", "p_better_interval", "sides", "where", "more_than_in", "means")
            own = {key: value for key, value in part.items() if key not in nested}
            flat.append(head | own | ends | {"where": setting(part["where"]), "remarks": "; ".join(part["remarks"])})
    return flat
