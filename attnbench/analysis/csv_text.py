"""Records as the text of a CSV file."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from attnbench.escapes import spreadsheet


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A line with the keys of the records, in the order of their first use, then one line per record.

    A key that a record lacks, and None, are empty. Text that a spreadsheet would take for a formula is quoted.
    """
    out = io.StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(out, columns, lineterminator="\n")  # the csv module's default is "\r\n"
    writer.writeheader()
    writer.writerows({name: spreadsheet(value) for name, value in record.items()} for record in records)
    return out.getvalue()
