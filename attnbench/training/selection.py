"""Selection of the best weights of each replica on the validation set."""

import math
from collections.abc import Sequence

from torch import Tensor

from attnbench.training.metrics import Metrics


class Selection:
    """The best weights so far of each replica: the highest exact match on validation, then the lowest loss.

    Args:
        state: the parameters and buffers of the stack, each with a leading axis K.
        replicas: K.

    Attributes:
        best: the selected parameters and buffers, each with a leading axis K.
        marks: the exact match and the negative loss of each, (−1, −∞) before the first validation.
    """

    def __init__(self, state: dict[str, Tensor], replicas: int) -> None:
        # Copies: the optimiser changes the parameters in place.
        self.best = {name: p.detach().clone() for name, p in state.items()}
        self.marks = [(-1.0, -math.inf)] * replicas

    def offer(self, state: dict[str, Tensor], metrics: list[Metrics], replicas: Sequence[int]) -> None:
        """Copies the weights of the replicas that are better than before.

        Args:
            state: the parameters and buffers of the replicas in training.
            metrics: of each of them on validation.
            replicas: their numbers among all K.
        """
        # Row by row: the replicas reach their best at different steps.
        for row, (replica, found) in enumerate(zip(replicas, metrics, strict=True)):
            mark = _mark(found)
            if mark > self.marks[replica]:
                self.marks[replica] = mark
                for name, tensor in state.items():
                    self.best[name][replica] = tensor.detach()[row]


def _mark(row: Metrics) -> tuple[float, float]:
    """Returns the values to compare, higher being better; a loss that is not finite is the worst."""
    exact_match, loss = row["exact_match"], row["loss"]
    assert exact_match is not None
    assert loss is not None
    return exact_match, -loss if math.isfinite(loss) else -math.inf
