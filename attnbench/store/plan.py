"""The plan of a run, plan.json: the planned cells in grid order, with the code and the packs they were planned with."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import fail
from attnbench.files import cause
from attnbench.fingerprint import Fingerprint
from attnbench.grid.packs import Composition
from attnbench.store.atomic import UNREADABLE, read_sealed, sealed, write_json
from attnbench.store.index import key_of
from attnbench.store.schema import PlanFile

if TYPE_CHECKING:
    from attnbench.grid.plan import Plan, PlannedCell

PLAN = "plan.json"
MOST_BYTES = 1_000_000_000  # a grid of 100,000 cells has some 30 MB
SINCE_DIGESTS = ("code", "packs")  # keys that no plan without a digest was written with


def write_plan(
    folder: Path,
    plan: "Plan",
    code: Mapping[str, Fingerprint],
    packs: Iterable[Composition],
    decide: Mapping[str, Any] | None = None,
) -> None:
    """Writes the plan of a run.

    Args:
        folder: of the run.
        plan: the cells of the grid.
        code: the fingerprint of each cell's present code, by id.
        packs: which cells are trained together.
        decide: what is decided; None for a grid with a fixed number of seeds.

    Raises:
        AttnbenchError: if the file cannot be written.
    """
    distinct = {id(one): one for one in code.values()}  # a fingerprint is long, and shared by many cells
    keys = {key: key_of(one) for key, one in distinct.items()}

    def listed(cells: Iterable["PlannedCell"]) -> list[dict[str, Any]]:
        return [
            {"id": one.id, "labels": one.labels} | ({"code": keys[id(code[one.id])]} if one.id in code else {})
            for one in cells
        ]

    content: dict[str, Any] = {
        "name": plan.name,
        "axes": list(plan.axes),
        "cells": listed(plan.cells),
        "code": {keys[key]: one for key, one in distinct.items()},
        "skipped": [{"labels": skipped.labels, "reason": skipped.reason} for skipped in plan.skipped],
        "packs": [{"ids": pack.ids, "seeds": pack.seeds} for pack in packs],
    }
    if plan.tuned:
        content |= {"tuning": listed(plan.tuning), "tuned": [asdict(tuned) for tuned in plan.tuned]}
    if decide is not None:
        content["decide"] = dict(decide)
    if plan.waiting:
        content["waiting"] = len(plan.waiting)
    # While tuning, the ids of the cells that follow are not known.
    if not plan.is_tuning and (not_due := [cell.id for cell in (*plan.waiting, *plan.unneeded)]):
        content["not_due"] = not_due
    write_json(folder / PLAN, sealed(content))


def every_cell(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All cells that a run needs: those that are reported, then those of tuning.

    Args:
        plan: the content of plan.json.
    """
    return [*plan["cells"], *plan.get("tuning", [])]


def read_plan(folder: Path) -> dict[str, Any]:
    """The content of plan.json; its keys are those of `PlanFile`.

    Raises:
        AttnbenchError: if the file is missing, edited or invalid.
    """
    file = folder / PLAN
    try:
        plan = read_sealed(file, PlanFile, MOST_BYTES, SINCE_DIGESTS)
        cells = every_cell(plan)
        if len({cell["id"] for cell in cells}) < len(cells):
            raise ValueError("a cell is planned twice")
        if len(set(plan["axes"])) < len(plan["axes"]):
            raise ValueError("an axis is there twice")
        return plan
    except UNREADABLE as error:
        raise fail(f"cannot be read: {cause(error)}", str(file), "run the grid again: what is done is kept") from error
