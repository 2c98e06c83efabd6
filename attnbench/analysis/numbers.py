"""Computed numbers as a person would write them: .146, not .14600000000000002."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

DIGITS = 14  # significant; a float has 15 to 17, of which a sum or a mean has the last ones wrong


def rounded(records: Sequence[Mapping[str, Any]], labels: Collection[str] = ()) -> list[dict[str, Any]]:
    """The records with every computed float at DIGITS significant digits.

    Args:
        records: rows of a table.
        labels: the keys of what the user wrote, which stays as it is.
    """
    return [{key: value if key in labels else _short(value) for key, value in record.items()} for record in records]


def _short(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
