"""Tests somebody else's attention: invariances, gradients, precision, and a short training."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.guarding import checks
from attnbench.guarding.choices import Device, Layout, Mask, Positions, Score
from attnbench.guarding.convention import Kind
from attnbench.guarding.load import passed
from attnbench.guarding.probe import TOLERANCES, Outcome, Result, run_check
from attnbench.guarding.report import Report, to_text
from attnbench.guarding.search import find_target
from attnbench.guarding.target import Asked, Target, example_call
from attnbench.guarding.trained import TASKS, Training, run_training

MOST = 1_000_000  # the largest width, and the largest numbers of heads and of positions
MOST_SEED = 2**63 - 1  # torch.manual_seed takes 64 bits


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a guard; `report` has the results of the checks that had ended."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


class GuardFailed(AssertionError):
    """An attention breaks a law; the message is the report of `attnbench guard`."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"\n{to_text(report)}")
        self.report = report


def guard(
    attention: Callable[..., Any],
    causal: bool = False,
    layout: str | None = None,
    mask: str | None = None,
    positions: str = "none",
    score: str | None = None,
    width: int | None = None,
    heads: int | None = None,
    longest: int | None = None,
    unnormalised: bool = False,
    train: bool = True,
    strict: bool = False,
    skip: Sequence[str] = (),
    seed: int = 0,
    device: str = "cpu",
) -> Report:
    """Tests an attention, as `attnbench guard` does; see docs/guard.md.

    Args:
        attention: a module, or a function (query, key, value, mask), which returns the context, or a tuple that begins
            with it.
        causal: whether no query attends to a later position.
        layout: of the inputs: "btd" (batch, positions, width), "tbd", or "bhtd" with an axis of heads; by default found
            out.
        mask: what a mask says: "attend" (True may be attended to), "padding" (True is padding), "additive" (added to
            the logits), "lengths" (it takes the numbers of valid positions instead), or "none" (it takes no mask); by
            default read from the names of parameters.
        positions: "absolute" if the result depends on the positions of the keys, "relative" if it depends on their
            distances from the query.
        score: "dot", "scaled_dot" or "cosine", for a function without parameters that is to agree with this score.
        width, heads: of its inputs; by default read from the module.
        longest: the largest number of positions to test with.
        unnormalised: whether the weights of a query need not sum to 1.
        train: whether to train it too, which takes up to two minutes.
        strict: whether warnings fail.
        skip: names of checks that are not run, such as "empty rows".
        seed: of the random inputs.
        device: "cpu" or "cuda".

    Returns:
        The report, if all checks passed.

    Raises:
        GuardFailed: an AssertionError, if a check failed.
        AttnbenchError: if the attention cannot be called, or there is no such check.
    """
    asked = asked_for(causal, layout, mask, positions, score, width, heads, longest, device, unnormalised)
    _check_number("seed", seed, 0, MOST_SEED)
    # A warning is no broken law, also where a test suite makes errors of warnings. On a GPU, seeds are set there too.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        warnings.simplefilter("default")
        report, _ = examine(find_target(passed(attention), asked), train, strict, seed, skip)
    if report.exit:
        raise GuardFailed(report)
    return report


def asked_for(
    causal: bool = False,
    layout: str | None = None,
    mask: str | None = None,
    positions: str = "none",
    score: str | None = None,
    width: int | None = None,
    heads: int | None = None,
    longest: int | None = None,
    device: str = "cpu",
    unnormalised: bool = False,
) -> Asked:
    """What a user says of an attention; the arguments are those of `guard`.

    Raises:
        AttnbenchError: if one of them is not among its choices.
    """
    choices: dict[str, tuple[str | None, Sequence[str]]] = {
        "layout": (layout, list(Layout)),
        "mask": (mask, list(Mask)),
        "positions": (positions, list(Positions)),
        "score": (score, list(Score)),
        "device": (device, list(Device)),
    }
    problems = [
        Problem(f"expected one of {', '.join(known)}, found {given!r}", name)
        for name, (given, known) in choices.items()
        if given is not None and given not in known
    ]
    if problems:
        raise AttnbenchError(*problems)
    for name, number, least in (("width", width, 1), ("heads", heads, 1), ("longest", longest, 2)):
        if number is not None:
            _check_number(name, number, least, MOST)
    return Asked(
        Layout(layout) if layout else None,
        Mask(mask) if mask else None,
        width,
        heads,
        causal,
        positions,
        score,
        unnormalised,
        longest,
        device,
    )


def _check_number(name: str, number: Any, least: int, most: int) -> None:
    """Raises an AttnbenchError for what is no whole number from `least` to `most`."""
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise fail(f"expected a whole number from {least} to {most}, found {number!r}", name)


