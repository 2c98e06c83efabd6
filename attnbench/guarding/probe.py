"""A probe: a few lines of Python that compute two results which a law says are equal.

The lines that are run are those that a report shows, so that a failure can be reproduced without attnbench.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.contained import contained
from attnbench.guarding.convention import MODULE, NAMES, Kind
from attnbench.guarding.load import copied
from attnbench.guarding.target import Target
from attnbench.messages import message_of

# How far two results may differ, relative to 1 plus the largest of them.
TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}
# Kernels are chosen by dtype, so a fault may be in one dtype alone. Not in float64, in which hardly anybody trains:
# a softmax that is computed in float32 turns its lowest number into −∞, and empty rows into NaN.
TRAINED = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Size:
    """The numbers of sentences B, queries T and keys S."""

    batch: int
    queries: int
    keys: int

    def __str__(self) -> str:
        return f"B={self.batch} T={self.queries} S={self.keys}"


# From small to large, so that the first failure is a small one. The last sizes are one more than the blocks in which
# kernels compute: 8, 16, 32, 64 and 128 positions.
SIZES = tuple(
    Size(*numbers)
    for numbers in (
        *((1, 1, 2), (1, 2, 3), (2, 2, 3), (2, 3, 2), (3, 4, 5), (2, 5, 9), (2, 3, 17), (1, 4, 33)),
        *((2, 2, 65), (1, 33, 65), (1, 129, 129)),
    )
)
SMALL = SIZES[:5]


@dataclass(frozen=True)
class Probe:
    """Lines that set `first` and `second`.

    Attributes:
        lines: of Python, in terms of the inputs, torch and the functions `unmasked`, `attend` and `attend_pairs`.
        kinds: of the functions that they call.
        breaks: what a difference means, in words: "a padded position has an influence".
        tolerance: the largest difference, relative to 1 plus the largest number; None for that of the dtype.
        scale: the inputs are drawn from a normal distribution with this standard deviation.
        gradients: whether the inputs require gradients.
        changes_module: whether the lines change the module.
    """

    lines: tuple[str, ...]
    kinds: tuple[Kind, ...]
    breaks: str
    tolerance: float | None = None
    scale: float = 1.0
    gradients: bool = False
    changes_module: bool = False


@dataclass(frozen=True)
class Check:
    """A law that attention obeys.

    Attributes:
        name: as reports show it.
        law: in words, as a sentence that is true of a right attention.
        reason: returns why the law does not apply to an attention; "" if it applies.
        probes: returns the probes of a size, from a seed.
        sizes: to try, from small to large.
        dtypes: to compute in.
        warns: whether a failure is a warning: PyTorch's own attentions break the law.
    """

    name: str
    law: str
    reason: Callable[[Target], str]
    probes: Callable[[Target, Size, int], Iterable[Probe]]
    sizes: tuple[Size, ...] = SIZES
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    warns: bool = False


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    SKIPPED = "not applicable"


@dataclass(frozen=True)
class Counterexample:
    """The smallest case in which a law does not hold.

    Attributes:
        size, seed, dtype: of the inputs.
        found: what came out, in words, with the two numbers.
        first, second: the two numbers; None if a call raised.
        snippet: a script that prints them, without attnbench.
    """

    size: Size
    seed: int
    dtype: str
    found: str
    first: float | None
    second: float | None
    snippet: str


@dataclass(frozen=True)
class Result:
    """The result of a check.

    Attributes:
        name, law: of the check.
        outcome: what became of it.
        reason: why it does not apply, or what was broken; "" if it passed.
        counterexample: None unless it failed.
    """

    name: str
    law: str
    outcome: Outcome
    reason: str = ""
    counterexample: Counterexample | None = None


def run_check(check: Check, target: Target, dtypes: Sequence[torch.dtype], seed: int) -> Result:
    """Tries a law from the smallest size up, and stops at the first counterexample."""
    if reason := check.reason(target):
        return Result(check.name, check.law, Outcome.SKIPPED, reason)
    usable = [dtype for dtype in check.dtypes if dtype in dtypes]
    tried = 0
    for size in sizes_of(target, check.sizes):
        for dtype in usable:
            for probe in check.probes(target, size, seed):
                tried += 1
                found = counterexample(target, probe, size, dtype, seed)
                # What cannot be computed in half precision is reported by the checks of half precision.
                if found is not None and (found.first is not None or dtype == usable[0]):
                    outcome = Outcome.WARNED if check.warns else Outcome.FAILED
                    return Result(check.name, check.law, outcome, probe.breaks, found)
    if not tried:
        return Result(check.name, check.law, Outcome.SKIPPED, "no size of the tests has a case of it")
    return Result(check.name, check.law, Outcome.PASSED)


def sizes_of(target: Target, sizes: Iterable[Size]) -> Iterator[Size]:
    """The sizes that a target can be given: with one sequence, or under a causal mask, T and S are equal."""
    square = target.convention.is_self or target.asked.causal
    longest = target.asked.longest or target.convention.longest
    for size in sizes:
        one = Size(size.batch, size.keys, size.keys) if square else size
        if max(one.queries, one.keys) <= longest:
            yield one


def counterexample(target: Target, probe: Probe, size: Size, dtype: torch.dtype, seed: int) -> Counterexample | None:
    """Runs a probe; returns where its two results differ, None if they are equal."""
    module = target.module(dtype)
    space: dict[str, Any] = {"torch": torch, MODULE: _own(module) if probe.changes_module else module}
    lines = [
        *target.convention.definitions(probe.kinds),
        f"torch.manual_seed({seed})",
        inputs_line(target, probe, size, dtype),
        *probe.lines,
    ]
    snippet = [*target.setup(dtype), *lines]

    def found(what: str, first: float | None, second: float | None, ending: Sequence[str]) -> Counterexample:
        return Counterexample(size, seed, str(dtype), what, first, second, "\n".join([*snippet, *ending]) + "\n")

    try:
        with contained(), torch.random.fork_rng(devices=[]), torch.device(target.asked.device):
            exec("\n".join(lines), space)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        return found(f"raised {type(error).__name__}: {message_of(error)}", None, None, [])
    first, second = (torch.as_tensor(space[name]).detach().double().cpu() for name in ("first", "second"))
    if first.shape != second.shape:
        what = f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
        return found(what, None, None, ["print(first.shape, second.shape)"])
    tolerance = probe.tolerance or TOLERANCES[dtype]
    place = largest_difference(first, second, tolerance)
    if place is None:
        return None
    one, other = first[place].item(), second[place].item()
    index = f"[{', '.join(map(str, place))}]" if place else ""
    what = (
        f"{one:.6g} and {other:.6g}"
        if f"{one:.6g}" != f"{other:.6g}"
        else f"{one:.12g} and {other:.12g}" + (f" at {index}" if index else "")
    )
    return found(what, one, other, [f"print(float(first{index}), float(second{index}))"])


def _own(module: Any) -> Any:
    return copied(module) if isinstance(module, nn.Module) else module


def largest_difference(first: Tensor, second: Tensor, tolerance: float) -> tuple[int, ...] | None:
    """The index of the largest difference beyond the tolerance; None if there is none. NaN differs from everything."""
    if not first.numel():
        return None
    finite = torch.cat([first.flatten(), second.flatten()]).nan_to_num(0, 0, 0).abs().max()
    difference = (first - second).abs().nan_to_num(nan=torch.inf)
    difference = difference.masked_fill((first == second), 0)  # ∞ equals ∞
    if difference.max() <= tolerance * (1 + finite):
        return None
    index = torch.unravel_index(difference.argmax(), difference.shape)
    return tuple(int(each) for each in index)


def inputs_line(target: Target, probe: Probe, size: Size, dtype: torch.dtype) -> str:
    """The line that draws the inputs."""
    found = target.convention
    lengths = [size.keys if name in found.of_source else size.queries for name in found.inputs]
    factor = f"{probe.scale:g} * " if probe.scale != 1 else ""
    ending = ".requires_grad_()" if probe.gradients else ""
    if factor and ending:
        factor, ending = "", f".mul({probe.scale:g}).requires_grad_()"
    of_dtype = "" if dtype == torch.get_default_dtype() else f", dtype={dtype}"
    drawn = f"{factor}torch.randn({size.batch}, {{}}, {found.width}{of_dtype}){ending}"
    if len(lengths) == 1:
        return f"{found.inputs[0]} = {drawn.format(lengths[0])}"
    return f"{', '.join(found.inputs)} = ({drawn.format('n')} for n in ({', '.join(map(str, lengths))}))"


def call(target: Target, kind: Kind, **changed: str) -> str:
    """The text of a call with the inputs by their names, of which some are replaced by another text."""
    arguments = [changed.get(name, name) for name in target.convention.inputs]
    return (
        f"{NAMES[kind]}({', '.join([*arguments, *([changed.get('mask', 'mask')] if kind is not Kind.NONE else [])])})"
    )
