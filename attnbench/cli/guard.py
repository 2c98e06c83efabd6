"""`attnbench guard`: tests somebody else's attention."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.output import echo
from attnbench.errors import fail
from attnbench.guarding.choices import Device, Layout, Mask, Positions, Score


class Format(StrEnum):
    """Output formats of the report."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"


Name = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:NAME",
        help="The class or function: my_package.attention:Attention, attention.py:attend, "
        "or torch.nn:MultiheadAttention. Modules are also found in the working folder.",
        show_default=False,
    ),
]
Build = Annotated[
    str | None,
    typer.Option(
        metavar="EXPRESSION",
        help="How to build it, e.g. 'Attention(embed_dim=64, num_heads=4)', by all names of its module, and torch.",
        show_default=False,
    ),
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option(
        help="The axes of the inputs: btd (batch, positions, width), tbd, or bhtd with an axis of heads. "
        "Default: found out.",
        show_default=False,
    ),
]
MaskOption = Annotated[
    Mask | None,
    typer.Option(
        help="attend: True may be attended to; padding: True is padding; additive: added to the logits; lengths: "
        "numbers of valid positions; none: it takes no mask. Default: read from the names of its parameters, else "
        "attend.",
        show_default=False,
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE.csv",
        help="Also compare the trained part with this file, by the rule of attnbench check.",
        show_default=False,
    ),
]


def guard(
    name: Name,
    build: Build = None,
    layout: LayoutOption = None,
    mask: MaskOption = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="No query attends to a later position: test this, with T = S.")
    ] = False,
    positions: Annotated[
        Positions,
        typer.Option(
            help="absolute: the result depends on the positions of the keys; relative: on their distances alone."
        ),
    ] = Positions.NONE,
    score: Annotated[
        Score | None,
        typer.Option(help="The score that a function without parameters is to agree with.", show_default=False),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="D. Default: read from the module, else 32.", show_default=False)
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="H. Default: read from the module, else 4.", show_default=False)
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option(min=2, help="The largest number of positions to test with. Default: 129.", show_default=False),
    ] = None,
    unnormalised: Annotated[
        bool, typer.Option("--unnormalised", help="The weights of a query need not sum to 1, as in sigmoid attention.")
    ] = False,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Whether to train it on copy and reverse.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", help="A check that is not run, e.g. 'empty rows'. Repeatable.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The seed of the random inputs.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to test it.")] = Device.CPU,
    format: Annotated[Format, typer.Option(help="github: annotations of a workflow.")] = Format.TEXT,
    baseline: Baseline = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write the results of the trained part to the baseline.")
    ] = False,
) -> None:
    """Test somebody else's attention: invariances, gradients, half precision, and a short training.

    It takes (query, key, value, mask) or (query, source, mask) or (sequence, mask), and returns the context, or a tuple
    that begins with it. How it is called is read from its parameters, and is the first line of the output.

    The exit status is 3 if a check fails. The smallest counterexample is printed, with a script that reproduces it.
    """
    if update and baseline is None:
        raise fail("--update needs --baseline FILE.csv", "--update", "name the file to write")
    if baseline is not None and not train:
        raise fail("--baseline keeps the results of the trained part", "--no-train", "leave one of the two out")
    from attnbench.analysis.width import is_limited
    from attnbench.cli.console import Console
    from attnbench.guarding import baseline as baselines
    from attnbench.guarding import report as formats
    from attnbench.guarding.guard import Interrupted, asked_for, examine
    from attnbench.guarding.load import load
    from attnbench.guarding.search import find_target

    rows = baselines.read(baseline, update) if baseline is not None else []
    asked = asked_for(causal, layout, mask, positions, score, width, heads, longest, device, unnormalised)
    target = find_target(load(name, build), asked)
    try:
        report, trainings = examine(target, train, strict, seed, skip or (), _announce)
    except Interrupted as interrupted:
        report, trainings, baseline = interrupted.report, {}, None  # part of a training is not compared and not kept
    if baseline is not None and not update:
        report = baselines.compare(baseline, rows, report, trainings)
    if format is Format.TEXT and is_limited(console := Console()):
        formats.print_text(report, console)
    else:
        write = {
            Format.TEXT: formats.to_text,
            Format.JSON: formats.to_json,
            Format.JUNIT: formats.to_junit,
            Format.GITHUB: formats.to_github,
        }[format]
        echo(write(report), end="")
    if baseline is not None and update:
        echo(baselines.write(baseline, rows, report, trainings), error=True)
    if report.exit:
        raise typer.Exit(report.exit)


def _announce(name: str) -> None:
    """Prints the parts that take long, since nothing else is printed until the end."""
    if name in ("copy", "reverse"):
        echo(f"training on {name} …", error=True)
