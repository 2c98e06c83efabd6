"""Every metric of a test or validation set, per replica."""

from collections.abc import Iterator

import numpy as np
import torch
from sacrebleu import BLEU

from attnbench.tasks.base import EOS, PAD, Examples, Task
from attnbench.training.batches import joined_links, to_padded_batch
from attnbench.training.stack import Stack

CHUNK = 128  # sentences

Metrics = dict[str, float | None]


class Tally:
    """Sums over the sentences seen so far, of K replicas each, and the sentences themselves for BLEU."""

    def __init__(self, replicas: int) -> None:
        self.sentences = self.words = 0
        self.exact, self.right_words, self.nats = np.zeros((3, replicas))
        self.has_alignment = False
        self.hits, self.found_links, self.mass, self.entropy = np.zeros((4, replicas))
        self.gold_links = self.linked_words = 0
        self.hypotheses: list[list[str]] = [[] for _ in range(replicas)]
        self.references: list[str] = []


def evaluate(stack: Stack, groups: list[Examples], task: Task, attends: bool, device: torch.device) -> list[Metrics]:
    """The metrics of semantics.md §7, one dict per replica; None where one has no meaning.

    Args:
        stack: the replicas.
        groups: examples, each group of one source length.
        task: for the words, if it asks for BLEU.
        attends: whether the model has an alignment at all.
        device: where to compute.
    """
    wants_bleu = getattr(task, "bleu", False)
    tally = Tally(stack.replicas)
    for chunk in in_chunks(groups):
        batch = to_padded_batch(chunk, device)
        target = batch.target.numpy(force=True)
        # A hypothesis may run past its reference only where that is scored.
        steps = target.shape[1] + (10 if wants_bleu else 0)
        words = stack.greedy(batch, steps).numpy(force=True)
        log_likelihood, weights = (t.numpy(force=True) for t in stack.forced(batch))
        count_words(tally, words, target, log_likelihood)
        if attends:
            lengths = np.concatenate([np.full(len(part), part.source.shape[1]) for part in chunk])
            count_alignment(tally, weights, target, joined_links(chunk), lengths)
        if wants_bleu:
            keep_sentences(tally, words, target, task.target_words)
    return summarise(tally)


def in_chunks(groups: list[Examples]) -> Iterator[list[Examples]]:
    """The groups, whole or in parts, as chunks of CHUNK sentences; the last has what is left.

    A chunk bounds the memory that an evaluation takes. Shorter sentences are padded beside longer ones: that takes
    fewer steps than each length by itself, and what the masks do is measured with everything else.
    """
    chunk: list[Examples] = []
    for group in groups:
        start = 0
        while start < len(group):
            part = group[start : start + CHUNK - sum(map(len, chunk))]
            chunk, start = [*chunk, part], start + len(part)
            if sum(map(len, chunk)) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def count_words(tally: Tally, words: np.ndarray, target: np.ndarray, log_likelihood: np.ndarray) -> None:
    """Counts greedy words (K,N,T') against the target (N,T), and the forced log-likelihoods (K,N,T)."""
    gold = target != PAD
    right = (words[..., : target.shape[1]] == target) & gold
    tally.sentences += len(target)
    tally.words += int(gold.sum())
    tally.exact += (right == gold).all(-1).sum(-1)
    tally.right_words += right.sum((-1, -2))
    tally.nats -= (log_likelihood * gold).sum((-1, -2), dtype=np.float64)


def count_alignment(
    tally: Tally, weights: np.ndarray, target: np.ndarray, links: np.ndarray | None, lengths: np.ndarray
) -> None:
    """Counts the weights (K,N,T,S) of forced decoding against the gold links (N,T−1,S−1) of sources of lengths (N,).

    EOS has no part in links: its row is left out, and a word whose largest weight lies on the source's EOS, or
    nowhere, is linked to nothing. Entropy is that of the row as a distribution, over log S, in all rows.
    """
    tally.has_alignment = True
    gold_words = target != PAD
    tally.entropy += (row_entropy(weights, lengths + 1) * gold_words).sum((-1, -2), dtype=np.float64)
    if links is None:
        return
    is_word = gold_words[:, :-1] & (target[:, :-1] != EOS)
    best = weights[:, :, :-1].argmax(-1)  # (K,N,T−1)
    linked = is_word & (best < lengths[:, None]) & (weights[:, :, :-1].max(-1) > 0)
    at_best = np.take_along_axis(
        np.broadcast_to(links, (len(weights), *links.shape)), np.minimum(best, links.shape[-1] - 1)[..., None], -1
    )[..., 0]
    tally.hits += (linked & at_best).sum((-1, -2))
    tally.found_links += linked.sum((-1, -2))
    tally.gold_links += int((links & is_word[..., None]).sum())
    has_gold = is_word & links.any(-1)
    mass = (weights[:, :, :-1, :-1] * links).sum(-1)
    tally.mass += (mass * has_gold).sum((-1, -2), dtype=np.float64)
    tally.linked_words += int(has_gold.sum())


def row_entropy(weights: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """H(α)/log S of each row (K,N,T) of weights (K,N,T,S'), S being the sentence's own of lengths (N,).

    Each row is scaled to sum to 1 first; a row without weight has 0, and so has one over a single position.
    """
    total = weights.sum(-1, keepdims=True)
    rows = weights / np.where(total > 0, total, 1)
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1))).sum(-1)
    return entropy / np.log(np.maximum(lengths, 2))[:, None]


def keep_sentences(tally: Tally, words: np.ndarray, target: np.ndarray, vocabulary: list[str]) -> None:
    """Keeps hypotheses (K,N,T') and references (N,T) as text."""
    for texts, rows in zip(tally.hypotheses, words, strict=True):
        texts.extend(to_text(row, vocabulary) for row in rows)
    tally.references.extend(to_text(row, vocabulary) for row in target)


def to_text(row: np.ndarray, vocabulary: list[str]) -> str:
    """The words before EOS, joined by spaces."""
    return " ".join(vocabulary[i] for i in row[: int(np.argmax(np.append(row, EOS) == EOS))] if i != PAD)


def summarise(tally: Tally) -> list[Metrics]:
    """The metrics of each replica."""
    columns: dict[str, np.ndarray] = {
        "exact_match": tally.exact / np.float64(tally.sentences),
        "token_accuracy": tally.right_words / np.float64(tally.words),
        "loss": tally.nats / np.float64(tally.words),
    }
    if tally.has_alignment:
        columns["alignment_entropy"] = tally.entropy / np.float64(tally.words)
    if tally.gold_links:
        columns["aer"] = 1 - 2 * tally.hits / (tally.found_links + np.float64(tally.gold_links))
        columns["alignment_mass"] = tally.mass / np.float64(tally.linked_words)
    metrics: list[Metrics] = [
        {name: float(column[k]) for name, column in columns.items()} for k in range(len(tally.exact))
    ]
    if tally.references:
        # The words are tokens already; what is counted of the references serves all replicas.
        bleu = BLEU(tokenize="none", force=True, references=[tally.references])
        for row, texts in zip(metrics, tally.hypotheses, strict=True):
            row["bleu"] = float(bleu.corpus_score(texts, None).score)
    names = ("exact_match", "token_accuracy", "loss", "bleu", "aer", "alignment_mass", "alignment_entropy")
    return [{name: row.get(name) for name in names} for row in metrics]