def examine(
    target: Target,
    train: bool,
    strict: bool,
    seed: int,
    skip: Sequence[str] = (),
    begin: Callable[[str], None] = lambda _: None,
) -> tuple[Report, dict[str, Training]]:
    """Runs all checks, and the trained part if `train`.

    Args:
        target: the attention.
        train, strict, seed, skip: see `guard`.
        begin: called with the name of each check before it runs.

    Returns:
        The report, and what came out of training by task.

    Raises:
        Interrupted: a KeyboardInterrupt, if Ctrl-C is pressed after the first check.
    """
    dtypes = dtypes_of(target)
    _check_names(skip)
    results: list[Result] = []
    trainings: dict[str, Training] = {}
    loaded = target.loaded
    built = loaded.expression if loaded.module else ""
    report = Report(
        loaded.name, heading(target, dtypes), results, strict=strict, built=built, causal=target.asked.causal
    )
    try:
        train = _run_checks(target, dtypes, seed, skip, begin, results) and train
        for name in (task for task in TASKS if train and task not in skip):
            begin(name)
            result, training = run_training(target, name)
            results.append(result)
            if training is not None:
                trainings[name] = training
    except KeyboardInterrupt:
        if not results:
            raise
        ended = {*skip, *(result.name for result in results)}
        names = [*(check.name for check in checks.ALL), *(TASKS if train else ())]
        raise Interrupted(replace(report, not_run=tuple(name for name in names if name not in ended))) from None
    return report, trainings


def _run_checks(
    target: Target,
    dtypes: Sequence[torch.dtype],
    seed: int,
    skip: Sequence[str],
    begin: Callable[[str], None],
    results: list[Result],
) -> bool:
    """Runs all checks and appends their results; returns False if the first one fails, from which all others follow."""
    for check in checks.ALL:
        if check.name in skip:
            results.append(Result(check.name, check.law, Outcome.SKIPPED, "--skip"))
            continue
        begin(check.name)
        results.append(run_check(check, target, dtypes, seed))
        if check is checks.PADDING:
            results[-1] = _with_opposite(results[-1], target, seed)
        if check is checks.FIRST and results[-1].outcome is Outcome.FAILED:
            return False
    return True


def _check_names(skip: Sequence[str]) -> None:
    """Raises an AttnbenchError for each name that no check has."""
    known = [*(check.name for check in checks.ALL), *TASKS]
    problems = [
        Problem(f"there is no check {name!r}", "--skip", did_you_mean(name, known))
        for name in skip
        if name not in known
    ]
    if problems:
        raise AttnbenchError(*problems)


def _with_opposite(result: Result, target: Target, seed: int) -> Result:
    """The result of the check of padding; if the opposite convention of masks passes it, the reason says so."""
    opposite = {Mask.ATTEND: Mask.PADDING, Mask.PADDING: Mask.ATTEND}.get(target.convention.mask)
    if result.outcome is not Outcome.FAILED or opposite is None:
        return result
    try:
        other = find_target(target.loaded, replace(target.asked, mask=opposite))
    except AttnbenchError:  # it cannot be called with such a mask
        return result
    if run_check(checks.PADDING, other, (torch.float32,), seed).outcome is not Outcome.PASSED:
        return result
    return replace(result, reason=f"{result.reason}; with --mask {opposite}, the opposite meaning, it passes")


def dtypes_of(target: Target) -> list[torch.dtype]:
    """The dtypes that an attention can compute in."""
    usable = []
    for dtype in TOLERANCES:
        with suppress(Exception):
            example_call(target, dtype)
            usable.append(dtype)
    return usable


LAYOUTS = {Layout.BTD: "(B,T,D)", Layout.TBD: "(T,B,D)", Layout.BHTD: "(B,H,T,D/H)"}
MASKS = {
    Mask.ATTEND: "True may be attended to",
    Mask.PADDING: "True is padding",
    Mask.LENGTHS: "the number of valid positions (B,)",
    Mask.ADDITIVE: "0, or the lowest number where excluded, is added to the logits",
}
SHAPES = {Kind.KEYS: "(B,S)", Kind.PAIRS: "(B,T,S)"}


def heading(target: Target, dtypes: Sequence[torch.dtype]) -> str:
    """How an attention is called, on one line."""
    found: Any = target.convention
    kinds = [SHAPES[kind] for kind in SHAPES if target.takes(kind)]
    meaning = MASKS.get(found.mask, "")
    if any(").long()" in call for call in found.calls.values()):  # it refuses bool
        meaning = meaning.replace("True", "1")
    masks = f"mask {' and '.join(kinds)}: {meaning}" if kinds else "no mask"
    missing = [str(dtype).removeprefix("torch.") for dtype in TOLERANCES if dtype not in dtypes]
    heads = f", {found.heads} heads" if found.layout is Layout.BHTD else ""
    built = f", built by {target.loaded.expression}" if target.loaded.module else ""
    parts = [
        f"{target.loaded.name}{built}: {', '.join(found.inputs)} {LAYOUTS[found.layout]}, D={found.width}{heads}",
        masks,
        f"returns {found.returns}",
        *(["causal"] if target.asked.causal else []),
        *([f"{target.asked.positions} positions"] if target.asked.positions != "none" else []),
        *([f"not in {', '.join(missing)}"] if missing else []),
    ]
    return "; ".join(parts)
