"""Rejects packs that cannot fit into this machine's memory, before anything is allocated."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnbench.cell import Cell, Pack
from attnbench.errors import AttnbenchError, Problem
from attnbench.registry import REGISTRIES, has_bundled_data, has_lengths_of_files

CGROUP = Path("/sys/fs/cgroup/memory.max")  # a container's share of the machine
FLOAT, ID, LINK = 4, 8, 1  # bytes
BATCHES_AHEAD, BYTES_AHEAD = 16, 2**18  # as in tasks/streams.py
HIDDEN_LAYER = ("additive", "coverage", "location_conv")  # scores with a hidden layer per query and position
KEPT = 2**26  # as in scores/hidden_layer.py
IMAGE = 40 * 40 * FLOAT  # of the task caption
COPIES = 4  # the parameters, their gradients, and the two moments of Adam
CANDIDATES, PER_EXAMPLE = 4096, 20  # drawn at once, because only 5 % of them belong to the test split
SHOWN = 3  # packs named in the error; the others are only counted


@dataclass(frozen=True)
class MemoryNeed:
    """A lower bound on the bytes that one thing takes, what it is, and how to make it smaller."""

    bytes: int
    what: str
    hint: str


def check_size(packs: Sequence[Pack], memory: int | None = None) -> None:
    """Rejects packs whose lower bound on memory exceeds the memory of the machine.

    Args:
        packs: the packs to train.
        memory: in bytes; default: the memory of this machine. Nothing is rejected if that is unknown.

    Raises:
        AttnbenchError: with the packs that do not fit, and what takes most of their memory.
    """
    memory = memory or machine_memory()
    if memory is None:
        return
    needs = [(pack, least_memory(pack)) for pack in packs]
    problems = [_problem(pack, parts, memory) for pack, parts in needs if sum(n.bytes for n in parts) > memory]
    if len(problems) > SHOWN:
        rest = Problem(f"and {len(problems) - SHOWN} more packs that do not fit into memory")
        problems = [*problems[:SHOWN], rest]
    if problems:
        raise AttnbenchError(*problems)


def machine_memory() -> int | None:
    """Returns the memory of this machine or the limit of its container in bytes; None if unknown."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    limit = CGROUP.read_text(encoding="ascii").strip() if CGROUP.is_file() else "max"
    return memory if limit == "max" else min(memory, int(limit))


def least_memory(pack: Pack) -> list[MemoryNeed]:
    """Returns what a pack holds at the same time while it trains on its longest sources, each thing counted once."""
    cell, replicas = pack.cell, len(pack.seeds)
    rows, length = replicas * cell.train.batch_size, cell.data.max_length
    batch, parameters = "lower train.batch_size, data.max_length or the number of seeds", "lower the model's width"
    if cell.data.path is not None and has_lengths_of_files(cell.task.name):  # and so is the vocabulary
        batch = f"lower train.batch_size or the number of seeds, or remove the longest lines, of {length:,} words"
    else:
        parameters += " or data.vocabulary"
    return [
        MemoryNeed(
            COPIES * FLOAT * replicas * _parameters(cell),
            "the parameters with the state of Adam",
            parameters,
        ),
        MemoryNeed(FLOAT * rows * length * (cell.data.vocabulary or 0), "the output logits of a batch", batch),
        MemoryNeed(FLOAT * rows * _states(cell), "the states of a batch", batch),
        MemoryNeed(FLOAT * rows * _weights(cell), "the attention weights of a batch", batch),
        MemoryNeed(
            replicas * _ahead(cell), "the scenes generated ahead", "lower train.batch_size or the number of seeds"
        ),
        MemoryNeed(_examples(cell), "the examples of validation and test", "lower data.test_examples or the lengths"),
    ]


def _problem(pack: Pack, parts: list[MemoryNeed], memory: int) -> Problem:
    total, most = sum(need.bytes for need in parts), max(parts, key=lambda need: need.bytes)
    names = ", ".join(part.name for part in pack.cell.components().values())
    found = f"needs at least {_size(total)} of memory, but only {_size(memory)} are available"
    what = f"{found}: {_size(most.bytes)} for {most.what}"
    return Problem(what, f"{names} (cell {pack.ids[0]})", most.hint)


def _option(cell: Cell, name: str) -> int:
    """Returns an integer option of the model; 0 if it has none of this name, as a custom model may."""
    value = cell.model.options.get(name)
    return value if isinstance(value, int) else 0


def _parameters(cell: Cell) -> int:
    """Counts the large parameters of a built-in model: embeddings, output layer and width-by-width matrices."""
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
    """Counts the numbers in the states of one sentence: one state per word of source and target, with NTM's memory."""
    slots = _option(cell, "slots") * _option(cell, "slot_width")
    return 2 * cell.data.max_length * (_option(cell, "width") * max(1, _option(cell, "layers")) + slots)


def _weights(cell: Cell) -> int:
    """Counts the attention weights of one sentence: per pair of words, head and layer; or hidden layers."""
    if cell.score is None or cell.model.name == "ntm":
        return 0
    pairs, heads = cell.data.max_length**2, _option(cell, "heads")
    if heads:  # all queries at once: hidden layers are computed again for the backward pass
        return pairs * heads * max(1, _option(cell, "layers"))
    hidden = cell.score.options.get("hidden") or _option(cell, "width")
    kept = cell.score.name in HIDDEN_LAYER and cell.train.batch_size * pairs * hidden <= KEPT
    return pairs * hidden if kept else pairs


def _examples(cell: Cell) -> int:
    """Returns the bytes of all test sets, and of the candidates for the longest; 0 for custom tasks and lists."""
    name = cell.task.name
    if not REGISTRIES["task"].is_builtin(name) or cell.data.path is not None or has_bundled_data(name):
        return 0
    data = cell.data
    lengths = data.max_length - data.min_length + 1
    middle = (data.min_length + data.max_length) // 2
    sets = [(middle, data.test_examples), (middle, data.validation_examples)]
    sets += [(length, data.test_examples) for length in data.test_lengths]
    drawn = [(data.max_length, data.test_examples // lengths), *sets[2:]]
    if REGISTRIES["task"].entry(cell.task.name).declares("images"):  # its scenes are drawn for their part of the split
        return sum(count * IMAGE for _, count in sets)
    kept = sum(count * _sentence(length) for length, count in sets)
    return kept + max(min(PER_EXAMPLE * count, CANDIDATES) * _sentence(length) for length, count in drawn)


def _ahead(cell: Cell) -> int:
    """Returns the bytes of the scenes of a replica that are generated at once, of every length; 0 for other tasks."""
    tasks, data, batch = REGISTRIES["task"], cell.data, cell.train.batch_size
    images = tasks.is_builtin(cell.task.name) and tasks.entry(cell.task.name).declares("images")
    if data.path is not None or not images:
        return 0
    fit = (BYTES_AHEAD // (batch * length * length) for length in range(data.min_length, data.max_length + 1))
    return IMAGE * batch * sum(max(1, min(BATCHES_AHEAD, batches)) for batches in fit)


def _sentence(length: int) -> int:
    """Returns the bytes of a source and a target of this length with their gold links."""
    return 2 * ID * length + LINK * length * length


def _size(number: int) -> str:
    """Formats a number of bytes, e.g. "4.2 TB"."""
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        number, rest = divmod(number, 1000)
        if number < 1000:
            return f"{number + rest / 1000:.3g} {unit}"
    return f"more than {number:.0e} PB"
