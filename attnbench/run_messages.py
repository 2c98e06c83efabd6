"""What a run says before it trains: cells that leave the table or are reused, broken files, properties of the data."""

from collections import Counter
from collections.abc import Mapping, Sequence

from attnbench.cell import Cell
from attnbench.errors import AttnbenchError
from attnbench.grid.plan import Plan
from attnbench.store.reuse import Reusable
from attnbench.store.store import NOT_READ, Store


def cells_that_leave(plan: Plan, store: Store) -> list[str]:
    """A message if the folder has results of another grid, which the tables of this one do not show."""
    if plan.is_tuning:  # the cells that are reported are not known yet
        return []
    planned = {cell.id for cell in plan.reported}
    try:
        before = {cell["id"] for cell in store.plan()["cells"]} - planned
    except AttnbenchError:  # a new run, or a damaged plan, which is about to be written again
        return []
    leaving = before & store.states().keys()
    if not leaving:
        return []
    cells = f"{len(leaving)} cell{'s' * (len(leaving) > 1)}"
    leave = f"{cells} leave{'s' * (len(leaving) == 1)} the table ({'they are' if len(leaving) > 1 else 'it is'} kept)"
    return [f"{store.folder} holds another grid: {leave}. To have both, run this one under another name: --as NAME"]


def cells_reused(found: Sequence[Reusable]) -> list[str]:
    """A message per run whose cells are reused."""
    cells = Counter({pack.source.name: 0 for pack in found})
    for pack in found:
        cells[pack.source.name] += len(pack.cells)
    return [
        f"{number} cell{'s' * (number > 1)} reused from the run {run}, which has trained the same; "
        "--no-reuse trains them again"
        for run, number in cells.items()
    ]


def explained(doubts: list[str]) -> list[str]:
    """What a run makes of cells whose files are broken."""
    return [f"{doubt}\nIts cell counts as not done." if doubt.startswith(NOT_READ) else doubt for doubt in doubts]


def missing_lengths_message(cell: Cell, missing: Sequence[int]) -> str:
    """Says on which lengths a task is trained that does not have all of them."""

    def listed(lengths: Sequence[int]) -> str:
        return ", ".join([*map(str, lengths[:10]), *["…"] * (len(lengths) > 10)])

    trained = sorted({*range(cell.data.min_length, cell.data.max_length + 1)} - {*missing})
    what = f"the task {cell.task.name} has no sources of length {listed(missing)}"
    return f"{what}: it is trained on length {listed(trained)}"


def data_message(file: str, facts: Mapping[str, float | int]) -> str:
    """Describes the facts of a `Listed` task, those of its method `facts`, that change what the metrics mean."""
    if "training_words" in facts:
        return _dictionary_message(file, facts)
    if "training_images" in facts:
        return _images_message(file, facts)
    parts = [f"{file}: {facts['training_lines']:,} training lines"]
    if dropped := facts["dropped_training_lines"]:
        parts.append(f"{dropped:,} more left out, because their source is also validated or tested")
    unknown = {side: facts[f"unknown_target_words_{side}"] for side in ("validation", "test")}
    parts += [
        f"{share:.1%} of the {side} target words are unknown and count as errors"
        for side, share in unknown.items()
        if share
    ]
    composed = {side: facts[f"differently_composed_words_{side}"] for side in ("validation", "test")}
    parts += [
        f"{share:.1%} of the {side} words are unknown only because of their Unicode form, in which é is one character "
        "(NFC) or two (NFD): write all files in NFC"
        for side, share in composed.items()
        if share
    ]
    return "; ".join(parts)


def _images_message(name: str, facts: Mapping[str, float | int]) -> str:
    others = f"{facts['validation_images']:,} for validation, {facts['test_images']:,} for test"
    parts = [f"{name}: {facts['training_images']:,} training images, {others}"]
    if dropped := facts["dropped_training_images"]:
        parts.append(f"{dropped:,} more left out, because they are also validated or tested")
    unknown = {side: facts[f"unknown_target_words_{side}"] for side in ("validation", "test")}
    parts += [
        f"{share:.1%} of the {side} words are unknown and count as errors" for side, share in unknown.items() if share
    ]
    return "; ".join(parts)


def _dictionary_message(name: str, facts: Mapping[str, float | int]) -> str:
    words, spoken = facts["training_words"], facts["training_pronunciations"]
    others = f"{facts['validation_words']:,} words for validation, {facts['test_words']:,} for test"
    parts = [f"{name}: {words:,} training words with {spoken:,} pronunciations, {others}"]
    if dropped := facts["dropped_training_words"]:
        parts.append(f"{dropped:,} more words left out, because they are also validated or tested")
    if skipped := facts["skipped_lines"]:
        lines = f"{skipped:,} line{'s' * (skipped != 1)}"
        parts.append(f"{lines} left out, whose words have other characters than letters and apostrophes")
    return "; ".join(parts)
