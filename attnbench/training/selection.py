"""Selection of the best weights of each replica on the validation set."""

import math

import torch
from torch import Tensor

from attnbench.training.metrics import Metrics


class Selection:
    """The best weights so far of each replica: the highest exact match on validation, then the lowest loss.

    Args:
        state: the parameters and buffers of the stack, each with a leading axis K.
        replicas: K.

    Attributes:
        best: the selected parameters and buffers, each with a leading axis K.
    """

    def __init__(self, state: dict[str, Tensor], replicas: int) -> None:
        # Copies: the optimiser changes the parameters in place.
        self.best = {name: p.detach().clone() for name, p in state.items()}
        self._marks = [(-1.0, -math.inf)] * replicas

    def offer(self, state: dict[str, Tensor], metrics: list[Metrics]) -> None:
        """Copies the weights of the replicas that are better than before."""
        marks = [_mark(row) for row in metrics]
        better = [new > old for new, old in zip(marks, self._marks, strict=True)]
        self._marks = [max(pair) for pair in zip(marks, self._marks, strict=True)]
        # Row by row: the replicas reach their best at different steps.
        rows = torch.tensor(better).nonzero().squeeze(1)
        for name, tensor in state.items():
            self.best[name][rows] = tensor.detach()[rows]


def _mark(row: Metrics) -> tuple[float, float]:
    """Returns the values to compare, higher being better; a loss that is not finite is the worst."""
    exact_match, loss = row["exact_match"], row["loss"]
    assert exact_match is not None
    assert loss is not None
    return exact_match, -loss if math.isfinite(loss) else -math.inf
