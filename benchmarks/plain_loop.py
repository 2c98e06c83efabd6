"""The loop that a user would write: torch.nn modules, Adam, one seed at a time. What attnbench is measured against.

    python benchmarks/plain_loop.py GRID.yaml [SEEDS]

It trains the cells of a grid of recurrent models with global attention on attnbench's own data, validates as often and
tests on the same sets, so that both do the same work; nothing is logged or drawn. Nothing here is slow on purpose.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from attnbench.cell import Cell, Data
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.tasks.base import BOS, EOS, PAD, Examples, Task
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import test_set, test_set_at, validation_set
from attnbench.tasks.streams import training_stream
from attnbench.training.batches import to_batch

CPU = torch.device("cpu")


class Additive(nn.Module):
    """vᵀ tanh(W_q s + W_k h)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Once per source."""
        return self.key(keys)

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Logits (B,S) of a query (B,D)."""
        return self.v(torch.tanh(self.query(query).unsqueeze(1) + prepared)).squeeze(-1)


class Dot(nn.Module):
    """sᵀ h, over √D if scaled, sᵀ W h if general, β cos(s, h) if cosine."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        self.name, self.scale = name, width**-0.5 if name == "scaled_dot" else 1.0
        self.key = nn.Linear(width, width, bias=False) if name == "general" else nn.Identity()
        self.strength = nn.Parameter(torch.ones(())) if name == "cosine" else None

    def prepare(self, keys: Tensor) -> Tensor:
        """Once per source."""
        return self.key(keys) if self.strength is None else nn.functional.normalize(keys, dim=-1)

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Logits (B,S) of a query (B,D)."""
        if self.strength is not None:
            query = nn.functional.normalize(query, dim=-1) * (nn.functional.softplus(self.strength) + 1)
        return torch.bmm(prepared, query.unsqueeze(-1)).squeeze(-1) * self.scale


class Location(nn.Module):
    """(W s)_i; positions beyond the trained ones get no weight."""

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, longest, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Nothing to prepare."""
        return keys

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Logits (B,S) of a query (B,D)."""
        logits = self.proj(query)[:, : prepared.shape[1]]
        missing = prepared.shape[1] - logits.shape[1]
        return nn.functional.pad(logits, (0, missing), value=-torch.inf)


class Translator(nn.Module):
    """Bahdanau's encoder-decoder with torch's own GRU and GRUCell."""

    def __init__(self, cell: Cell, task: Task, longest: int) -> None:
        super().__init__()
        width, embedding = cell.model.options["width"], cell.model.options["embedding"]
        assert cell.score is not None
        score = cell.score.name
        self.source = nn.Embedding(len(task.source_words), embedding)
        self.target = nn.Embedding(len(task.target_words), embedding)
        self.encoder = nn.GRU(embedding, width // 2, batch_first=True, bidirectional=True)
        # With init zero the decoder starts from zeros.
        self.start = nn.Linear(width // 2, width, bias=False) if cell.model.options["init"] == "encoder" else None
        self.cell = nn.GRUCell(embedding + width, width)
        self.readout = nn.Linear(2 * width + embedding, len(task.target_words))
        self.score: Additive | Dot | Location
        if score == "additive":
            self.score = Additive(width)
        else:
            self.score = Location(width, longest) if score == "location" else Dot(width, score)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (B,S,D), what the score makes of them, and the decoder's first state."""
        states, last = self.encoder(self.source(source))
        first = torch.zeros_like(states[:, 0]) if self.start is None else torch.tanh(self.start(last[1]))
        return states, self.score.prepare(states), first

    def step(self, memory: tuple[Tensor, Tensor], state: Tensor, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and what the read-out reads."""
        states, prepared = memory
        weights = self.score(state, prepared).softmax(-1)
        context = torch.bmm(weights.unsqueeze(1), states).squeeze(1)
        state = self.cell(torch.cat([embedded, context], dim=-1), state)
        return state, torch.cat([state, context, embedded], dim=-1)

    def forward(self, source: Tensor, previous: Tensor) -> Tensor:
        """Logits (B,T,V) with the gold words as input."""
        states, prepared, state = self.encode(source)
        reads = []
        for embedded in self.target(previous).unbind(1):
            state, read = self.step((states, prepared), state, embedded)
            reads.append(read)
        return self.readout(torch.stack(reads, dim=1))

    def greedy(self, source: Tensor, steps: int) -> Tensor:
        """The likeliest words (B,steps); PAD beyond EOS."""
        states, prepared, state = self.encode(source)
        word, ended, words = torch.full_like(source[:, 0], BOS), torch.zeros(len(source), dtype=torch.bool), []
        for _ in range(steps):
            state, read = self.step((states, prepared), state, self.target(word))
            word = self.readout(read).argmax(-1).masked_fill(ended, PAD)
            words.append(word)
            ended = ended | (word == EOS)
        return torch.stack(words, dim=1)


@torch.no_grad()
def evaluate(model: Translator, groups: list[Examples]) -> tuple[float, float]:
    """Exact match, and the loss in nats per word."""
    right, sentences, nats, words = 0, 0, 0.0, 0
    for group in groups:
        batch = to_batch(group, CPU)
        found = model.greedy(batch.source, batch.target.shape[1])
        mask = batch.target != PAD
        right += int(((found == batch.target) | ~mask).all(-1).sum())
        sentences += len(found)
        logits = model(batch.source, batch.previous)
        nats += float(nn.functional.cross_entropy(logits.mT, batch.target, ignore_index=PAD, reduction="sum"))
        words += int(mask.sum())
    return right / sentences, nats / words


def train(cell: Cell, seed: int) -> dict[str, float]:
    """Trains and tests one cell; its exact match on the test set and at each test length, and its seconds."""
    begun = time.perf_counter()
    settings, data = cell.train, (build_task(cell.task, cell.data), cell.task, cell.data)
    task, validation = data[0], validation_set(*data)
    stream = training_stream(*data, (seed,), settings.batch_size)
    torch.manual_seed(seed)
    model = Translator(cell, task, stream.longest + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    falling = max(settings.decay * settings.steps, 1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (settings.steps - s) / falling))
    best, kept = -1.0, model.state_dict()
    for step in range(1, settings.steps + 1):
        batch = to_batch(stream.batch(), CPU)
        logits = model(batch.source[0], batch.previous[0])
        loss = nn.functional.cross_entropy(logits.mT, batch.target[0], ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        if step % settings.valid_every == 0 or step == settings.steps:
            accuracy, _ = evaluate(model, validation)
            if accuracy > best:
                best, kept = accuracy, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return _tested(model, data, cell.data) | {"seconds": time.perf_counter() - begun}


def _tested(model: Translator, data: tuple[Task, object, Data], section: Data) -> dict[str, float]:
    found = {"exact_match": evaluate(model, test_set(*data))[0]}  # type: ignore[arg-type]
    for length in section.test_lengths:
        found[f"exact_match@{length}"] = evaluate(model, test_set_at(*data, length))[0]  # type: ignore[arg-type]
    return found


def rows(grid: Path, seeds: int | None = None) -> Iterator[dict[str, object]]:
    """A row per cell of the grid, its first `seeds` seeds or all."""
    for planned in expand(load_grid(grid)).cells:
        if seeds is None or planned.cell.seed < seeds:
            found = train(planned.cell, planned.cell.seed)
            yield {name: planned.labels[name] for name in ("score", "task", "seed")} | found


if __name__ == "__main__":
    for row in rows(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None):
        print(json.dumps(row), flush=True)
