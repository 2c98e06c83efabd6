"""Edit distances of many sentences at once, against the textbook's table for one pair."""

import numpy as np
import pytest

from attnbench.training.edit_distance import edit_distances, nearest


def levenshtein(one, other):
    """By the recursion itself, a row of the table at a time."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last = row
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b)))
    return row[-1]


def rows(sentences, width, end):
    """Ids (N,width), each sentence with `end` after it where there is room, then PAD."""
    found = np.zeros((len(sentences), width), dtype=int)
    for row, sentence in zip(found, sentences, strict=True):
        ended = [*sentence, *end][:width]
        row[: len(ended)] = ended
    return found


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_those_of_the_table_for_each_pair(seed):
    random = np.random.default_rng(seed)

    def sentences(count, longest):
        return [random.integers(3, 6, size=random.integers(0, longest + 1)).tolist() for _ in range(count)]

    outputs = [sentences(20, 9) for _ in range(3)]
    references = [sentences(4, 6) for _ in range(20)]
    # Seven columns: an output of seven words or more has no EOS, and its first seven words count.
    given = np.stack([rows(of_replica, 7, [2, 5, 5]) for of_replica in outputs])
    found = edit_distances(given, np.stack([rows(several, 6, []) for several in references]))
    assert found.shape == (3, 20, 4)
    for k, of_replica in enumerate(outputs):
        for n, output in enumerate(of_replica):
            assert found[k, n].tolist() == [levenshtein(output[:7], reference) for reference in references[n]]


def test_the_nearest_reference_counts_with_its_length():
    references = np.array([[[3, 4, 5, 6], [3, 3, 0, 0], [0, 0, 0, 0]]] * 4)
    outputs = np.array([[[3, 4, 5, 2, 9, 9], [3, 2, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0], [3, 4, 4, 2, 0, 0]]])
    distances, lengths = nearest(outputs, references)
    # An empty row is no reference, so that an empty output is not right; of equally near ones it is the first.
    assert distances.tolist() == [[1, 1, 2, 2]]
    assert lengths.tolist() == [[4, 2, 2, 4]]
