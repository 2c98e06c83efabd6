"""`attnbench list`: lists every score, scope, normaliser, task and model."""

from typing import Annotated, Any

import typer

from attnbench.cli import complete
from attnbench.cli.options import Plugin
from attnbench.errors import did_you_mean, fail
from attnbench.messages import type_text, written


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="scores|scopes|normalisers|tasks|models|NAME",
            help="List only these, or only the one of this name.",
            show_default=False,
            autocompletion=complete.parts,
        ),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """List scores, scopes, normalisers, tasks and models with their formula, source and options."""
    from attnbench.cli.console import Console
    from attnbench.plugins import load_entry_points, load_plugin
    from attnbench.registry import REGISTRIES

    load_entry_points()
    for file in plugin or ():
        load_plugin(file)
    names = {f"{registry.kind}s": registry.names() for registry in REGISTRIES.values()}
    console = Console()
    for title, chosen in _chosen(names, what).items():
        registry = REGISTRIES[title.removesuffix("s")]
        console.print(f"{title}", style="bold")
        for name in chosen:
            entry = registry.entry(name)
            console.print(
                _described(name, entry.doc, entry.options, None if registry.is_builtin(name) else entry.origin)
            )
        console.print()


def _chosen(names: dict[str, list[str]], what: str | None) -> dict[str, list[str]]:
    """Returns the names to list, by kind: all, those of one kind, or a single one, which several kinds may have."""
    if what is None:
        return names
    if what in names:
        return {what: names[what]}
    if found := {kind: [what] for kind, known in names.items() if what in known}:
        return found
    every = dict.fromkeys(name for known in names.values() for name in known)
    near = did_you_mean(what, [*names, *every])
    every_kind = f"list one of {', '.join(names)}, or a single name; --plugin FILE adds those of a file"
    hint = near if near.startswith("did") else every_kind
    raise fail(f"there is no {what!r} to list", hint=hint)


def _described(name: str, doc: str, options: tuple[Any, ...], origin: str | None) -> Any:
    """Returns an entry: its name, and below it the description, formula, source, options and origin."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_row(Text(doc.partition("\n")[0]))
    facts = [(label.lower(), field) for label in ("Formula", "Source") if (field := doc_field(doc, label))]
    facts += [("option", _option(option)) for option in options]
    facts += [("origin", origin)] if origin else []
    inner = Table.grid(padding=(0, 1))
    for label, fact in facts:
        inner.add_row(Text(label, style="dim"), Text(fact))
    table.add_row(inner)
    outer = Table.grid()
    outer.add_row(Text(name, style="bold cyan"))
    outer.add_row(Padding(table, (0, 0, 0, 2)))
    return Padding(outer, (0, 0, 0, 2))


def doc_field(doc: str, label: str) -> str:
    """Returns the text after `label:` at the start of a line of a docstring, with the indented lines below it."""
    lines = doc.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"{label}:"):
            rest = lines[number + 1 :]
            end = next((i for i, below in enumerate(rest) if not below.startswith(" ")), len(rest))
            return " ".join(part.strip() for part in [line.partition(":")[2], *rest[:end]]).strip()
    return ""


def _option(option: Any) -> str:
    from attnbench.registered.entry import REQUIRED

    default = f"default {written(option.default)}"
    if option.default is REQUIRED:
        default = "default from the data" if option.name == "max_source_length" else "required"
    return f"{option.name}: {type_text(option.type)} ({default})"
