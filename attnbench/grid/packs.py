"""Which cells are trained together as one stacked model.

A replica's numbers depend on its pack by rounding only, but training amplifies rounding. So the composition of packs is
decided when a cell is first planned, and kept in the run's folder: what is trained again later is trained as it was.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.cell import Pack
from attnbench.grid.plan import PlannedCell
from attnbench.plugins import code_of

PACK_SIZE = 64  # replicas trained together: more are not faster on a CPU, and need more memory


@dataclass(frozen=True)
class Composition:
    """The cells of a pack: their ids and seeds, in the order of training."""

    ids: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, pack: Pack) -> "Composition":
        """The composition of a pack."""
        return cls(pack.ids, pack.seeds)

    def parts(self, apart: Collection[str]) -> list["Composition"]:
        """The cells with these ids and the others as compositions of their own; one where it has only one kind."""
        kinds = [[place for place, id_ in enumerate(self.ids) if (id_ in apart) == among] for among in (True, False)]
        return [
            Composition(tuple(self.ids[place] for place in places), tuple(self.seeds[place] for place in places))
            for places in kinds
            if places
        ]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Composition":
        """The composition in a plan file."""
        return cls(tuple(content["ids"]), tuple(content["seeds"]))


def packs(cells: Sequence[PlannedCell], plugins: Sequence[str | Path] = ()) -> list[Pack]:
    """Groups the cells that differ only in their seed into packs of at most PACK_SIZE, ordered by first cell."""
    groups: dict[str, list[PlannedCell]] = {}
    for planned in cells:
        groups.setdefault(planned.cell.model_dump_json(exclude={"seed"}), []).append(planned)
    parts = [group[i : i + PACK_SIZE] for group in groups.values() for i in range(0, len(group), PACK_SIZE)]
    return [
        Pack(
            cell=part[0].cell,
            seeds=tuple(planned.cell.seed for planned in part),
            ids=tuple(planned.id for planned in part),
            plugins=tuple(plugins),
            digests=dict(part[0].digests),
            code=_code(part[0]),
        )
        for part in parts
    ]


def composed(
    cells: Sequence[PlannedCell], earlier: Sequence[Composition], plugins: Sequence[str | Path], workers: int
) -> list[Pack]:
    """The packs of a grid: those of earlier runs as they were, and new ones for cells that were never planned.

    Args:
        cells: the cells of the grid.
        earlier: the compositions that the run's folder has. Such a pack is complete even where the grid has dropped
            some of its seeds.
        plugins: the grid's plugins.
        workers: new packs are split until there are as many of them.

    Returns:
        The packs in the order of the grid.
    """
    planned = {cell.id: cell for cell in cells}
    found: list[Pack] = []
    known: set[str] = set()
    for composition in earlier:
        first = next((planned[id_] for id_ in composition.ids if id_ in planned), None)
        if first is None or known & set(composition.ids):
            continue
        known |= set(composition.ids)
        cell = first.cell.model_copy(update={"seed": composition.seeds[0]})
        found.append(
            Pack(
                cell=cell,
                seeds=composition.seeds,
                ids=composition.ids,
                plugins=tuple(plugins),
                digests=dict(first.digests),
                code=_code(first),
            )
        )
    new = packs([cell for cell in cells if cell.id not in known], plugins)
    place = {id_: number for number, id_ in enumerate(planned)}
    return sorted([*found, *spread(new, workers)], key=lambda pack: min(place.get(id_, len(place)) for id_ in pack.ids))


def spread(made: Sequence[Pack], workers: int) -> list[Pack]:
    """Splits packs until there are as many as workers, always halving the one with the most replicas."""
    found = list(made)
    while len(found) < workers and (several := [pack for pack in found if len(pack.ids) > 1]):
        whole = max(several, key=lambda pack: len(pack.ids))
        at, half = found.index(whole), (len(whole.ids) + 1) // 2
        found[at : at + 1] = [_part(whole, slice(half)), _part(whole, slice(half, None))]
    return found


def _code(planned: PlannedCell) -> dict[str, str]:
    """The digests of the user's own modules that the components of a cell come from."""
    return code_of({kind: component.name for kind, component in planned.cell.components().items()})


def _part(pack: Pack, part: slice) -> Pack:
    cell = pack.cell.model_copy(update={"seed": pack.seeds[part][0]})
    return pack.model_copy(update={"cell": cell, "seeds": pack.seeds[part], "ids": pack.ids[part]})
