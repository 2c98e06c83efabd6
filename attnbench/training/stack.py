"""The replicas of a pack as one model: the axis K lives here and nowhere else."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import BOS, EOS, PAD
from attnbench.training.batches import Batch, PaddedBatch


class Replica(nn.Module):
    """One model and what is computed with it. `functional_call` reaches a module's forward alone, so all pass there."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *arguments: Any) -> Any:
        """Calls one of the methods below."""
        return getattr(self, method)(*arguments)

    def loss(self, source: Tensor, previous: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The objective () and the negative log-likelihood () in nats per target word."""
        output = self.model(source, None, previous)
        log_likelihood, mask = _log_likelihood(output.words, target), target != PAD
        objective = self.model.objective(output, log_likelihood, None, mask)
        return objective, -((log_likelihood * mask).sum() / mask.sum()).detach()

    def forced(
        self, source: Tensor, previous: Tensor, target: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """With gold words as input: log-likelihoods (B,T) of the target words, and weights (B,T,S)."""
        output = self.model(source, lengths, previous)
        return _log_likelihood(output.words, target), output.weights

    def each_head(self, source: Tensor, previous: Tensor) -> Tensor:
        """With gold words as input: the weights (B,H,T,S) of a model of several heads."""
        heads = self.model(source, None, previous).heads
        assert heads is not None
        return heads

    def greedy(self, source: Tensor, steps: int, lengths: Tensor | None = None) -> Tensor:
        """The likeliest words (B,steps), each fed to the next step; PAD beyond EOS."""
        memory, state = self.model.encode(source, lengths)
        word = torch.full_like(source[:, 0], BOS)
        words, ended = [], torch.zeros_like(word, dtype=torch.bool)
        for index in range(steps):
            state, logits, _ = self.model.step(memory, state, word, index)
            word = logits.argmax(-1).masked_fill(ended, PAD)
            words.append(word)
            ended = ended | (word == EOS)
        return torch.stack(words, dim=1)


class Stack:
    """K replicas, one per seed, trained and evaluated together; none can see another.

    `parameters` holds tensors with a leading axis K. `half`: whether training's matrix products are taken in bfloat16,
    as on a GPU; the weights, their gradients, softmax and the loss stay in float32, and evaluation is all in float32.
    """

    def __init__(self, build: Callable[[int], Seq2Seq], seeds: Sequence[int], device: torch.device) -> None:
        self.replicas = len(seeds)
        replicas = [Replica(build(seed)).to(device) for seed in seeds]
        self.template = replicas[0]
        self.parameters, self.buffers = stack_module_state(replicas)
        self.half = device.type == "cuda" and self.template.model.half_precision

    def size(self) -> int:
        """The number of parameters of one replica."""
        return sum(p[0].numel() for p in self.parameters.values())

    def state(self) -> dict[str, Tensor]:
        """The parameters and buffers by name, each with a leading axis K."""
        return self.parameters | self.buffers

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes over what `state` gave before."""
        self.parameters = {name: state[name] for name in self.parameters}
        self.buffers = {name: state[name] for name in self.buffers}

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Per replica, (K,): the objective, to be summed and differentiated, and the loss in nats per word."""
        self.template.train()
        with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=self.half):
            return self._call("loss", 0, *batch)

    @torch.no_grad()
    def forced(self, batch: Batch | PaddedBatch) -> tuple[Tensor, Tensor]:
        """On a batch that all replicas share: log-likelihoods (K,B,T) of the gold words, weights (K,B,T,S)."""
        self.template.eval()
        return self._call("forced", None, *batch)

    @torch.no_grad()
    def each_head(self, batch: Batch) -> Tensor:
        """On a batch that all replicas share: the weights (K,B,H,T,S), H = 0 where the alignment has a single head."""
        if self.template.model.alignment_heads == 1:
            shape = (self.replicas, len(batch.source), 0, batch.target.shape[1], batch.source.shape[1])
            return torch.zeros(shape, device=batch.source.device)
        self.template.eval()
        return self._call("each_head", None, batch.source, batch.previous)

    @torch.no_grad()
    def greedy(self, batch: Batch | PaddedBatch, steps: int) -> Tensor:
        """On a batch that all replicas share: the words (K,B,steps) of greedy decoding."""
        self.template.eval()
        return self._call("greedy", None, batch.source, steps, getattr(batch, "lengths", None))

    def _call(self, method: str, data_axis: int | None, *data: Any) -> Any:
        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *data: Any) -> Any:
            return functional_call(self.template, (parameters, buffers), (method, *data))

        if data_axis is None:  # each replica its own, without a copy: torch gathers a table's rows faster so
            data = tuple(d.expand(self.replicas, *d.shape) if isinstance(d, Tensor) else d for d in data)
        axes = tuple(0 if isinstance(d, Tensor) else None for d in data)
        return vmap(one, in_dims=(0, 0, *axes), randomness="different")(self.parameters, self.buffers, *data)


def _log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
