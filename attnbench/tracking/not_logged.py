"""What could not be logged to MLflow, while the rest was: listed at the end, with the reasons."""

from collections.abc import Iterable

SHOWN = 5  # things named per reason; the others are counted


class NotLogged:
    """Collects what was left out of the log."""

    def __init__(self) -> None:
        self._cells: dict[str, list[str]] = {}
        self._pictures: dict[str, list[str]] = {}
        self._letters: dict[str, None] = {}

    @property
    def has_cells(self) -> bool:
        """Whether whole cells are missing in MLflow."""
        return bool(self._cells)

    def cell(self, name: str, reason: str) -> None:
        """Notes a cell that is not logged, or not completely."""
        self._cells.setdefault(reason, []).append(name)

    def picture(self, name: str, reason: str) -> None:
        """Notes a picture that is not logged; the rest of its cell or grid is."""
        self._pictures.setdefault(reason, []).append(name)

    def letters(self, missing: Iterable[str]) -> None:
        """Notes letters that no installed font has, in whose place pictures show code points."""
        self._letters |= dict.fromkeys(missing)

    def lines(self) -> list[str]:
        """A line per reason; nothing if everything was logged as it is."""
        found = [("not logged", self._cells), ("picture not logged", self._pictures)]
        lines = [f"{what}: {_listed(names)}: {why}" for what, by_reason in found for why, names in by_reason.items()]
        if self._letters:
            codes = [f"U+{ord(letter):04X}" for letter in self._letters]
            lines.append(
                f"no installed font has {_listed(codes)}: pictures show code points in their place; install a font "
                "with these letters, such as one of the Noto fonts"
            )
        return lines


def _listed(names: list[str]) -> str:
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])
