"""What several tests of training need: to watch it, and to compute in float64."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from attnbench.training import adam, tested
from attnbench.training import train as module
from attnbench.training.batches import Batch
from attnbench.training.stack import Stack


class Watched:
    """What passed through training so far, one entry per step."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.losses: list[Tensor] = []
        # (K, N): all weights of a replica in a row, before the step and its gradient.
        self.weights: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def clear(self) -> None:
        """Forgets what it saw."""
        for seen in vars(self).values():
            seen.clear()


@pytest.fixture
def watched(monkeypatch) -> Watched:
    """Notes what the stack is given and gives, and the gradients that the optimizer gets."""
    seen, loss = Watched(), Stack.loss

    def noting(stack: Stack, batch: Batch) -> tuple[Tensor, Tensor]:
        seen.weights.append(flat(list(stack.parameters.values())))
        objective, nats = loss(stack, batch)
        seen.batches.append(batch)
        seen.losses.append(nats.clone())
        return objective, nats

    def noting_gradients(parameters: list[Tensor], gradients: list[Tensor], *rest, **options) -> None:
        seen.gradients.append(flat(gradients))
        step(parameters, gradients, *rest, **options)

    monkeypatch.setattr(Stack, "loss", noting)
    step = adam.adam
    monkeypatch.setattr(adam, "adam", noting_gradients)
    return seen


@pytest.fixture
def accuracies(monkeypatch) -> Callable[[list[tuple[float, ...]]], None]:
    """`accuracies(rows)`: validation reports these exact matches, a row per validation, a column per replica."""

    def install(rows: list[tuple[float, ...]]) -> None:
        plain, left = module.evaluate, iter(rows)

        def evaluate(*arguments):
            metrics = plain(*arguments)
            for row, exact in zip(metrics, next(left, [0.0] * len(metrics)), strict=True):
                row["exact_match"] = exact
            return metrics

        for place in (module, tested):
            monkeypatch.setattr(place, "evaluate", evaluate)

    return install


def flat(tensors: list[Tensor]) -> Tensor:
    """(K, N) of tensors (K, …)."""
    return torch.cat([t.detach().reshape(len(t), -1) for t in tensors], dim=1).clone()


@pytest.fixture
def in_float64() -> Iterator[None]:
    """Models are built in float64, so that rounding is no excuse."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
