"""The optimiser against torch's own."""

import math

import pytest
import torch
from torch import Tensor

from attnbench.training.adam import Adam

SHAPES = ((4, 3), (5,), ())
REPLICAS, STEPS = 3, 10


def drawn(seed: int) -> list[Tensor]:
    """One tensor (K,…) per shape; the scale differs between the steps, so that both averages matter."""
    random = torch.Generator().manual_seed(seed)
    return [3.0 ** (seed % 5) * torch.randn(REPLICAS, *s, generator=random, dtype=torch.float64) for s in SHAPES]


def with_gradients(parameters: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """An objective with these gradients."""
    return torch.stack([(p * g).sum() for p, g in zip(parameters, gradients, strict=True)]).sum()


@pytest.mark.parametrize("clip", [math.inf, 1e6, 2.0])
def test_ten_steps_are_those_of_torchs_adam_for_each_replica(clip):
    """Without clipping, with a bound that no gradient reaches, and with one that some of them exceed."""
    stacked = [p.requires_grad_() for p in drawn(100)]
    singles = [[torch.nn.Parameter(p[k].detach().clone()) for p in stacked] for k in range(REPLICAS)]
    ours = Adam(stacked)
    theirs = [torch.optim.Adam(parameters, lr=0.01) for parameters in singles]
    clipped = 0
    for step in range(STEPS):
        gradients = drawn(step)
        ours.step(with_gradients(stacked, gradients), 0.01, clip)
        for k, (parameters, optimizer) in enumerate(zip(singles, theirs, strict=True)):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient[k].clone()
            if clip < math.inf:
                clipped += int(torch.nn.utils.clip_grad_norm_(parameters, clip) > clip)
            optimizer.step()
        for k, parameters in enumerate(singles):
            for parameter, one in zip(stacked, parameters, strict=True):
                torch.testing.assert_close(parameter[k], one, rtol=1e-12, atol=1e-12)
    assert bool(clipped) == (clip == 2)


def test_a_parameter_without_a_gradient_stays_as_it_is_and_is_not_counted():
    parameters = [p.requires_grad_() for p in drawn(100)]
    start = [p.detach().clone() for p in parameters]
    ours, other = Adam(parameters), torch.nn.Parameter(start[1].clone())
    theirs = torch.optim.Adam([other], lr=0.01)
    for step in range(STEPS):
        gradients = drawn(step)
        used = 1
        if step > 4:  # the first gradient of the second one comes later
            used, other.grad = 2, gradients[1].clone()
            theirs.step()
        ours.step(with_gradients(parameters[:used], gradients[:used]), 0.01, math.inf)
    assert torch.equal(parameters[2], start[2])
    torch.testing.assert_close(parameters[1].detach(), other.detach(), rtol=1e-12, atol=1e-12)


def test_parameters_that_are_added_are_each_clipped_once():
    """Both have the same tensor as gradient, which must not be scaled twice."""
    first, second = (torch.zeros(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    ours, alone = Adam([first, second]), torch.zeros(2, 8, dtype=torch.float64, requires_grad=True)
    theirs = Adam([alone])
    weights = torch.arange(1.0, 5.0, dtype=torch.float64)
    for clip in (2.0, 0.5):  # Adam's own scale hides a factor that stays the same
        ours.step((first + second).mul(weights).sum(), 0.01, clip)
        theirs.step((alone * weights.repeat(2)).sum(), 0.01, clip)
    torch.testing.assert_close(torch.cat([first, second], dim=1), alone, rtol=1e-12, atol=1e-12)
