"""How wide printed tables and sentences may be, on a terminal and elsewhere."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

OFF_TERMINAL = 120  # columns in a file or a log, unless COLUMNS is set


def line_width(console: "Console") -> int:
    """The columns of a terminal; in a file or a log those of COLUMNS, or OFF_TERMINAL."""
    if console.is_terminal:
        return console.width
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else OFF_TERMINAL
