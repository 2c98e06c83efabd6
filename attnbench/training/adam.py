"""Adam with clipped gradients, for replicas that are stacked along a leading axis K."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam as torch.optim.Adam has it, by the function beneath it.

    The class imports torch's compiler when it is built, which takes each worker a second.

    Source: Kingma & Ba 2015, algorithm 1 (arXiv 1412.6980), with β₁ = .9, β₂ = .999, ε = 1e-8
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.means, self.squares = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float, clip: float) -> None:
        """Takes a step, each replica's gradient scaled to at most the norm `clip`, and forgets the gradients."""
        used = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        gradients = [g for p in self.parameters if (g := p.grad) is not None]
        clip_norms(gradients, clip)
        adam(
            [self.parameters[i] for i in used],
            gradients,
            [self.means[i] for i in used],
            [self.squares[i] for i in used],
            [],
            [self.steps[i] for i in used],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None


def clip_norms(gradients: Sequence[Tensor], clip: float) -> None:
    """Scales each replica's gradient, in tensors (K,…), to at most the norm `clip`, in place."""
    squares = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0)  # (K,)
    scale = (clip / (squares.sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
