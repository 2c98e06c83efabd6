"""Stale cells in rows of their own, which are not compared with the current ones: `attnbench table --with-stale`."""

from collections.abc import Container
from typing import TYPE_CHECKING

from attnbench.analysis.labels import label_columns

if TYPE_CHECKING:
    import pandas as pd

CODE = "code"  # the label column that separates them
CURRENT, STALE = "current", "(stale)"  # its values


def with_code_column(frame: "pd.DataFrame", stale: Container[str]) -> "pd.DataFrame":
    """The rows with a label column `code`, which says of each cell whether it is among the stale ones."""
    after = list(frame.columns).index(label_columns(frame)[-1]) + 1
    values = [STALE if cell in stale else CURRENT for cell in frame["cell"]]
    frame = frame.copy()
    frame.insert(after, CODE, values)
    return frame
