"""The replicas of a pack, stacked into one model with torch.func.vmap; models themselves have no axis K."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import BOS, EOS, PAD
from attnbench.training.batches import Batch, PaddedBatch
from attnbench.training.flops import Flops


class Replica(nn.Module):
    """One model with the computations of training and evaluation.

    `functional_call` can call only `forward`, so `forward` takes the name of the method to run.
    """

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *arguments: Any) -> Any:
        """Calls the method with the given name."""
        return getattr(self, method)(*arguments)

    def loss(self, source: Tensor, previous: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the objective and the negative log-likelihood in nats per target word, both scalars.

        They differ if the model or its scope has its own objective (see `Hard`); only the objective has a gradient.
        """
        output = self.model(source, None, previous)
        log_likelihood, mask = _log_likelihood(output.logits, target), target != PAD
        objective = self.model.objective(output, log_likelihood, None, mask)
        return objective, -((log_likelihood * mask).sum() / mask.sum()).detach()

    def forced(
        self, source: Tensor, previous: Tensor, target: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns, under teacher forcing, the log-likelihoods (B,T) of the target words and the weights (B,T,S)."""
        output = self.model(source, lengths, previous)
        return _log_likelihood(output.logits, target), output.weights

    def each_head(self, source: Tensor, previous: Tensor) -> Tensor:
        """Returns, under teacher forcing, the weights of each head (B,H,T,S), for a model with several heads."""
        heads = self.model(source, None, previous).heads
        assert heads is not None
        return heads

    def greedy(self, source: Tensor, steps: int, lengths: Tensor | None = None) -> Tensor:
        """Decodes greedily: returns the most probable word of each step (B,steps), PAD after EOS."""
        memory, state = self.model.encode(source, lengths)
        return self._greedy(memory, state, source, steps)

    def evaluated(
        self, source: Tensor, previous: Tensor, target: Tensor, lengths: Tensor | None, steps: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the words of `greedy` and what `forced` returns; the source is encoded once, where that is enough."""
        if not _is_builtin(self.model):
            return self.greedy(source, steps, lengths), *self.forced(source, previous, target, lengths)
        memory, state = self.model.encode(source, lengths)
        words = self._greedy(memory, state, source, steps)
        output = self.model.teacher_forced(memory, state, previous)
        return words, _log_likelihood(output.logits, target), output.weights

    def _greedy(self, memory: Any, state: Any, source: Tensor, steps: int) -> Tensor:
        word = source.new_full((len(source),), BOS, dtype=torch.long)
        words, ended = [], torch.zeros_like(word, dtype=torch.bool)
        # Always `steps` steps: under vmap Python cannot test whether all sentences have ended.
        for index in range(steps):
            state, logits, _ = self.model.step(memory, state, word, index)
            word = logits.argmax(-1).masked_fill(ended, PAD)
            words.append(word)
            ended = ended | (word == EOS)
        return torch.stack(words, dim=1)


class Stack:
    """K independent replicas of a model, one per seed, trained and evaluated together.

    Args:
        build: builds the model for a seed.
        seeds: one per replica.
        device: the device to compute on.

    Attributes:
        template: the module that vmap calls, with the parameters and buffers of each replica in turn.
        parameters: by name, each with a leading axis K.
        buffers: likewise.
    """

    def __init__(self, build: Callable[[int], Seq2Seq], seeds: Sequence[int], device: torch.device) -> None:
        replicas = [Replica(build(seed)).to(device) for seed in seeds]
        self.template = replicas[0]
        self.parameters, self.buffers = stack_module_state(replicas)

    @property
    def replicas(self) -> int:
        """K."""
        return len(next(iter(self.parameters.values())))

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps these replicas alone, in this order; a training step of fewer replicas takes less time."""
        kept = torch.tensor(rows, device=next(iter(self.parameters.values())).device)
        self.parameters = {
            name: p.detach().index_select(0, kept).requires_grad_(p.requires_grad)
            for name, p in self.parameters.items()
        }
        self.buffers = {name: b.index_select(0, kept) for name, b in self.buffers.items()}

    def size(self) -> int:
        """Returns the number of parameters of one replica."""
        return sum(p[0].numel() for p in self.parameters.values())

    def flops(self, batch: Batch) -> int:
        """Returns the floating-point operations of one training step of one replica on a batch (B,…).

        They are those of the matrix products and convolutions, forward and backward, as torch counts them; elementwise
        operations do not count.
        """
        one = copy(self)
        one.keep([0])
        for parameter in one.parameters.values():
            parameter.requires_grad_()  # those of selected weights have none
        one.template.train()
        with Flops() as flops:
            objective, _ = one._call("loss", 0, *(tensor.unsqueeze(0) for tensor in batch))
            objective.sum().backward()
        return flops.total

    def state(self) -> dict[str, Tensor]:
        """Returns the parameters and buffers by name, each with a leading axis K."""
        return self.parameters | self.buffers

    def load(self, state: dict[str, Tensor]) -> None:
        """Replaces the parameters and buffers by those that `state` returned earlier."""
        self.parameters = {name: state[name] for name in self.parameters}
        self.buffers = {name: state[name] for name in self.buffers}

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the objective (K,), for the backward pass, and the loss (K,) in nats per target word.

        Args:
            batch: tensors (K,B,…); each replica has its own examples.
        """
        self.template.train()
        return self._call("loss", 0, *batch)

    @torch.no_grad()
    def forced(self, batch: Batch | PaddedBatch) -> tuple[Tensor, Tensor]:
        """Returns the log-likelihoods (K,B,T) of the target words and the weights (K,B,T,S) under teacher forcing.

        The batch (B,…) is the same for all replicas.
        """
        self.template.eval()
        return self._call("forced", None, *batch)

    @torch.no_grad()
    def evaluated(self, batch: Batch | PaddedBatch, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the words of `greedy`, and the log-likelihoods and the weights of `forced`.

        The batch (B,…) is the same for all replicas.
        """
        self.template.eval()
        lengths = getattr(batch, "lengths", None)
        return self._call("evaluated", None, batch.source, batch.previous, batch.target, lengths, steps)

    @torch.no_grad()
    def each_head(self, batch: Batch) -> Tensor:
        """Returns the weights of each head (K,B,H,T,S), for a model with several heads.

        The batch (B,…) is the same for all replicas.
        """
        self.template.eval()
        return self._call("each_head", None, batch.source, batch.previous)

    @torch.no_grad()
    def greedy(self, batch: Batch | PaddedBatch, steps: int) -> Tensor:
        """Returns the words (K,B,steps) of greedy decoding.

        The batch (B,…) is the same for all replicas.
        """
        self.template.eval()
        return self._call("greedy", None, batch.source, steps, getattr(batch, "lengths", None))

    def _call(self, method: str, data_axis: int | None, *data: Any) -> Any:
        """Calls a method of `Replica` for all replicas; `data_axis` is None if they share the data, else 0."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *data: Any) -> Any:
            return functional_call(self.template, (parameters, buffers), (method, *data))

        # Shared data are expanded, without a copy: embedding lookups are faster when the ids have the axis K as well.
        if data_axis is None:
            data = tuple(d.expand(self.replicas, *d.shape) if isinstance(d, Tensor) else d for d in data)
        axes = tuple(0 if isinstance(d, Tensor) else None for d in data)
        # randomness="error": a draw from torch's generator, which all replicas share, would make a replica's numbers
        # depend on the others. `Noise` draws for each replica by itself.
        return vmap(one, in_dims=(0, 0, *axes), randomness="error")(self.parameters, self.buffers, *data)


def _is_builtin(model: nn.Module) -> bool:
    """Returns whether a model has no part of a user, which may change the memory, the state or itself in place."""
    return all(type(module).__module__.partition(".")[0] in ("attnbench", "torch") for module in model.modules())


def _log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the log-likelihoods (B,T) of the target words (B,T) under logits (B,T,V)."""
    return logits.log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
