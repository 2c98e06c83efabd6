"""Keeps, for each replica, the weights that were best on validation."""

import math

import torch
from torch import Tensor

from attnbench.training.metrics import Metrics


class Selection:
    """The best weights so far: the highest exact match on validation, then the lowest loss.

    Args:
        state: the parameters and buffers of the stack, each with a leading axis K.
        replicas: K.
    """

    def __init__(self, state: dict[str, Tensor], replicas: int) -> None:
        self.best = {name: p.detach().clone() for name, p in state.items()}
        self._marks = [(-1.0, -math.inf)] * replicas

    def offer(self, state: dict[str, Tensor], metrics: list[Metrics]) -> None:
        """Takes over the weights of those replicas that are better than they were."""
        marks = [_mark(row) for row in metrics]
        better = [new > old for new, old in zip(marks, self._marks, strict=True)]
        self._marks = [max(pair) for pair in zip(marks, self._marks, strict=True)]
        rows = torch.tensor(better).nonzero().squeeze(1)
        for name, tensor in state.items():
            self.best[name][rows] = tensor.detach()[rows]


def _mark(row: Metrics) -> tuple[float, float]:
    """What is compared: higher is better. A loss that is no number is worse than any."""
    exact_match, loss = row["exact_match"], row["loss"]
    assert exact_match is not None
    assert loss is not None
    return exact_match, -loss if math.isfinite(loss) else -math.inf
