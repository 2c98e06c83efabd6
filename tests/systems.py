"""Attentions and inputs for the tests that loop over every registered score and scope."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import attnbench
from attnbench import registry

WIDTH, LONGEST, WINDOW = 6, 7, 1
LENGTHS = torch.tensor([7, 4, 1])

SCORES = registry.score.names()
SCOPES = registry.scope.names()


class Case(NamedTuple):
    """A scope with its options, in training or in evaluation."""

    scope: str
    training: bool = False
    options: Mapping[str, Any] = MappingProxyType({})
    noise: bool = True

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return "-".join([self.scope, *self.options.values(), mode, *([] if self.noise else ["without-noise"])])


class Silence(torch.nn.Module):
    """Noise of 0, in the place of `attnbench.noise.Noise`: what is left is the expectation, and deterministic."""

    def begin(self) -> None:
        pass

    def normal(self, like: Tensor, _step: int) -> Tensor:
        return torch.zeros_like(like)


ESTIMATORS = ("reinforce", "straight_through", "gumbel", "exact")
CASES = [
    *(Case(scope, training) for scope in SCOPES for training in (False, True)),
    *(Case("hard", True, {"estimator": estimator}) for estimator in ESTIMATORS),
    Case("monotonic", True, noise=False),
]
NOISY = Case("monotonic", True)
# The cases that draw nothing. The first minibatch of `reinforce` is a soft one.
DETERMINISTIC = [c for c in CASES if c.options.get("estimator") in (None, "exact", "reinforce") and c != NOISY]
# The cases whose weights have a gradient.
DIFFERENTIABLE = [c for c in CASES if c.training]


def build(score: str, case: Case, seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """An attention whose scope, if it has a window, has one narrower than the sources."""
    torch.manual_seed(seed)
    scope: dict[str, Any] = {"name": case.scope, **case.options}
    if registry.scope.entry(case.scope).takes("window"):
        scope["window"] = options.pop("window", WINDOW)
    longest = options.pop("max_source_length", LONGEST)
    attend = attnbench.Attention(score=score, scope=scope, width=WIDTH, max_source_length=longest, **options)
    if not case.noise:
        attend.scope.noise = Silence()
    return attend.to(dtype).train(case.training)


def inputs(seed: int = 1, dtype: torch.dtype = torch.float64, steps: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Random query (3,T,6), keys and values (3,7,6), keys and values different from each other."""
    random = torch.Generator().manual_seed(seed)
    shapes = ((3, steps, WIDTH), (3, LONGEST, WIDTH), (3, LONGEST, WIDTH))
    query, keys, values = (torch.randn(s, generator=random, dtype=torch.float64).to(dtype) for s in shapes)
    return query, keys, values


def outside(lengths: Tensor, source_length: int) -> Tensor:
    """(B,S), True on padding."""
    return torch.arange(source_length) >= lengths[:, None]


def numpy_state(module: Any) -> dict[str, np.ndarray]:
    """The state_dict as arrays; empty where there is no module."""
    return {} if module is None else {k: v.detach().numpy() for k, v in module.state_dict().items()}
