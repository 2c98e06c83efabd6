"""Sentences, queries and calls that have nothing to do with each other."""

from collections.abc import Iterator

from attnbench.guarding.checks.masks import masks, rows
from attnbench.guarding.choices import Mask
from attnbench.guarding.convention import Kind
from attnbench.guarding.probe import SMALL, Check, Probe, Size, call
from attnbench.guarding.reasons import has_order
from attnbench.guarding.target import Target

_ORDER = (
    "the order of the keys and their values changes the context; if it is meant to, say so: --causal, or --positions "
    "absolute|relative"
)


def kind_of(target: Target) -> Kind:
    """The mask that a call is given where any will do: none, if that is possible."""
    return Kind.NONE if target.takes(Kind.NONE) else Kind.KEYS if target.takes(Kind.KEYS) else Kind.PAIRS


def mask_line(target: Target, size: Size) -> list[str]:
    """The line of a mask that excludes nothing, for an attention that always takes one."""
    kind = kind_of(target)
    shape = f"{size.batch}, {size.keys}" if kind is Kind.KEYS else f"{size.batch}, {size.queries}, {size.keys}"
    return [] if kind is Kind.NONE else [f"mask = torch.ones({shape}, dtype=torch.bool)"]


def _inputs(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    def probe(kind: Kind, mask: list[str]) -> Probe:
        names = ", ".join([*target.convention.inputs, *(["mask"] if mask else [])])
        state = f"torch.cat([x.flatten() for x in [{names}]])"
        return Probe(
            (*mask, f"first = {state}", call(target, kind), f"second = {state}"), (kind,), "a call writes to its inputs"
        )

    if target.takes(Kind.NONE):
        yield probe(Kind.NONE, [])
    # Of masks that exclude the first position, some attentions may raise: other checks find this.
    if target.takes(Kind.KEYS):
        yield probe(Kind.KEYS, [f"mask = {masks(target, size, seed)[0]}"])
    if target.takes(Kind.PAIRS):
        shape = f"{size.batch}, {size.queries}, {size.keys}"
        yield probe(Kind.PAIRS, [f"mask = (torch.rand({shape}) < 0.5) | (torch.arange({size.keys}) == 0)"])


def _dtype(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind, query = kind_of(target), target.convention.inputs[0]
    lines = [
        *mask_line(target, size),
        f"context = {call(target, kind)}",
        f"first, second = torch.finfo(context.dtype).bits, torch.finfo({query}.dtype).bits",
    ]
    yield Probe(tuple(lines), (kind,), "the numbers of bits of the context and of the inputs are")


def _repeatable(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind = kind_of(target)
    lines = [*mask_line(target, size), f"first = {call(target, kind)}", f"second = {call(target, kind)}"]
    yield Probe(tuple(lines), (kind,), "two calls in eval mode give different contexts")


def _sentences(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    if size.batch < 2:
        return
    one = {name: f"{name}[i : i + 1]" for name in target.convention.inputs}
    breaks = "a sentence has another context in a batch than by itself"

    def probe(kind: Kind, mask: list[str], ending: str) -> Probe:
        each = call(target, kind, mask="mask[i : i + 1]", **one)
        lines = [
            *mask,
            f"first = {call(target, kind)}{ending}",
            f"second = torch.cat([{each} for i in range({size.batch})]){ending}",
        ]
        return Probe(tuple(lines), (kind,), breaks)

    yield probe(kind_of(target), mask_line(target, size), "")
    if target.takes(Kind.KEYS):
        yield probe(Kind.KEYS, [f"mask = {masks(target, size, seed)[0]}"], rows(target))


def _queries(target: Target, size: Size, _: int) -> Iterator[Probe]:
    if size.queries < 2:
        return
    kind = kind_of(target)
    query = target.convention.inputs[0]
    each = call(
        target, kind, mask="mask" if kind is Kind.KEYS else "mask[:, i : i + 1]", **{query: f"{query}[:, i : i + 1]"}
    )
    lines = [
        *mask_line(target, size),
        f"first = {call(target, kind)}",
        f"second = torch.cat([{each} for i in range({size.queries})], 1)",
    ]
    yield Probe(tuple(lines), (kind,), "a query has another context beside other queries than by itself")


def _permutation(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    source = {name: f"{name}[:, order]" for name in target.convention.of_source}

    def probe(kind: Kind, mask: list[str]) -> Probe:
        moved = "[:, order]" if target.convention.is_self else ""
        lines = [
            f"order = torch.randperm({size.keys})",
            *mask,
            f"first = {call(target, kind)}{moved}",
            f"second = {call(target, kind, mask='mask[..., order]', **source)}",
        ]
        kept = [*lines[:-2], *(f"{line}{rows(target, 'mask[:, order]')}" for line in lines[-2:])] if mask else lines
        return Probe(tuple(kept), (kind,), _ORDER)

    if target.takes(Kind.NONE):
        yield probe(Kind.NONE, [])
    if target.takes(Kind.KEYS) and target.convention.mask is not Mask.LENGTHS:
        for mask in masks(target, size, seed):
            yield probe(Kind.KEYS, [f"mask = {mask}"])


def _no_single_queries(target: Target) -> str:
    if target.convention.is_self:
        return "queries and keys are the same sequence"
    return has_order(target)


CHECKS = (
    Check("inputs", "a call does not write to its inputs", lambda _: "", _inputs, sizes=SMALL),
    Check("dtype", "the context has the dtype of the inputs", lambda _: "", _dtype, sizes=SMALL),
    Check("repeatable", "two calls in eval mode give the same context", lambda _: "", _repeatable),
    Check("batch", "a batch gives what its sentences give one by one", lambda _: "", _sentences),
    Check("queries", "a query's context does not depend on other queries", _no_single_queries, _queries),
    Check("permutation", "the order of the keys, with their values, does not matter", has_order, _permutation),
)
