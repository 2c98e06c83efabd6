"""The order of positions: what comes later has no influence, and distances are all that counts."""

from collections.abc import Iterator

from attnbench.guarding.checks.batches import kind_of, mask_line
from attnbench.guarding.choices import Mask
from attnbench.guarding.convention import Kind
from attnbench.guarding.probe import TRAINED, Check, Probe, Size, call
from attnbench.guarding.reasons import no_gradients, no_mask, not_causal
from attnbench.guarding.target import Target


def _future(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind, names = kind_of(target), target.convention.inputs
    for last in sorted({0, size.keys // 2, size.keys - 2}):
        if not 0 <= last < size.keys - 1:
            continue
        lines = [
            *mask_line(target, size),
            *(f"other_{name} = {name}.clone(); other_{name}[:, {last + 1}:] += 1" for name in names),
            f"first = {call(target, kind)}[:, : {last + 1}]",
            f"second = {call(target, kind, **{name: f'other_{name}' for name in names})}[:, : {last + 1}]",
        ]
        yield Probe(tuple(lines), (kind,), f"positions after {last} change the contexts up to {last}")


def _present(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind, source = kind_of(target), target.convention.of_source[-1]
    lines = [
        *mask_line(target, size),
        f"context = {call(target, kind)}",
        "loss = context * torch.randn_like(context)",
        f"own = lambda i: torch.autograd.grad(loss[:, i].sum(), {source}, retain_graph=True)[0][:, i]",
        f"first = sum(own(i).abs().sum() == 0 for i in range({size.keys}))  # queries that do not attend to themselves",
        "second = torch.zeros_like(first)",
    ]
    yield Probe(tuple(lines), (kind,), "a query does not attend to its own position", scale=0.01, gradients=True)


def _steps(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind, found = kind_of(target), target.convention
    one = {name: f"{name}[:, : i + 1]" for name in found.of_source} | {
        found.inputs[0]: f"{found.inputs[0]}[:, i : i + 1]"
    }
    if kind is not Kind.NONE:
        return
    # The call of the other lines, with the index of the query.
    step = f"step = lambda {', '.join(found.inputs)}, i: {with_offset(found.calls[kind], found.offset)}"
    each = f"step({', '.join(one[name] for name in found.inputs)}, i)"
    lines = (
        step,
        f"first = {call(target, kind)}",
        f"second = torch.cat([{each} for i in range({size.keys})], 1)",
    )
    yield Probe(lines, (kind,), f"one query at a time, with {found.offset}, gives other contexts than all at once")


def with_offset(text: str, offset: str) -> str:
    """The text of a call of the module with one more argument."""
    opened = text.index("module(") + len("module(")
    depth, end = 1, opened
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return f"{text[: end - 1]}, {offset}=i{text[end - 1 :]}"


def _relative(target: Target, size: Size, _: int) -> Iterator[Probe]:
    # Positions are moved by padding at the beginning, of queries and keys alike.
    for moved in (1, 4):
        if size.keys + moved > target.longest:
            continue
        before = {
            name: f"torch.cat([torch.randn_like({name}[:, :1]).repeat(1, {moved}, 1), {name}], 1)"
            for name in target.convention.inputs
        }
        lines = [
            f"mask = torch.ones({size.batch}, {size.keys}, dtype=torch.bool)",
            f"longer = torch.cat([torch.zeros({size.batch}, {moved}, dtype=torch.bool), mask], 1)",
            f"first = {call(target, Kind.KEYS)}",
            f"second = {call(target, Kind.KEYS, mask='longer', **before)}[:, {moved}:]",
        ]
        yield Probe(tuple(lines), (Kind.KEYS,), f"moving all positions by {moved} changes the context")


def _not_relative(target: Target) -> str:
    if target.asked.positions != "relative":
        return "only with --positions relative"
    return (
        "lengths cannot exclude positions at the beginning"
        if target.convention.mask is Mask.LENGTHS
        else no_mask(target)
    )


def _no_offset(target: Target) -> str:
    if reason := not_causal(target):
        return reason
    if not target.convention.offset:
        return "it has no parameter for the index of the first query, such as offset"
    return "it is called with one sequence" if target.convention.is_self else ""


CHECKS = (
    Check("future", "later positions have no influence", not_causal, _future, dtypes=TRAINED),
    Check("present", "each query attends to its own position", lambda t: not_causal(t) or no_gradients(t), _present),
    Check("steps", "one query at a time gives what all give at once", _no_offset, _steps),
    Check("distances", "moving queries and keys alike changes nothing", _not_relative, _relative),
)
