"""A training step of all replicas; on a GPU it is replayed from CUDA graphs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from attnbench.training.adam import Adam
from attnbench.training.batches import Batch
from attnbench.training.graphs import Graphs, NotCaptured
from attnbench.training.stack import Stack
from attnbench.training.state import attributes_of

# The precision of the matrix products of training on a GPU: TF32, which multiplies float32 numbers of which 10 bits of
# the fraction are left, and adds in float32. On an H100 it is seven times as fast for large products. bfloat16 would be
# faster still for those, but slower for small ones, since the numbers have to be converted.
PRECISION = "high"


class Steps:
    """Takes training steps.

    Args:
        stack: the replicas.
        adam: their optimiser.
        clip: the largest norm of the gradient of each replica.
        device: the device to compute on.
        remark: called with a message if the steps cannot be replayed from CUDA graphs.

    A step is captured unless it changes numbers or text that a module keeps as attributes, as a user's score may do to
    count its calls: a replay would not change them.
    """

    def __init__(
        self, stack: Stack, adam: Adam, clip: float, device: torch.device, remark: Callable[[str], None]
    ) -> None:
        self.stack, self.adam, self.clip, self.device, self.remark = stack, adam, clip, device, remark
        self.graphs = Graphs(self._compute) if device.type == "cuda" else None

    def take(self, batch: Batch, rate: float) -> Tensor:
        """Takes a step with the learning rate `rate`; returns the losses (K,) in nats per target word."""
        if self.graphs is None:
            return self._compute(*batch, rate)
        self.stack.template.train()  # which is one of the attributes
        before = attributes_of(self.stack.template)
        # The rate as a tensor, because a graph repeats the numbers that it was captured with.
        arguments = *batch, torch.full((), rate, device=self.device)
        try:
            loss = self.graphs(*arguments)
        except NotCaptured as error:
            self._give_up(str(error))
            return self._compute(*arguments)
        if attributes_of(self.stack.template) != before:
            self._give_up("the model counts its calls")
        return loss

    def forget(self) -> None:
        """Frees the graphs. Required when the parameters have been replaced by other tensors."""
        if self.graphs is not None:
            self.graphs = Graphs(self._compute)

    def _compute(self, source: Tensor, previous: Tensor, target: Tensor, rate: float | Tensor) -> Tensor:
        with matrix_products(self.device):
            objective, loss = self.stack.loss(Batch(source, previous, target))
            # The replicas are independent, so the gradient of the sum is the gradient of each replica's objective.
            self.adam.step(objective.sum(), rate, self.clip)
        return loss

    def _give_up(self, why: str) -> None:
        self.graphs = None
        self.remark(f"the steps are not captured as CUDA graphs, and take longer: {why}")


@contextmanager
def matrix_products(device: torch.device, precision: str | None = None) -> Iterator[None]:
    """Computes matrix products and convolutions on a GPU with a precision, which is PRECISION by default."""
    precision = PRECISION if precision is None else precision
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision == "high"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
