"""Gradients: finite, and those of the function that is computed."""

from collections.abc import Iterator

import torch

from attnbench.guarding.checks.batches import kind_of, mask_line
from attnbench.guarding.probe import SMALL, Check, Probe, Size, call
from attnbench.guarding.reasons import no_gradients
from attnbench.guarding.target import Target

# Of central differences. With the smaller one rounding counts if a part computes in float32, with the larger one the
# kinks of normalisers such as sparsemax.
STEPS = "(1e-3, 1e-5)"
TOLERANCE = 2e-3


def _finite(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind, names = kind_of(target), ", ".join(target.convention.inputs)
    # A frozen parameter has no gradient.
    parameters = " + [p for p in module.parameters() if p.requires_grad]" if target.loaded.is_module else ""
    for scale in (1.0, 30.0):
        lines = [
            *mask_line(target, size),
            f"context = {call(target, kind)}",
            "loss = (context * torch.randn_like(context)).sum()",
            f"gradients = torch.autograd.grad(loss, [{names}]{parameters}, materialize_grads=True)",
            "first = torch.cat([gradient.flatten() for gradient in gradients])",
            "second = first.nan_to_num(0, 0, 0)",
        ]
        yield Probe(tuple(lines), (kind,), "a gradient is not finite", scale=scale, gradients=True)


def _gradcheck(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind = kind_of(target)
    for name in target.convention.inputs:
        moved = call(target, kind, **{name: f"{name} + h * direction"})
        back = call(target, kind, **{name: f"{name} - h * direction"})
        lines = [
            *mask_line(target, size),
            f"context = {call(target, kind)}",
            f"weight, direction = torch.randn_like(context), torch.randn_like({name})",
            f"gradient = torch.autograd.grad((context * weight).sum(), {name}, materialize_grads=True)[0]",
            "first = (gradient * direction).sum()",
            f"differences = [((({moved}) - ({back})) * weight).sum() / (2 * h) for h in {STEPS}]",
            "second = min(differences, key=lambda difference: abs(difference - first))",
        ]
        breaks = (
            f"the gradient of {name} is not that of the context: along a direction, it and a difference quotient are"
        )
        yield Probe(tuple(lines), (kind,), breaks, tolerance=TOLERANCE, gradients=True)


CHECKS = (
    Check("gradients", "gradients of inputs and parameters are finite", no_gradients, _finite),
    Check(
        "gradcheck",
        "gradients agree with difference quotients",
        no_gradients,
        _gradcheck,
        sizes=SMALL,
        dtypes=(torch.float64,),
    ),
)
