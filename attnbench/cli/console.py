"""The console of all commands. In a file of its own, because rich is only imported when it is needed."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from attnbench.escapes import harmless


class Console(RichConsole):
    """rich's console, with everything that is printed made harmless, and nothing highlighted by itself."""

    def __init__(self, stderr: bool = False, **options: Any) -> None:
        # With the stream itself, rich knows its encoding, and draws tables with ASCII where it has to.
        file = sys.stderr if stderr else sys.stdout
        chosen: dict[str, Any] = {"file": file, "stderr": stderr, "highlight": False, **options}
        super().__init__(**chosen)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable; rich prints the text of every renderable by this method."""
        for segment in super().render(renderable, options):
            # The commands that rich itself sends to the terminal are left.
            yield segment if segment.control else segment._replace(text=harmless(segment.text))
