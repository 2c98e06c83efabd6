"""Draws the README's pictures, from finished runs of quickstart and systems: `python benchmarks/readme_pictures.py`."""

import io
import re
from pathlib import Path

from rich.console import Console

from attnbench.analysis.labels import NOTHING
from attnbench.analysis.plots import alignment_panels, png
from attnbench.analysis.tables import comparison, print_table
from attnbench.store import Store
from attnbench.tracked import panels_of

RUN, SYSTEMS = Path("results/quickstart"), Path("results/systems")
PICTURES = Path("results/pictures")


def draw_table(store: Store) -> None:
    """The table as the terminal shows it, as SVG, in whatever fixed-width font the reader has."""
    console = Console(width=86, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print("$ make demo", highlight=False)
    print_table(comparison(store.frame(), name=store.name), console)
    console.print()
    longer = comparison(store.frame(), metric="exact_match@12", name=store.name, notes=["Longer than any trained on."])
    print_table(longer, console)
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="attnbench"), flags=re.DOTALL)
    (PICTURES / "table.svg").write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"))


def draw_alignments(store: Store) -> None:
    """The alignment of one test sentence per score and task."""
    frame = store.frame()
    figure = alignment_panels(panels_of(frame, store.folder), "")
    (PICTURES / "alignments.png").write_bytes(png(figure))


def draw_systems(store: Store) -> None:
    """The alignment of one test sentence per system and task, each system under the score of its paper."""
    frame = store.frame()
    panels = {}
    for model, rows in frame[frame["score"] != NOTHING].groupby("model", sort=False):
        panels |= {(str(model), task): panel for (_, task), panel in panels_of(rows, store.folder).items()}
    (PICTURES / "systems.png").write_bytes(png(alignment_panels(panels, "")))


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw_table(Store(RUN))
    draw_alignments(Store(RUN))
    draw_systems(Store(SYSTEMS))
