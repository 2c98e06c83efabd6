"""Cells that another run in the results folder has trained already: the same id is the same training.

A pack is reused whole or not at all: if some of its cells were trained again, they would be trained in other company,
and differ from the others by rounding.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attnbench.grid.packs import Composition
from attnbench.grid.plan import PlannedCell
from attnbench.store.status import DONE, TODO, CellState, states_of
from attnbench.store.store import Store


@dataclass(frozen=True)
class Reusable:
    """A pack of another run, and its cells that this run's grid has."""

    source: Store
    together: Composition
    cells: tuple[PlannedCell, ...]


def find_reusable(
    cells: Iterable[PlannedCell], states: Mapping[str, CellState], store: Store, unplaced: Collection[str] = ()
) -> list[Reusable]:
    """The packs that other runs in the same results folder have and this run lacks; it writes nothing.

    A pack is left out if any of its cells that the grid has is not done there, was trained by other code, or is planned
    here in a pack that has a result: what is missing of that pack is trained as it was.

    Args:
        cells: the cells of the grid.
        states: their states in this run.
        store: this run.
        unplaced: cells of this run that are finished, but could not be moved to their place.
    """
    wanted = {cell.id: cell for cell in cells if states[cell.id].kept == TODO and cell.id not in unplaced}
    if not wanted:
        return []
    have = store.states()
    for composition in store.packs():
        if any(id_ in have for id_ in composition.ids):
            for id_ in composition.ids:
                wanted.pop(id_, None)
    planned = {cell.id: cell for cell in cells}
    found: list[Reusable] = []
    # The run that has most of the cells comes first, so that few packs are split between runs.
    for matching, other in sorted(_others(store, wanted), key=lambda match: (-len(match[0]), match[1].name)):
        for pack in _packs(matching, other, planned):
            if all(cell.id in wanted for cell in pack.cells):
                found.append(pack)
                for cell in pack.cells:
                    del wanted[cell.id]
    return found


def reuse(found: Iterable[Reusable], store: Store) -> None:
    """Copies the cells into this run, with the labels that its grid gives them; their records name the source.

    Raises:
        AttnbenchError: if a cell cannot be read or written.
    """
    for pack in found:
        records = [pack.source.read(cell.id) for cell in pack.cells]
        outcomes = [pack.source.outcome(cell.id) for cell in pack.cells]
        own = {"run": pack.source.name}
        origins = [r.get("reused_from") or own | {"digest": r.get("digest", "")} for r in records]
        store.write_pack(outcomes, pack.cells, records[0]["code"], pack.together, origins)


def _others(store: Store, wanted: Mapping[str, PlannedCell]) -> Iterable[tuple[list[PlannedCell], Store]]:
    """Yields the other runs of the results folder, each with those of the wanted cells that it has a file for."""
    for plan in sorted(store.folder.parent.glob("*/plan.json")):
        folder = plan.parent
        if folder.resolve() == store.folder.resolve() or not (folder / "cells").is_dir():
            continue
        names = {file.stem for file in Path(folder / "cells").glob("*.json")}
        if matching := [cell for id_, cell in wanted.items() if id_ in names]:
            yield matching, Store(folder)


def _packs(matching: list[PlannedCell], other: Store, planned: Mapping[str, PlannedCell]) -> Iterable[Reusable]:
    """Yields the packs of another run all of whose cells in the grid are done there, by the present code."""
    # A record without a digest may have been edited, and a copy of it would have one.
    done = {id_ for id_, state in states_of(matching, other).items() if state.name == DONE and state.digest}
    compositions: dict[tuple[str, ...], Composition] = {}
    for id_ in done:
        # Earlier versions did not record packs.
        pack = other.read(id_).get("pack") or {"ids": [id_], "seeds": [planned[id_].cell.seed]}
        composition = Composition.read(pack)
        compositions.setdefault(composition.ids, composition)
    for ids in sorted(compositions):
        if all(id_ in done for id_ in ids if id_ in planned):
            yield Reusable(other, compositions[ids], tuple(planned[id_] for id_ in ids if id_ in planned))
