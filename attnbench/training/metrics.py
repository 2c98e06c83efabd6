"""The metrics of a validation or test set, per replica (semantics.md §7)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sacrebleu import BLEU

from attnbench.tasks.base import EOS, PAD, SPECIAL, Examples, Task
from attnbench.tasks.pairs import UNKNOWN
from attnbench.training.batches import joined_links, joined_references, joined_targets, to_padded_batch, words_of
from attnbench.training.edit_distance import nearest
from attnbench.training.stack import Stack

CHUNK = 128  # number of sentences that are evaluated at a time on a CPU
GPU_CHUNK = 1024  # and on a GPU, where many take hardly longer than a few
LEAST = 1e-6  # a position with a larger weight is attended to

Metrics = dict[str, float | None]
NAMES = (
    "exact_match", "token_accuracy", "loss", "bleu", "aer", "alignment_mass", "alignment_entropy", "attended",
    "largest_weight", "pointing", "phoneme_error_rate",
)  # fmt: skip


class Tally:
    """Sums over the evaluated sentences, for each of K replicas, and the sentences themselves for BLEU."""

    def __init__(self, replicas: int) -> None:
        self.sentences = self.words = 0
        self.exact, self.right_words, self.nats = np.zeros((3, replicas))
        self.has_alignment = False
        self.sure_hits, self.hits, self.found_links = np.zeros((3, replicas))
        self.mass, self.entropy, self.attended = np.zeros((3, replicas))
        self.largest_weight = np.zeros(replicas)
        self.sure_links = self.linked_words = 0
        self.hypotheses: list[list[str]] = [[] for _ in range(replicas)]
        self.references: list[str] = []
        self.edits, self.nearest_words = np.zeros((2, replicas), dtype=np.int64)


def evaluate(stack: Stack, groups: list[Examples], task: Task, attends: bool, device: torch.device) -> list[Metrics]:
    """Computes the metrics of semantics.md §7, one dict per replica; a metric that does not apply is None.

    `loss` is in nats per target token, EOS included, and `bleu` is in 0..100. The other metrics are in 0..1, except
    that `phoneme_error_rate` may be larger.

    A reference word outside the vocabulary is an error in `exact_match` and `token_accuracy`, and `bleu` is computed on
    the original words. In `loss` it counts as `<unk>`.

    Where the task has several right targets per source (`references`), any of them is an exact match. `loss` and
    `token_accuracy` are those of the first.

    Args:
        stack: the replicas.
        groups: the examples, each group of a single source length.
        task: the task, for the words and for whether to compute BLEU.
        attends: whether the model has an alignment.
        device: the device to compute on.
    """
    wants_bleu, references_of = getattr(task, "bleu", False), getattr(task, "references", None)
    tally = Tally(stack.replicas)
    for chunk in in_chunks(groups, CHUNK if device.type == "cpu" else GPU_CHUNK):
        batch = to_padded_batch(chunk, device)
        target = batch.target.numpy(force=True)
        several = joined_references(chunk, references_of) if references_of else None
        longest = target.shape[1] if several is None else several.shape[-1] + 1
        # A word after the end of the reference counts in BLEU and in edit distances only.
        steps = longest + (10 if wants_bleu or references_of else 0)
        words, log_likelihood, weights = (t.numpy(force=True) for t in stack.evaluated(batch, steps))
        unknown = np.pad(joined_targets(chunk), ((0, 0), (0, 1)))
        # The negative id of an unknown word is never output, so it counts as an error.
        reference = np.where(unknown < 0, unknown, target)
        count_words(tally, words, reference, log_likelihood)
        if several is not None:
            count_references(tally, words, reference, several)
        if attends:
            count_alignment(tally, weights, target, gold_of(chunk, weights.shape[-1]))
        if wants_bleu:
            keep_sentences(tally, words, reference, task)
    return summarise(tally)


def in_chunks(groups: list[Examples], size: int) -> Iterator[list[Examples]]:
    """Yields the groups in chunks of `size` sentences; a group may be divided, and the last chunk may be smaller.

    Chunks limit the memory that an evaluation needs. Sentences of different lengths are padded and evaluated together,
    which takes fewer steps than one length at a time and includes the masks in what is evaluated.
    """
    chunk: list[Examples] = []
    for group in groups:
        start = 0
        while start < len(group):
            part = group[start : start + size - sum(map(len, chunk))]
            chunk, start = [*chunk, part], start + len(part)
            if sum(map(len, chunk)) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def count_words(tally: Tally, words: np.ndarray, target: np.ndarray, log_likelihood: np.ndarray) -> None:
    """Adds the results of N sentences to the tally.

    Args:
        tally: the sums so far.
        words: (K,N,T'), from greedy decoding, T' ≥ T.
        target: (N,T), EOS included; words outside the vocabulary have negative ids.
        log_likelihood: (K,N,T) of the target words under teacher forcing.
    """
    gold = target != PAD
    right = (words[..., : target.shape[1]] == target) & gold
    tally.sentences += len(target)
    tally.words += int(gold.sum())
    # EOS is part of the target, so an exact match also requires the right length.
    tally.exact += (right == gold).all(-1).sum(-1)
    tally.right_words += right.sum((-1, -2))
    tally.nats -= (log_likelihood * gold).sum((-1, -2), dtype=np.float64)


def count_references(tally: Tally, words: np.ndarray, target: np.ndarray, references: np.ndarray) -> None:
    """Adds the edit distances of N sentences, and the exact matches with a reference other than the target.

    Args:
        tally: the sums so far, with the exact matches with the target.
        words: (K,N,T'), from greedy decoding.
        target: (N,T), EOS included.
        references: (N,R,T''), without EOS, the target among them; see `Task`.
    """
    ended = (words == EOS).any(-1)
    distances, lengths = nearest(words, references)
    tally.edits += distances.sum(-1)
    tally.nearest_words += lengths.sum(-1)
    of_target = (words[..., : target.shape[1]] == target) | (target == PAD)
    tally.exact += ((distances == 0) & ended & ~of_target.all(-1)).sum(-1)


class Gold(NamedTuple):
    """The gold alignment of N sentences, and what their sources consist of.

    Attributes:
        sure: (N,T−1,S'), the sure links, without EOS; None if the task has none.
        possible: (N,T−1,S'), the links that are not wrong, which include the sure ones; None likewise.
        words: (N,), the number of source words without EOS, or of image patches: the positions that may have links.
        positions: (N,), the number of positions that may be attended to: the words and EOS, or the patches.
    """

    sure: np.ndarray | None
    possible: np.ndarray | None
    words: np.ndarray
    positions: np.ndarray


def gold_of(groups: list[Examples], positions: int) -> Gold:
    """Returns the gold alignment of several groups; `positions` is S, that of the longest source with EOS."""
    images = groups[0].images
    lengths = [np.full(len(group), positions if images else group.source.shape[1]) for group in groups]
    words = np.concatenate(lengths)
    return Gold(joined_links(groups), joined_links(groups, possible=True), words, words if images else words + 1)


def count_alignment(tally: Tally, weights: np.ndarray, target: np.ndarray, gold: Gold) -> None:
    """Adds the alignments of N sentences to the tally.

    EOS is not part of an alignment. The row of the target's EOS is left out, and a word with its largest weight on the
    source's EOS, or with no weight at all, has no link. The entropy, the share of attended positions and the largest
    weight include the row of EOS. Rows are scaled to sum to 1 for the entropy and for the weight on gold links.

    Args:
        tally: the sums so far.
        weights: (K,N,T,S), under teacher forcing.
        target: (N,T), EOS included.
        gold: the gold alignment.
    """
    tally.has_alignment = True
    gold_words = target != PAD
    rows = scaled_rows(weights)
    tally.entropy += (row_entropy(rows, gold.positions) * gold_words).sum((-1, -2), dtype=np.float64)
    shares = (weights > LEAST).sum(-1) / gold.positions[:, None]
    tally.attended += (shares * gold_words).sum((-1, -2), dtype=np.float64)
    largest = (weights.max(-1) * gold_words).max((-1, -2), initial=0)
    tally.largest_weight = np.maximum(tally.largest_weight, largest)
    if gold.sure is None or gold.possible is None:
        return
    is_word = gold_words[:, :-1] & (target[:, :-1] != EOS)
    best = weights[:, :, :-1].argmax(-1)  # (K,N,T−1)
    linked = is_word & (best < gold.words[:, None]) & (weights[:, :, :-1].max(-1) > 0)
    tally.sure_hits += (linked & _at(gold.sure, best)).sum((-1, -2))
    tally.hits += (linked & _at(gold.possible, best)).sum((-1, -2))
    tally.found_links += linked.sum((-1, -2))
    tally.sure_links += int((gold.sure & is_word[..., None]).sum())
    # A target word may have no gold link at all; there is no mass to measure for it.
    has_gold = is_word & gold.possible.any(-1)
    mass = (rows[:, :, :-1, : gold.possible.shape[-1]] * gold.possible).sum(-1)
    tally.mass += (mass * has_gold).sum((-1, -2), dtype=np.float64)
    tally.linked_words += int(has_gold.sum())


def _at(links: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the links (N,T,S) at positions (K,N,T); positions beyond the links (EOS, padding) give any of them."""
    inside = np.minimum(positions, links.shape[-1] - 1)[..., None]
    return np.take_along_axis(np.broadcast_to(links, (len(positions), *links.shape)), inside, -1)[..., 0]


def scaled_rows(weights: np.ndarray) -> np.ndarray:
    """Returns the weights (…,S) with each row scaled to sum to 1; a row without weight stays 0."""
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def row_entropy(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the normalised entropy H(α)/log S (K,N,T) of each row of weights.

    The result is 0 for a row without weight and for a source of a single position.

    Args:
        rows: (K,N,T,S'), each of which sums to 1 or is all 0, with S' the padded source length.
        lengths: (N,), the number of positions that may be attended to.
    """
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1))).sum(-1)
    return entropy / np.log(np.maximum(lengths, 2))[:, None]


def keep_sentences(tally: Tally, words: np.ndarray, target: np.ndarray, task: Task) -> None:
    """Adds hypotheses (K,N,T') and references (N,T), given as ids, to the tally as text."""
    for texts, rows in zip(tally.hypotheses, words, strict=True):
        for row in rows:
            # A reference may have the word <unk> itself, which an output of <unk> must not match. <pad> is reserved:
            # no reference has it.
            texts.append(" ".join(SPECIAL[PAD] if word == UNKNOWN else word for word in before_eos(row, task)))
    tally.references.extend(" ".join(before_eos(row, task)) for row in target)


def before_eos(row: np.ndarray, task: Task) -> list[str]:
    """Returns the words before EOS; those of the whole row if it has no EOS."""
    return words_of(row[: int(np.argmax(np.append(row, EOS) == EOS))], task)


def summarise(tally: Tally) -> list[Metrics]:
    """Returns the metrics of each replica."""
    # Python numbers are converted to np.float64 so that a division by zero gives NaN instead of an exception.
    columns: dict[str, np.ndarray] = {
        "exact_match": tally.exact / np.float64(tally.sentences),
        "token_accuracy": tally.right_words / np.float64(tally.words),
        "loss": tally.nats / np.float64(tally.words),
    }
    if tally.nearest_words.any():
        columns["phoneme_error_rate"] = tally.edits / tally.nearest_words
    if tally.has_alignment:
        columns["alignment_entropy"] = tally.entropy / np.float64(tally.words)
        columns["attended"] = tally.attended / np.float64(tally.words)
        columns["largest_weight"] = tally.largest_weight
    if tally.sure_links:
        # AER = 1 − (|A∩S| + |A∩P|)/(|A| + |S|) (Och & Ney 2003), with the sure links S and the possible links P ⊇ S.
        both = tally.sure_hits + tally.hits
        columns["aer"] = 1 - both / (tally.found_links + np.float64(tally.sure_links))
        columns["alignment_mass"] = tally.mass / np.float64(tally.linked_words)
        columns["pointing"] = tally.hits / np.float64(tally.linked_words)
    metrics: list[Metrics] = [
        {name: float(column[k]) for name, column in columns.items()} for k in range(len(tally.exact))
    ]
    if tally.references:
        # The words are tokens already. With the references given here, their n-grams are counted once for all replicas.
        bleu = BLEU(tokenize="none", force=True, references=[tally.references])
        for row, texts in zip(metrics, tally.hypotheses, strict=True):
            row["bleu"] = float(bleu.corpus_score(texts, None).score)
    return [{name: row.get(name) for name in NAMES} for row in metrics]
