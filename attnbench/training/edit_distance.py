"""Edit distances between output and reference sentences, all at once."""

import numpy as np

from attnbench.tasks.base import EOS, PAD


def edit_distances(outputs: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Returns the number of insertions, deletions and substitutions (K,N,R) between sentences (Levenshtein 1966).

    Args:
        outputs: (K,N,T') ids; a sentence ends before its first EOS, or with the row.
        references: (N,R,T) ids, padded with PAD, without EOS.
    """
    steps, width = outputs.shape[-1], references.shape[-1]
    ends = lengths_before_eos(outputs)[..., None]  # (K,N,1)
    columns = np.arange(width + 1)
    # Row i of the table of Wagner & Fischer 1974, (K,N,R,T+1): distances between the first i words of the outputs and
    # the first j words of the references.
    row = np.broadcast_to(columns, (*outputs.shape[:2], references.shape[1], width + 1))
    at_end = row.copy()  # the row of the whole output
    for i in range(1, steps + 1):
        replaced = row[..., :-1] + (outputs[:, :, None, i - 1, None] != references)
        without = np.concatenate([np.full((*row.shape[:-1], 1), i), np.minimum(replaced, row[..., 1:] + 1)], axis=-1)
        # With insertions: min over k ≤ j of without[k] + (j − k), a running minimum.
        row = np.minimum.accumulate(without - columns, axis=-1) + columns
        at_end = np.where((ends == i)[..., None], row, at_end)
    lengths = np.broadcast_to((references != PAD).sum(-1), at_end.shape[:-1])
    return np.take_along_axis(at_end, lengths[..., None], -1)[..., 0]


def lengths_before_eos(outputs: np.ndarray) -> np.ndarray:
    """Returns the number of words before the first EOS of each row (…,T); T where there is none."""
    ended = outputs == EOS
    return np.where(ended.any(-1), ended.argmax(-1), outputs.shape[-1])


def nearest(outputs: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edit distance (K,N) to the nearest reference, the first of several, and its length (K,N).

    Args:
        outputs: (K,N,T') ids, see `edit_distances`.
        references: (N,R,T) ids, padded with PAD; rows without words are no references, except the first.
    """
    lengths = (references != PAD).sum(-1)  # (N,R)
    missing = lengths == 0
    missing[:, 0] = False
    distances = edit_distances(outputs, references)
    best = np.where(missing, np.iinfo(distances.dtype).max, distances).argmin(-1)[..., None]
    of_best = np.take_along_axis(np.broadcast_to(lengths, distances.shape), best, -1)[..., 0]
    return np.take_along_axis(distances, best, -1)[..., 0], of_best
