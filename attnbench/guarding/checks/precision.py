"""Half precision, and the backends of scaled_dot_product_attention."""

from collections.abc import Callable, Iterator

import torch

from attnbench.guarding.checks.batches import kind_of, mask_line
from attnbench.guarding.convention import Kind
from attnbench.guarding.probe import TOLERANCES, Check, Probe, Size, call
from attnbench.guarding.reasons import no_backends, not_computed_in
from attnbench.guarding.target import Target

LARGE = 8.0  # inputs for which logits are large, but far from the largest number of float16, 65,504


def _near(dtype: torch.dtype) -> Callable[[Target, Size, int], Iterator[Probe]]:
    """Returns the probes of a dtype of half precision."""

    def probes(target: Target, size: Size, _: int) -> Iterator[Probe]:
        """Compares with float32; large inputs, and a mask, give finite contexts."""
        kind = kind_of(target)
        rounded = {name: f"{name}.to({dtype})" for name in target.convention.inputs}
        back = {name: f"{name}.to({dtype}).float()" for name in target.convention.inputs}
        module = [f"module = module.to({dtype})"] if target.loaded.is_module else []
        lines = [
            *mask_line(target, size),
            f"first = {call(target, kind, **back)}",
            *module,
            f"second = {call(target, kind, **rounded)}.float()",
        ]
        breaks = f"the context in {str(dtype).removeprefix('torch.')} is far from that in float32"
        yield Probe(tuple(lines), (kind,), breaks, tolerance=TOLERANCES[dtype], changes_module=True)
        lines = [
            *mask_line(target, size),
            *module,
            f"first = {call(target, kind, **rounded)}",
            "second = first.nan_to_num(0, 0, 0)",
        ]
        breaks = f"large inputs give a context that is not finite in {str(dtype).removeprefix('torch.')}"
        yield Probe(tuple(lines), (kind,), breaks, scale=LARGE, changes_module=True)
        if target.takes(Kind.KEYS):
            mask = f"mask = torch.arange({size.keys}) < torch.full(({size.batch}, 1), {max(1, size.keys // 2)})"
            masked = [
                mask,
                *lines[len(mask_line(target, size)) : -2],
                f"first = {call(target, Kind.KEYS, **rounded)}",
                lines[-1],
            ]
            breaks = f"a mask gives a context that is not finite in {str(dtype).removeprefix('torch.')}"
            yield Probe(tuple(masked), (Kind.KEYS,), breaks, changes_module=True)

    return probes


def _backends(target: Target, size: Size, _: int) -> Iterator[Probe]:
    math = "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):"
    kind = kind_of(target)
    breaks = "the backend that PyTorch chooses and its backend MATH give different contexts"
    lines = [*mask_line(target, size), f"first = {call(target, kind)}", math, f"    second = {call(target, kind)}"]
    yield Probe(tuple(lines), (kind,), breaks)
    if target.takes(Kind.KEYS):
        mask = f"mask = torch.arange({size.keys}) < torch.full(({size.batch}, 1), {max(1, size.keys // 2)})"
        lines = [mask, f"first = {call(target, Kind.KEYS)}", math, f"    second = {call(target, Kind.KEYS)}"]
        yield Probe(tuple(lines), (Kind.KEYS,), breaks)


CHECKS = (
    *(
        Check(
            str(dtype).removeprefix("torch."),
            f"{str(dtype).removeprefix('torch.')} is near float32, and finite",
            not_computed_in(dtype),
            _near(dtype),
            dtypes=(torch.float32,),
        )
        for dtype in (torch.float16, torch.bfloat16)
    ),
    Check("backends", "the backends of scaled_dot_product_attention agree", no_backends, _backends),
)
