"""The trained part: what learns passes, what cannot learn fails, and seeds are trained one by one if need be."""

import sys

import pytest
import torch
from torch import nn

from attnbench.guarding import trained
from attnbench.guarding.cross_attention import CrossAttention
from tests.guarding.examining import target_of
from tests.guarding.known_good import Scored, x_transformers
from tests.guarding.test_search import OfKeys, attended, of_one


@pytest.fixture
def _few_steps(monkeypatch):
    monkeypatch.setattr(trained, "STEPS", 4)
    monkeypatch.setattr(trained, "VALID_EVERY", 2)


class Item(OfKeys):
    """Reads the value of a tensor, which vmap cannot."""

    def forward(self, q, k, v, mask=None):
        return super().forward(q, k, v, mask) * (1 + 0 * q.sum().item())


@pytest.mark.usefixtures("_few_steps")
@pytest.mark.parametrize(
    ("attention", "options", "one_by_one"),
    [
        (OfKeys(64), {}, ""),
        (OfKeys(16), {}, ""),  # another width than the model's
        (Scored("additive"), {}, ""),
        (attended, {"mask": "none"}, ""),
        (of_one, {}, ""),
        (Item(16), {}, "vmap"),
        (nn.MultiheadAttention(8, 2), {"causal": True}, ""),
        (nn.MultiheadAttention(8, 2).requires_grad_(False), {}, ""),
        (x_transformers(causal=True), {"causal": True}, ""),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_kinds_of_attention_are_trained(attention, options, one_by_one):
    found = trained.train_on(target_of(attention, **options), "copy", (0, 1))
    assert found.steps == 4
    assert len(found.exact_match) == 2
    assert one_by_one in found.one_by_one
    assert bool(found.one_by_one) or not one_by_one


def test_seeds_one_by_one_have_the_numbers_of_the_stack(monkeypatch):
    monkeypatch.setattr(trained, "STEPS", 6)
    losses = {}
    for kind, attention in ((trained.Stack, OfKeys(16)), (trained.OneByOne, Item(16))):
        seen = losses[kind] = []

        def noted(self, batch, original=trained.Stack.loss, seen=seen):
            objective, loss = original(self, batch)
            seen.append(loss)
            return objective, loss

        with monkeypatch.context() as patch:
            patch.setattr(kind, "loss", noted)
            trained.train_on(target_of(attention), "reverse", (3, 4))
    together, one_by_one = (torch.stack(seen)[-6:] for seen in losses.values())
    torch.testing.assert_close(together, one_by_one, rtol=1e-5, atol=1e-6)


def test_a_built_attention_starts_from_other_weights_for_each_seed():
    from attnbench.guarding.load import load
    from attnbench.guarding.search import find_target
    from attnbench.guarding.target import Asked

    target = find_target(load("torch.nn:MultiheadAttention"), Asked())
    task = trained.build_task(trained.Component(name="copy"), trained.DATA)
    first, again, other = (trained._model(target, task, seed).state_dict() for seed in (0, 0, 1))
    name = "attention.module.in_proj_weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize(("attention", "options"), [(OfKeys(64), {}), (of_one, {}), (attended, {"mask": "none"})])
def test_the_context_is_that_of_the_attention(attention, options):
    """With a mask, and with the state of the decoder after the annotations where there is one sequence."""
    found = target_of(attention, **options).convention
    cross = CrossAttention(attention, found, False, 64)
    annotations, state = torch.randn(2, 5, 64), torch.randn(2, 1, 64)
    context = cross.read(state, cross.prepare(annotations, annotations, None)).context
    keys = torch.cat([annotations, state], 1) if found.is_self else annotations
    torch.testing.assert_close(context, attended(state, keys, keys))
    if options:
        return
    masked = cross.read(state, cross.prepare(annotations, annotations, torch.tensor([5, 3]))).context
    shorter = cross.read(state[1:], cross.prepare(annotations[1:, :3], annotations[1:, :3], None)).context
    torch.testing.assert_close(masked[1:], shorter)


def test_an_attention_that_ignores_its_query_does_not_learn(monkeypatch):
    monkeypatch.setattr(trained, "STEPS", 60)

    def mean(query, key, value, mask=None):
        return attended(0 * query, key, value, mask if mask is None or mask.ndim == 3 else mask[:, None])

    result, found = trained.run_training(target_of(mean), "copy")
    assert result.outcome == "failed"
    assert "is needed" in result.reason
    assert max(found.exact_match) < 0.5


def test_the_time_limit_ends_it_with_a_warning(monkeypatch):
    monkeypatch.setattr(trained, "SECONDS", 0.0)
    result, found = trained.run_training(target_of(attended), "copy")
    assert result.outcome == "warned"
    assert "time limit" in result.reason
    assert (found.steps, found.cut) == (1, True)


def test_training_does_not_exceed_the_longest():
    result, found = trained.run_training(target_of(attended, longest=11), "copy")
    assert (result.outcome, result.reason, found) == (
        "not applicable",
        "training needs 12 positions (--longest 11)",
        None,
    )


def test_an_attention_that_exits_in_training_fails():
    class Exits(OfKeys):
        def forward(self, q, k, v, mask=None):
            if self.training:
                sys.exit(0)
            return super().forward(q, k, v, mask)

    result, _ = trained.run_training(target_of(Exits()), "copy")
    assert (result.outcome, result.reason) == ("failed", "training raised RuntimeError: SystemExit 0")


def test_an_attention_that_raises_in_training_fails():
    class Raises(OfKeys):
        def forward(self, q, k, v, mask=None):
            if self.training:
                raise RuntimeError("only for inference")
            return super().forward(q, k, v, mask)

    result, found = trained.run_training(target_of(Raises()), "copy")
    assert (result.outcome, found) == ("failed", None)
    assert "only for inference" in result.reason


def test_a_right_attention_learns():
    """location, which learns to copy fastest."""
    result, _ = trained.run_training(target_of(Scored("location", 64), positions="absolute"), "copy")
    assert result.outcome == "passed", result.reason
