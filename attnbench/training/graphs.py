"""CUDA graphs: the kernels of a computation are recorded once, and all launched together afterwards.

A training step of a small model launches thousands of short kernels. Launching each of them from Python takes much
longer than computing them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from attnbench.messages import message_of

Shapes = tuple[torch.Size, ...]


class NotCaptured(Exception):
    """A computation cannot be captured, e.g. because it copies between CPU and GPU; the message says why."""


class Recorded(NamedTuple):
    """A captured computation, with the tensors that it reads its arguments from and writes its result to."""

    graph: torch.cuda.CUDAGraph
    arguments: list[Tensor]
    result: Tensor


class Graphs:
    """A computation on a GPU that is replayed from CUDA graphs, one for each combination of shapes.

    The first call with new shapes computes as usual, which also initialises the libraries that the computation uses.
    The second call is captured. It and all later ones are replayed.

    Args:
        compute: the computation, of tensors on the GPU. Everything else that it reads and writes must stay at its place
            in memory. It must not depend on Python's state, as a replay does not run its code.
    """

    def __init__(self, compute: Callable[..., Tensor]) -> None:
        self._compute = compute
        self._seen: set[Shapes] = set()
        self._recorded: dict[Shapes, Recorded] = {}
        # The graphs share their memory: what a graph leaves there is not needed once its result has been copied.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Returns the result for the arguments.

        Raises:
            NotCaptured: if the computation cannot be captured. It has not been computed then.
        """
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self._seen:
            self._seen.add(shapes)
            return self._compute(*arguments)
        if shapes not in self._recorded:
            self._recorded[shapes] = self._record(arguments)
        recorded = self._recorded[shapes]
        for place, argument in zip(recorded.arguments, arguments, strict=True):
            place.copy_(argument, non_blocking=True)
        recorded.graph.replay()
        return recorded.result.clone()

    def _record(self, arguments: tuple[Tensor, ...]) -> Recorded:
        graph, places = torch.cuda.CUDAGraph(), [argument.clone() for argument in arguments]
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                result = self._compute(*places)
        except RuntimeError as error:
            raise NotCaptured(message_of(error).strip().partition("\n")[0]) from error
        return Recorded(graph, places, result)
