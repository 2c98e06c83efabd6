"""The initial weights of a model: what its attentions share and what they do not."""

from itertools import combinations

import numpy as np
import pytest
import torch
from small_packs import DATA, build, pack

from attnbench.attention import Attention
from attnbench.tasks.base import PAD, Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.pairs import Pairs
from attnbench.training.build import build_model, longest_target


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


def rows(model) -> dict[str, int]:
    """The number of positions that each attention with the score location has, by its module's name."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            found.setdefault(name.split(".attention")[0], module.score.proj.weight.shape[0])
    return found


def write_pairs(tmp_path) -> dict[str, str]:
    """Targets of up to 9 words for sources of 2 and 3 words; the longer ones are not trained on."""
    longest = "a b c\t" + "A B C " * 3
    files = {"path": ["a b\tA", longest, "a b c d\t" + "D " * 20], "validation_path": ["b a\tA"]}
    files["test_path"] = ["c a\t" + "A " * 15]
    for field, lines in files.items():
        (tmp_path / field).write_text("".join(f"{line.strip()}\n" for line in lines))
    return {field: str(tmp_path / field) for field in files}


def test_location_has_a_row_for_each_target_position_where_the_keys_are_the_target(tmp_path):
    """The decoder's attention to its own past. With a row per source position, its last words would get no weight."""
    data = DATA.model_copy(update={"vocabulary": None, "min_length": 2, "max_length": 3, **write_pairs(tmp_path)})
    this = pack((0,), "location", "self", "translate", data=data, kind="transformer")
    model = build(this, 0)
    assert rows(model) == {
        "encoder.0.self_attention": 4,
        "decoder.0.self_attention": 10,
        "decoder.0.cross_attention": 4,
    }
    assert rows(build(pack((0,), "location", "self", "translate", data=data, kind="lstmn"), 0)) == {
        "encoder": 4,
        "decoder": 10,
        "shallow": 4,
    }
    previous = torch.tensor([[1, 4, 5, 6, 4, 5, 6, 4, 5, 6]])
    changed = previous.clone()
    changed[0, 8] = 4
    source = torch.tensor([[4, 5, 6, 2]])
    before, after = (model(source, None, words).logits[0, 9] for words in (previous, changed))
    assert (before - after).abs().max() > 1e-6


def test_a_number_of_positions_in_the_grid_holds_for_both():
    this = pack((0,), "location", "self", "copy", kind="transformer")
    score = this.cell.score.model_copy(update={"options": {"max_source_length": 2}})
    model = build_model(this.cell.model_copy(update={"score": score}), build_task(this.cell.task, DATA), 6, 0)
    assert set(rows(model).values()) == {2}


@pytest.mark.parametrize("length", [2, 3, 4, 5, 9, 12])
def test_the_longest_target_of_translate_is_a_bound_that_is_reached(length):
    task = build_task(pack(task="translate").cell.task, DATA)
    drawn = task.generate(np.random.default_rng(0), length, 30_000).target
    longest = int((drawn != PAD).sum(1).max())
    bound = task.longest_target(length)
    assert longest <= bound
    assert length > 5 or longest == bound


@pytest.mark.parametrize("name", ["copy", "reverse", "sort"])
def test_the_longest_target_of_a_task_on_symbols_is_its_source(name):
    task = build_task(pack(task=name).cell.task, DATA)
    assert longest_target(task, DATA, 5) == 5


def test_the_longest_target_of_a_custom_task_is_that_of_many_examples():
    class Doubling:
        """Target: every word one or two times."""

        def __init__(self):
            self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", "a", "b"]

        def check(self, length):
            return None if length < 5 else "too long"

        def generate(self, random, length, count):
            source = random.integers(3, 5, (count, length))
            return Examples(
                source, np.concatenate([source, np.where(random.random(source.shape) < 0.5, 0, 4)], 1), None
            )

    assert longest_target(Doubling(), DATA, 5) == 8


def test_the_longest_target_of_pairs_is_that_of_the_trained_lines(tmp_path):
    task = Pairs(*write_pairs(tmp_path).values())
    assert [task.longest_target(length) for length in (1, 2, 3, 4)] == [0, 1, 9, 20]
