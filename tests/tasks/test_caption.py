"""The caption task: disjoint images, pixels and gold patches against an independent composition, and its errors."""

import numpy as np
import pytest

from attnbench.errors import AttnbenchError
from attnbench.tasks.caption import Caption
from attnbench.tasks.digits import digits
from attnbench.tasks.scenes import FRAGMENT, compose, most_clutter
from attnbench.tasks.split import Split

PARTS = {split: digits(split) for split in Split}


def scenes(count: int, number: int, jitter: int = 3, clutter: int = 0, split: Split = Split.TRAINING, seed: int = 0):
    random = np.random.default_rng(seed)
    return compose(random, PARTS[split], PARTS[Split.TRAINING], count, number, jitter, clutter)


def test_the_digits_are_split_in_the_same_shares_and_none_is_in_two_parts():
    images = {split: {image.tobytes() for image in PARTS[split].images} for split in Split}
    assert [len(images[split]) for split in Split] == [1258, 180, 359]
    assert len(set.union(*images.values())) == 1797
    for split, share in zip(Split, (0.7, 0.1, 0.2), strict=True):
        counts = np.bincount(PARTS[split].values)
        total = sum(np.bincount(PARTS[part].values) for part in Split)
        assert (abs(counts - share * total) <= 1).all()


@pytest.mark.parametrize("split", Split)
def test_a_hundred_thousand_scenes_show_digits_of_their_own_part_alone(split):
    """Read from the canvases, at the places of the digits."""
    own = {image.tobytes() for image in PARTS[split].images}
    task = Caption((1, 5), clutter=0)
    shown: set[bytes] = set()
    for part in range(12):
        number, count = part % 4 + 1, 2778
        examples = task.generate_part(np.random.default_rng(part), number, count, split)
        again = compose(np.random.default_rng(part), PARTS[split], PARTS[Split.TRAINING], count, number, 3, 0)
        assert np.array_equal(examples.source, again.canvas)
        for canvas, corners in zip(examples.source, again.corners, strict=True):
            shown |= {canvas[row : row + 8, column : column + 8].tobytes() for row, column in corners.tolist()}
    assert shown == own


@pytest.mark.parametrize(("number", "jitter", "clutter"), [(1, 3, 0), (5, 3, 8), (5, 0, 80), (25, 0, 0), (3, 2, 73)])
def test_the_pixels_are_those_of_an_independent_composition(number, jitter, clutter):
    """Digits at their corners, the rest empty but for fragments of training digits at places of their own."""
    found = scenes(60, number, jitter, clutter)
    pieces = {
        image[row : row + FRAGMENT, column : column + FRAGMENT].tobytes()
        for image in PARTS[Split.TRAINING].images
        for row in range(5)
        for column in range(5)
    }
    for canvas, chosen, corners in zip(found.canvas, found.chosen, found.corners, strict=True):
        expected, free = np.zeros((40, 40), np.float32), np.ones((40, 40), bool)
        for digit, (row, column) in zip(chosen.tolist(), corners.tolist(), strict=True):
            area = slice(row, row + 8), slice(column, column + 8)
            assert free[area].all(), "two digits overlap"
            free[area] = False
            expected[area] = PARTS[Split.TRAINING].images[digit]
        placed = 0
        for row in range(0, 40, FRAGMENT):
            for column in range(0, 40, FRAGMENT):
                area = slice(row, row + FRAGMENT), slice(column, column + FRAGMENT)
                if free[area].all() and canvas[area].any():
                    assert canvas[area].tobytes() in pieces
                    expected[area] = canvas[area]
                    placed += 1
        assert np.array_equal(canvas, expected)
        assert placed <= clutter
        assert placed >= 0.75 * clutter  # a fragment from the edge of a digit may be empty


