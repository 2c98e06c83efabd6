"""Adam with gradient clipping, for replicas stacked along a leading axis K."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The Adam optimiser, with the same numbers as torch.optim.Adam.

    Source: Kingma & Ba 2015, algorithm 1 (arXiv 1412.6980), with β₁ = .9, β₂ = .999, ε = 1e-8

    Args:
        parameters: tensors (K,…).
    """

    # It calls torch's functional interface, because the constructor of torch.optim.Adam imports torch's compiler, which
    # takes about a second in each worker.

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.trained = [index for index, parameter in enumerate(self.parameters) if parameter.requires_grad]
        self.means, self.squares = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    def state(self) -> list[Tensor]:
        """Returns the moments and the numbers of steps, which the next steps depend on."""
        return [*self.means, *self.squares, *self.steps]

    def keep(self, parameters: Sequence[Tensor], rows: Sequence[int]) -> None:
        """Continues with these rows of the replicas, whose parameters are the given tensors."""
        kept = torch.tensor(rows, device=self.parameters[0].device)
        self.parameters = list(parameters)
        self.means = [mean.index_select(0, kept) for mean in self.means]
        self.squares = [square.index_select(0, kept) for square in self.squares]

    def step(self, objective: Tensor, learning_rate: float | Tensor, clip: float) -> None:
        """Takes a step that decreases the objective, a scalar, with the gradient of each replica clipped to `clip`.

        Args:
            objective: the sum of the objectives of the replicas, which are independent.
            learning_rate: on a GPU it may be a tensor.
            clip: the largest norm of a replica's gradient.
        """
        found = torch.autograd.grad(objective, [self.parameters[i] for i in self.trained], allow_unused=True)
        # A parameter that the loss does not depend on has no gradient.
        used = [i for i, gradient in zip(self.trained, found, strict=True) if gradient is not None]
        gradients = [gradient for gradient in found if gradient is not None]
        with torch.no_grad():
            adam(
                [self.parameters[i] for i in used],
                clipped(gradients, clip),
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


def clipped(gradients: Sequence[Tensor], clip: float) -> list[Tensor]:
    """Returns the gradients (K,…) with those of each replica, over all tensors, scaled to a norm of at most `clip`."""
    # torch.nn.utils.clip_grad_norm_ would use a norm over all replicas, which would make them depend on each other.
    squares = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0)  # (K,)
    scale = (clip / (squares.sqrt() + 1e-6)).clamp(max=1)
    # Not in place: parameters that are added together have the same tensor as gradient. Contiguous like the parameters:
    # torch's fused Adam takes the numbers in the order in which they are in memory.
    return [(gradient * scale.view(-1, *[1] * (gradient.ndim - 1))).contiguous() for gradient in gradients]
