"""What a masked position may not do."""

from collections.abc import Iterator
from random import Random

from attnbench.guarding.choices import Mask
from attnbench.guarding.convention import Kind
from attnbench.guarding.probe import SMALL, TRAINED, Check, Probe, Size, call
from attnbench.guarding.reasons import no_gradients, no_mask, no_pairs
from attnbench.guarding.target import Target


def masks(target: Target, size: Size, seed: int) -> list[str]:
    """The text of masks (B,S): with the ends padded, the beginnings, and with holes; no sentence is wholly padded.

    Lengths can give the first of them alone.
    """
    random = Random(f"{seed} {size}")
    lengths = [random.randint(1, size.keys) for _ in range(size.batch)]
    lengths[-1] = min(lengths[-1], size.keys - 1)  # some padding
    column = f"torch.tensor({[[length] for length in lengths]})"
    starts = f"torch.tensor({[[size.keys - length] for length in lengths]})"
    holes = (
        f"(torch.rand({size.batch}, {size.keys}) < 0.5) | (torch.arange({size.keys}) == {random.randrange(size.keys)})"
    )
    if target.convention.mask is Mask.LENGTHS:
        return [f"torch.arange({size.keys}) < {column}"]
    return [f"torch.arange({size.keys}) < {column}", f"torch.arange({size.keys}) >= {starts}", holes]


def rows(target: Target, mask: str = "mask") -> str:
    """The index of the queries whose context is compared: where queries are keys too, those that are not masked."""
    return f"[{mask}]" if target.convention.is_self or target.asked.causal else ""


def replaced(target: Target, fill: str) -> list[str]:
    """The lines that replace the masked positions of the source."""
    return [
        f"other_{name} = torch.where(mask[..., None], {name}, {fill.format(name)})"
        for name in target.convention.of_source
    ]


def others(target: Target) -> dict[str, str]:
    """The replaced inputs by name."""
    return {name: f"other_{name}" for name in target.convention.of_source}


