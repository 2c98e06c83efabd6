"""A seed's numbers do not depend on which seeds are trained beside it, beyond rounding: every registered part."""

import pytest
import torch
from company import COMBINATIONS, STACKS, largest_difference

NAMES = ["-".join([*map(str, one[:4]), *one[4].values()]) for one in COMBINATIONS]


@pytest.mark.parametrize(("kind", "score", "scope", "normaliser", "options"), COMBINATIONS, ids=NAMES)
def test_twenty_steps_agree_in_every_stack(kind, score, scope, normaliser, options):
    """The weights of seed 5 after 20 steps, by itself and in stacks of 2, 3, 5 and 8, in float64."""
    part = kind, score, scope, normaliser, options
    assert max(largest_difference(*part, torch.float64, size) for size in STACKS) < 1e-9
