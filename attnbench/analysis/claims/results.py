"""The results that claims are verified with: those of a run, or those that were saved in a CSV file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.grid.claim_cells import Labels, check_cells, is_of, text_of
from attnbench.grid.claim_values import setting_hint, with_labels
from attnbench.grid.claims import Claim, Part, Setting
from attnbench.grid.claims_reader import EXAMPLE, read_claims
from attnbench.grid.document import Document
from attnbench.grid.parse import parse, read
from attnbench.grid.values import Label
from attnbench.metrics import metric_of
from attnbench.store.store import NOT_READ, Store

MOST_MISSING = 3  # cells that are listed
NOT_FIXED = (
    "The verdicts assume that the number of seeds was fixed before any result was seen; with decide, seeds were added "
    "until pairs were settled."
)


@dataclass(frozen=True)
class CellResult:
    """A finished cell: its labels by axis, also the seed; whether it is "done" or "failed"; and its metrics."""

    id: str
    labels: Labels
    status: str
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class Results:
    """Claims with everything that they are verified with.

    Attributes:
        name: of the grid.
        where: the folder, or the file of the cells, for messages.
        claims: with labels as values.
        planned: the labels of all cells of the grid, in its order.
        cells: those that are finished.
        notes: what has to be said with the verdicts, e.g. that cells are stale.
    """

    name: str
    where: str
    claims: tuple[Claim, ...]
    planned: Sequence[Labels]
    cells: Sequence[CellResult]
    notes: tuple[str, ...] = ()

    def finished(self, setting: Setting) -> list[CellResult]:
        """The finished cells of a configuration, one per seed."""
        return [cell for cell in self.cells if is_of(setting, cell.labels)]


@dataclass(frozen=True)
class Seeds:
    """The metric of a configuration by seed, and how many of the seeds failed."""

    values: Mapping[Label, float]
    failed: int = 0


def results_of_run(store: Store) -> Results:
    """The claims of a run's grid file, as it was run, with the run's cells.

    Raises:
        AttnbenchError: if the grid file has no claims, or they are wrong, or a file cannot be read.
    """
    plan, file = store.plan(), str(store.folder / "grid.yaml")
    if waiting := plan.get("waiting"):
        what = f"the run is not finished: {waiting} cells follow, of which tune or decide says whether they are trained"
        raise fail(what, str(store.folder), "attnbench run trains the missing cells")
    planned = [cell["labels"] for cell in plan["cells"]]
    skipped = [(one["labels"], one["reason"]) for one in plan["skipped"]]
    claims = _claims(parse(store.grid_text(), file), planned, skipped)
    summaries = dict(store.summaries())
    cells = [
        CellResult(cell["id"], cell["labels"], summaries[cell["id"]].status, summaries[cell["id"]].metrics)
        for cell in plan["cells"]
        if cell["id"] in summaries
    ]
    notes = [*([NOT_FIXED] if plan.get("decide") is not None else []), *store.notes()]
    return Results(store.name, str(store.folder), claims, planned, cells, tuple(notes))


def has_claims(store: Store) -> bool:
    """Whether the grid file of a run has claims; false if it cannot be read."""
    try:
        text = store.grid_text()
        data = parse(text, "grid.yaml").data if "claims" in text else None
    except AttnbenchError:
        return False
    return isinstance(data, dict) and bool(data.get("claims"))


def claims_differ(store: Store, grid_file: Path) -> bool:
    """Whether a grid file has other claims than the copy in the folder of its run, whose claims are verified.

    Raises:
        AttnbenchError: if one of the files cannot be read.
    """
    documents = read(grid_file), parse(store.grid_text(), str(store.folder / "grid.yaml"))
    one, other = (doc.data.get("claims") or [] if isinstance(doc.data, dict) else [] for doc in documents)
    return one != other


def _claims(document: Document, planned: Sequence[Labels], skipped: Sequence[tuple[Labels, str]]) -> tuple[Claim, ...]:
    """Reads the claims of a grid file whose cells are planned."""
    data = document.data if isinstance(document.data, dict) else {}
    written = data.get("claims") or []
    if not written or not isinstance(written, list):
        raise no_claims(document.label, " and run it again, which trains nothing")
    sections = [data.get("grid"), data.get("zip"), *(data.get("include") or [])]
    axes = dict.fromkeys(axis for section in sections if isinstance(section, dict) for axis in section)
    every = [*planned, *(labels for labels, _ in skipped)]
    known = {axis: _distinct(labels[axis] for labels in every if axis in labels) for axis in axes}
    claims = with_labels(document, read_claims(document, written, None, partial(setting_hint, known)), known)
    document.problems.raise_all()
    check_cells(document, claims, planned, skipped)
    document.problems.raise_all()
    return claims


def _distinct(labels: Iterable[Label]) -> list[Label]:
    return list({(type(label), label): label for label in labels}.values())


def no_claims(file: str, then: str = "") -> AttnbenchError:
    """The error for a grid without claims; `then` is what to do after they were added."""
    return fail("the grid has no claims", file, f"add them to the grid file{then}, e.g. {EXAMPLE}")


def check_finished(results: Results) -> None:
    """Checks that every cell that the claims are about is finished.

    Raises:
        AttnbenchError: with the number of the missing cells and the first of them.
    """
    settings = [setting for claim in results.claims for part in claim.parts for setting in part.configurations]
    needed = [labels for labels in results.planned if any(is_of(setting, labels) for setting in settings)]
    finished = {tuple(cell.labels.items()) for cell in results.cells}
    missing = [labels for labels in needed if tuple(labels.items()) not in finished]
    if not missing:
        return
    axes = [axis for axis in missing[0] if axis == "seed" or len({str(labels[axis]) for labels in results.planned}) > 1]
    listed = [", ".join(f"{axis} {text_of(labels[axis])}" for axis in axes) for labels in missing[:MOST_MISSING]]
    more = [f"and {len(missing) - MOST_MISSING} more"] if len(missing) > MOST_MISSING else []
    what = f"{len(missing)} of {len(needed)} cells that the claims are about are missing: {'; '.join([*listed, *more])}"
    # Of a cell whose file is broken, the reason why it counts as missing.
    broken = [Problem(note, results.where) for note in results.notes if note.startswith(NOT_READ)]
    raise AttnbenchError(Problem(what, results.where, "attnbench run trains the missing cells"), *broken)


def seeds_of(results: Results, part: Part, setting: Setting) -> Seeds:
    """The metric of one configuration by seed.

    A seed that failed counts as the worst result, as in `compare`; of a metric without a better direction it is left
    out.

    Raises:
        AttnbenchError: if a seed has no value.
    """
    about, cells = metric_of(part.metric), results.finished(setting)
    found, failed, lacking = {}, [], []
    for cell in cells:
        seed, value = cell.labels["seed"], cell.metrics.get(part.metric)
        if cell.status == "done" and value is not None:
            found[seed] = float(value)
        elif cell.status == "failed":
            failed.append(seed)
        elif about.missing_is_worst:
            found[seed] = about.worst(_observed(results, part.metric, cell.labels))
        else:
            lacking.append(seed)
    if lacking or not (found or about.better):
        raise _no_value(results, part, setting, len(lacking) or len(cells), len(cells))
    if about.better and failed:
        found |= dict.fromkeys(failed, about.worst(_observed(results, part.metric, cells[0].labels)))
    return Seeds(found, len(failed))


def _observed(results: Results, metric: str, labels: Labels) -> list[float]:
    """All values of a metric on the same task, of which a failed seed is worse than each."""
    same = [cell for cell in results.cells if cell.labels.get("task") == labels.get("task")]
    return [value for cell in same if cell.status == "done" and (value := cell.metrics.get(metric)) is not None]


def _no_value(results: Results, part: Part, setting: Setting, lacking: int, of: int) -> AttnbenchError:
    written = ", ".join(f"{axis}: {text_of(value)}" for axis, value in setting.items())
    what = f"{part.metric} has no value in {lacking} of {of} cells of {{{written}}}"
    others = results.finished(setting)[0].metrics if results.finished(setting) else {}
    known = [name for name, value in others.items() if value is not None]
    return fail(what, results.where, f"choose a metric that they have: {', '.join(known[:12])}" if known else "")