def _padding(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    for mask in masks(target, size, seed):
        for fill in ("torch.randn_like({})", "100 * torch.randn_like({})"):
            lines = [
                f"mask = {mask}",
                *replaced(target, fill),
                f"first = {call(target, Kind.KEYS)}{rows(target)}",
                f"second = {call(target, Kind.KEYS, **others(target))}{rows(target)}",
            ]
            yield Probe(tuple(lines), (Kind.KEYS,), "what stands at masked positions changes the context")


def _padding_gradients(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    names = target.convention.of_source
    for mask in masks(target, size, seed):
        lines = [
            f"mask = {mask}",
            f"context = {call(target, Kind.KEYS)}{rows(target)}",
            "loss = (context * torch.randn_like(context)).sum()",
            f"gradients = torch.autograd.grad(loss, [{', '.join(names)}], materialize_grads=True)",
            "first = torch.stack([gradient[~mask] for gradient in gradients])",
            "second = torch.zeros_like(first)",
        ]
        yield Probe(tuple(lines), (Kind.KEYS,), "masked positions get a gradient", gradients=True)


def _padding_nan(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    lines = [
        f"mask = {masks(target, size, seed)[0]}",
        *replaced(target, "torch.nan"),
        f"first = {call(target, Kind.KEYS)}{rows(target)}",
        f"second = {call(target, Kind.KEYS, **others(target))}{rows(target)}",
    ]
    yield Probe(tuple(lines), (Kind.KEYS,), "NaN at masked positions gets into the context")


def _pairs(target: Target, size: Size, _: int) -> Iterator[Probe]:
    # Each query has a mask of its own; one position of the source changes, for the queries that may not see it.
    last = size.keys - 1
    seen = f"mask[..., {last}]"
    unseen = f"~{seen} & (torch.arange({size.queries}) != {last})" if target.convention.is_self else f"~{seen}"
    random = f"(torch.rand({size.batch}, {size.queries}, {size.keys}) < 0.5) | (torch.arange({size.keys}) == 0)"
    triangle = f"torch.ones({size.batch}, {size.queries}, {size.keys}, dtype=torch.bool).tril()"
    changes = [f"other_{name} = {name}.clone(); other_{name}[:, {last}] += 10" for name in target.convention.of_source]
    for mask in (random, triangle):
        lines = [
            f"mask = {mask}",
            *changes,
            f"first = {call(target, Kind.PAIRS)}[{unseen}]",
            f"second = {call(target, Kind.PAIRS, **others(target))}[{unseen}]",
        ]
        yield Probe(tuple(lines), (Kind.PAIRS,), "a position changes the context of a query whose mask excludes it")


def _truncation(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    kept = Random(f"{seed} {size}").randint(1, size.keys - 1)
    square = target.convention.is_self or target.asked.causal
    names = target.convention.inputs if square else target.convention.of_source
    shortened = {name: f"{name}[:, :{kept}]" for name in names}
    lines = [
        f"mask = (torch.arange({size.keys}) < {kept}).repeat({size.batch}, 1)",
        f"first = {call(target, Kind.KEYS)}" + (f"[:, :{kept}]" if square else ""),
    ]
    breaks = "masked positions at the end give another context than no such positions"
    second = f"second = {call(target, Kind.KEYS, mask=f'mask[:, :{kept}]', **shortened)}"
    yield Probe((*lines, second), (Kind.KEYS,), breaks)
    if target.takes(Kind.NONE):
        second = f"second = {call(target, Kind.NONE, **shortened)}"
        yield Probe((*lines, second), (Kind.KEYS, Kind.NONE), f"{breaks}, without a mask")


def _unmasked(target: Target, size: Size, _: int) -> Iterator[Probe]:
    shape = f"{size.batch}, {size.keys}"
    lines = (
        f"mask = torch.ones({shape}, dtype=torch.bool)",
        f"first = {call(target, Kind.KEYS)}",
        f"second = {call(target, Kind.NONE)}",
    )
    yield Probe(lines, (Kind.KEYS, Kind.NONE), "a mask that excludes nothing gives another context than no mask")


def _empty(target: Target, size: Size, _: int) -> Iterator[Probe]:
    def probe(kind: Kind, shape: str, empty: str) -> Probe:
        lines = [
            f"mask = torch.ones({shape}, dtype=torch.bool)",
            f"mask[{empty}] = False",
            f"first = {call(target, kind)}",
        ]
        lines.append("second = first.nan_to_num(0, 0, 0)")
        return Probe(tuple(lines), (kind,), "a row without valid positions gives a context that is not finite")

    if target.takes(Kind.KEYS):
        yield probe(Kind.KEYS, f"{size.batch}, {size.keys}", "0")
    if target.takes(Kind.PAIRS):
        yield probe(Kind.PAIRS, f"{size.batch}, {size.queries}, {size.keys}", "0, -1")


def _empty_gradients(target: Target, size: Size, _: int) -> Iterator[Probe]:
    inputs = ", ".join(target.convention.inputs)
    lines = (
        f"mask = torch.ones({size.batch}, {size.keys}, dtype=torch.bool)",
        "mask[0] = False",
        f"context = {call(target, Kind.KEYS)}",
        "loss = (context * torch.randn_like(context)).sum()",
        f"gradients = torch.autograd.grad(loss, [{inputs}], materialize_grads=True)",
        "first = torch.cat([gradient.flatten() for gradient in gradients])",
        "second = first.nan_to_num(0, 0, 0)",
    )
    yield Probe(
        lines, (Kind.KEYS,), "a row without valid positions gives gradients that are not finite", gradients=True
    )


def _no_second_call(target: Target) -> str:
    return no_mask(target) or ("" if target.takes(Kind.NONE) else "it always takes a mask")


def _no_empty(target: Target) -> str:
    return no_mask(target) and no_pairs(target)


CHECKS = (
    Check(
        "padding", "what stands at masked positions has no influence on the context", no_mask, _padding, dtypes=TRAINED
    ),
    Check(
        "padding gradients",
        "masked positions get no gradient",
        lambda target: no_mask(target) or no_gradients(target),
        _padding_gradients,
    ),
    Check("padding NaN", "NaN at masked positions has no influence", no_mask, _padding_nan, sizes=SMALL, warns=True),
    Check("mask of pairs", "a position has no influence on a query whose mask excludes it", no_pairs, _pairs),
    Check("truncation", "masked positions at the end are as if they were not there", no_mask, _truncation),
    Check("full mask", "a mask that excludes nothing is as no mask", _no_second_call, _unmasked),
    Check("empty rows", "a row without valid positions gives no NaN", _no_empty, _empty),
    Check(
        "empty rows' gradients",
        "a row without valid positions gives no NaN in gradients",
        lambda target: no_mask(target) or no_gradients(target),
        _empty_gradients,
    ),
)  # fmt: skip
