"""The initial weights of a model: what its attentions share and what they do not."""

from itertools import combinations

import pytest
import torch
from small_packs import build, pack

from attnbench.attention import Attention


@pytest.mark.parametrize(
    ("kind", "scope", "options", "count"),
    [
        ("transformer", "self", {"heads": 2, "layers": 2}, 2 * (2 + 2 * 2)),
        ("lstmn", "self", {"fusion": "deep"}, 3),
        ("pointer", "global", {"glimpses": 2}, 3),
    ],
)
@pytest.mark.parametrize("score", ["additive", "general", "location"])
def test_the_attentions_of_a_model_differ_in_their_initial_weights(kind, scope, options, count, score):
    """Heads, layers, glimpses, encoder and decoder: drawn from one seed they would start as copies of each other."""
    this = pack((0, 1), score, scope, "sort", kind=kind, model=options)
    models = [build(this, seed) for seed in (0, 1)]
    drawn = [
        torch.cat([p.detach().flatten() for p in module.score.parameters()])
        for model in models
        for module in model.modules()
        if isinstance(module, Attention)
    ]
    assert len(drawn) == 2 * count
    for one, two in combinations(drawn, 2):
        size = min(len(one), len(two))
        assert not torch.isclose(one[:size], two[:size]).any()