def test_digits_keep_their_cell_and_are_shifted_by_up_to_the_jitter():
    found = scenes(2000, 5)
    cells = (found.corners + 4) // 8  # of the centres
    assert (abs(found.corners - 8 * cells).max(), found.corners.min(), found.corners.max()) == (3, 0, 32)
    order = cells[..., 0] * 5 + cells[..., 1]
    assert (np.diff(order, axis=1) > 0).all(), "not in reading order, or two in one cell"
    shifts = np.bincount((found.corners - 8 * cells)[..., 0].ravel() + 3, minlength=7)
    assert shifts.min() > 0.3 * shifts.mean()
    still = scenes(200, 5, jitter=0)
    assert (still.corners % 8 == 0).all()


def test_gold_patches_are_where_the_ink_of_a_word_is():
    """10,000 scenes without clutter: from the canvas, pixel by pixel."""
    task = Caption()
    for part in range(10):
        number = part % 5 + 1
        found = scenes(1000, number, seed=part)
        examples = task.generate_part(np.random.default_rng(part), number, 1000, Split.TRAINING)
        assert np.array_equal(examples.source, found.canvas)
        for n, (canvas, corners) in enumerate(zip(found.canvas, found.corners.tolist(), strict=True)):
            for word, (row, column) in enumerate(corners):
                ink = {}
                for patch_row in range(row // 8, (row + 7) // 8 + 1):
                    for patch_column in range(column // 8, (column + 7) // 8 + 1):
                        rows = slice(max(row, 8 * patch_row), min(row + 8, 8 * patch_row + 8))
                        columns = slice(max(column, 8 * patch_column), min(column + 8, 8 * patch_column + 8))
                        ink[5 * patch_row + patch_column] = float(canvas[rows, columns].sum(dtype=np.float64))
                total = sum(ink.values())
                most = [patch for patch, amount in ink.items() if amount == max(ink.values())]
                sure = np.flatnonzero(examples.links[n, word]).tolist()
                assert len(sure) == 1
                assert sure[0] in most
                possible = np.flatnonzero(examples.possible[n, word]).tolist()
                assert possible == [patch for patch, amount in ink.items() if amount >= 0.1 * total]


@pytest.mark.parametrize("order", ["reading", "value"])
def test_the_words_are_the_digits_in_order_and_each_has_its_own_links(order):
    task = Caption(order=order)
    examples = task.generate_part(np.random.default_rng(4), 5, 300, Split.TEST)
    found = scenes(300, 5, split=Split.TEST, seed=4)
    values = PARTS[Split.TEST].values[found.chosen]
    for n in range(300):
        places = sorted(range(5), key=lambda i: (values[n, i], i)) if order == "value" else range(5)
        assert examples.target[n].tolist() == [3 + values[n, i] for i in places]
        assert np.array_equal(examples.links[n], found.sure[n][list(places)])
        assert np.array_equal(examples.possible[n], found.possible[n][list(places)])


def test_the_most_clutter_can_always_be_placed():
    for number, jitter in ((1, 0), (5, 3), (25, 0), (11, 3)):
        clutter = most_clutter(number, jitter)
        found = scenes(200, number, jitter, clutter)  # fails where a fragment would be written over a digit
        again = scenes(200, number, jitter, 0)
        for canvas, alone, corners in zip(found.canvas, again.canvas, found.corners.tolist(), strict=True):
            for row, column in corners:
                area = slice(row, row + 8), slice(column, column + 8)
                assert np.array_equal(canvas[area], alone[area])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": (1, 26)}, "a scene has 25 cells, one for each digit, and no room for 26 digits"),
        ({"clutter": 56}, "beside 5 digits a scene has room for 55 fragments, and clutter is 56"),
        ({"digits": (1, 25), "clutter": 1}, "beside 25 digits a scene has room for 0 fragments"),
    ],
)
def test_what_does_not_fit_into_a_scene_is_an_error(options, message):
    with pytest.raises(AttnbenchError, match=message):
        Caption(**options)
