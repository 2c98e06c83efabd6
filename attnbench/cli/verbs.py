"""What is suggested where the first argument is not a verb."""

import shlex
from typing import Any

from typer.core import TyperGroup

from attnbench.errors import fail
from attnbench.store.results_folder import results_folder, run_names


class Verbs(TyperGroup):
    """The verbs; a grid file or a run in the place of a verb is an error that suggests one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Returns the name of the verb, its command and its arguments."""
        first = args[0]
        if first not in self.commands and not ctx.resilient_parsing:  # completion parses resiliently
            if first.endswith((".yaml", ".yml")):
                raise fail(f"{first} is a grid file, not a command", hint=f"attnbench run {shlex.quote(first)}")
            if first in run_names(results_folder()):
                raise fail(f"{first} is a run, not a command", hint=f"attnbench table {shlex.quote(first)}")
        return super().resolve_command(ctx, args)
