"""Refuses what plainly does not fit into this machine's memory, before it is made."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.cell import Cell, Pack
from attnbench.errors import AttnbenchError, Problem
from attnbench.registry import REGISTRIES

CGROUP = Path("/sys/fs/cgroup/memory.max")  # a container's share of the machine
FLOAT, ID, LINK = 4, 8, 1  # bytes
COPIES = 4  # of the parameters: they themselves, their gradients, Adam's two means
CANDIDATES, PER_EXAMPLE = 4096, 20  # drawn at once to find the 5 % of them that are on the test side
SHOWN = 3  # packs that are told of; the rest are counted


@dataclass(frozen=True)
class Need:
    """The bytes that something takes at least, what it is, and what makes it smaller."""

    bytes: int
    what: str
    hint: str


def check_size(packs: Sequence[Pack], memory: int | None = None) -> None:
    """Refuses packs that need more memory than there is, even if nothing else ran and nothing was made twice.

    Args:
        packs: what is to be trained.
        memory: in bytes; this machine's unless given. Nothing is refused where the machine does not tell.

    Raises:
        AttnbenchError: with the packs that do not fit, and what takes most of their memory.
    """
    memory = memory or machine_memory()
    if memory is None:
        return
    needs = [(pack, least_memory(pack)) for pack in packs]
    problems = [_problem(pack, parts, memory) for pack, parts in needs if sum(n.bytes for n in parts) > memory]
    if len(problems) > SHOWN:
        rest = Problem(f"and {len(problems) - SHOWN} more that do not fit into memory")
        problems = [*problems[:SHOWN], rest]
    if problems:
        raise AttnbenchError(*problems)


def machine_memory() -> int | None:
    """The bytes that this machine has, or this container may take; None where the system does not tell."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return memory if limit == "max" else min(memory, int(limit))


def least_memory(pack: Pack) -> list[Need]:
    """What a pack holds at the same time while it trains on its longest sources, each thing counted once."""
    cell, replicas = pack.cell, len(pack.seeds)
    rows, length = replicas * cell.train.batch_size, cell.data.max_length
    batch = "lower train.batch_size, data.max_length or the number of seeds"
    return [
        Need(
            COPIES * FLOAT * replicas * _parameters(cell),
            "the parameters and what Adam keeps of them",
            "lower the model's width or data.vocabulary",
        ),
        Need(FLOAT * rows * length * (cell.data.vocabulary or 0), "a batch's logits of words", batch),
        Need(FLOAT * rows * _states(cell), "the states of a batch", batch),
        Need(FLOAT * rows * _weights(cell), "the attention weights of a batch", batch),
        Need(_examples(cell), "the examples that are tested", "lower data.test_examples or the lengths"),
    ]


def _problem(pack: Pack, parts: list[Need], memory: int) -> Problem:
    total, most = sum(need.bytes for need in parts), max(parts, key=lambda need: need.bytes)
    names = ", ".join(part.name for part in pack.cell.components().values())
    what = (
        f"needs at least {_size(total)} of memory, and there are {_size(memory)}: {_size(most.bytes)} for {most.what}"
    )
    return Problem(what, f"{names} (cell {pack.ids[0]})", most.hint)


def _option(cell: Cell, name: str) -> int:
    """A number among the model's options; 0 where it has none of this name, as a user's own model may."""
    value = cell.model.options.get(name)
    return value if isinstance(value, int) else 0


def _parameters(cell: Cell) -> int:
    """The large ones of a built-in model: embeddings, read-out, and the matrices from width to width."""
    if not REGISTRIES["model"].is_builtin(cell.model.name):
        return 0
    width, vocabulary = _option(cell, "width"), cell.data.vocabulary or 0
    embedding = _option(cell, "embedding") or width
    slots = _option(cell, "heads") * (_option(cell, "slot_width") + 2 * _option(cell, "shifts"))
    inner = 2 * width * _option(cell, "hidden")
    layers = max(1, _option(cell, "layers"))
    tables = vocabulary * (embedding if cell.model.name == "pointer" else 2 * embedding + width)
    score = cell.score.options if cell.score else {}
    of_score = width * sum(value for key in ("hidden", "max_source_length") if isinstance(value := score.get(key), int))
    return tables + layers * (4 * width * width + inner) + width * (embedding + slots) + of_score


def _states(cell: Cell) -> int:
    """Of one sentence: a state per word of source and target, and the NTM's memory at each."""
    slots = _option(cell, "slots") * _option(cell, "slot_width")
    return 2 * cell.data.max_length * (_option(cell, "width") * max(1, _option(cell, "layers")) + slots)


def _weights(cell: Cell) -> int:
    """Of one sentence: a weight per pair of words in each head and layer, where `additive` has a vector."""
    if cell.score is None or cell.model.name == "ntm":
        return 0
    maps = max(1, _option(cell, "layers")) * (_option(cell, "heads") or 1)
    width = _option(cell, "width") // (_option(cell, "heads") or 1)
    depth = (cell.score.options.get("hidden") or width) if cell.score.name == "additive" else 1
    return cell.data.max_length**2 * maps * depth


def _examples(cell: Cell) -> int:
    """The tests of every length, and the candidates of the longest; 0 for a user's own task or pairs."""
    if not REGISTRIES["task"].is_builtin(cell.task.name) or cell.data.path is not None:
        return 0
    data = cell.data
    lengths = data.max_length - data.min_length + 1
    middle = (data.min_length + data.max_length) // 2
    sets = [(middle, data.test_examples), (middle, data.validation_examples)]
    sets += [(length, data.test_examples) for length in data.test_lengths]
    drawn = [(data.max_length, data.test_examples // lengths), *sets[2:]]
    kept = sum(count * _sentence(length) for length, count in sets)
    return kept + max(min(PER_EXAMPLE * count, CANDIDATES) * _sentence(length) for length, count in drawn)


def _sentence(length: int) -> int:
    """The bytes of a source and a target of this length, with their links."""
    return 2 * ID * length + LINK * length * length


def _size(number: int) -> str:
    """Bytes as one says them: "4.2 TB"."""
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        number, rest = divmod(number, 1000)
        if number < 1000:
            return f"{number + rest / 1000:.3g} {unit}"
    return f"more than {number:.0e} PB"
