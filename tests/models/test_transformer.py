"""The Transformer against its equations in loops, and what follows from them."""

import itertools

import normaliser_forms
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from transformer_equations import (
    HEADS,
    HIDDEN,
    LAYERS,
    LONGEST,
    MAX_POSITIONS,
    POSITIONS,
    SCORES,
    SOURCE_WORDS,
    STEPS,
    TARGET_WORDS,
    WIDTH,
    batch,
    build,
    run,
)

from attnbench.cell import Cell, Component, Data, Train
from attnbench.tasks.build import build_task
from attnbench.training.batches import Batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack

EXACT = {"rtol": 0, "atol": 1e-10}
every_score = pytest.mark.parametrize("score", SCORES)
every_kind = pytest.mark.parametrize("positions", POSITIONS)
SEEDS = (0, 5)


CASES = [(score, positions, "softmax") for score in SCORES for positions in POSITIONS]
CASES += [("scaled_dot", "sinusoidal", name) for name in normaliser_forms.NAMES if name != "softmax"]


@pytest.mark.parametrize(("score", "positions", "normaliser"), CASES)
def test_the_model_is_its_equations(score, positions, normaliser):
    """Every sentence by itself and unpadded in the loops, all together and padded in the model."""
    model = build(score, positions, normaliser=normaliser)
    source, lengths, previous = batch()
    found = model(source, lengths, previous)
    assert found.heads.shape == (4, HEADS, STEPS, 7)
    for b, length in enumerate(lengths.tolist()):
        words, heads = run(
            model, score, positions, source[b, :length].tolist(), previous[b].tolist(), normaliser=normaliser
        )
        np.testing.assert_allclose(found.logits[b].detach(), words, **EXACT)
        np.testing.assert_allclose(found.heads[b, ..., :length].detach(), heads, **EXACT)
        mean = sum(heads) / HEADS
        np.testing.assert_allclose(found.weights[b, :, :length].detach(), mean, **EXACT)
        assert (found.heads[b, ..., length:] == 0).all()
        assert (found.weights[b, :, length:] == 0).all()
    assert not torch.allclose(found.heads[:, 0], found.heads[:, 1])
    assert found.attention_logits is None


@pytest.mark.parametrize(("heads", "layers", "hidden"), [(1, 1, 1), (2, 3, None), (6, 1, 7)])
@pytest.mark.parametrize("positions", ["rotary", "alibi"])
def test_other_sizes_are_the_equations_of_those_sizes(positions, heads, layers, hidden):
    model = build("general", positions, heads=heads, layers=layers, hidden=hidden)
    source, _, previous = batch()
    found = model(source[:1], None, previous[:1])
    words, weights = run(model, "general", positions, source[0].tolist(), previous[0].tolist(), heads)
    np.testing.assert_allclose(found.logits[0].detach(), words, **EXACT)
    np.testing.assert_allclose(found.heads[0].detach(), weights, **EXACT)
    assert found.heads.shape == (1, heads, STEPS, 7)


def step_by_step(model, source, lengths, previous):
    """The logits (B,T,V) and weights (B,T,S) of decoding with the cache, these words being fed."""
    memory, state = model.encode(source, lengths)
    words, weights = [], []
    for index in range(previous.shape[1]):
        state, *found = model.step(memory, state, previous[:, index], index)
        words.append(found[0])
        weights.append(found[1])
    return torch.stack(words, 1), torch.stack(weights, 1)


@every_kind
@every_score
def test_decoding_with_the_cache_is_one_pass(score, positions):
    model = build(score, positions)
    source, lengths, previous = batch()
    for some in (lengths, None):
        expected = model(source, some, previous)
        words, weights = step_by_step(model, source, some, previous)
        torch.testing.assert_close(words, expected.logits, **EXACT)
        torch.testing.assert_close(weights, expected.weights, **EXACT)


def test_a_step_leaves_the_state_before_it_as_it_was():
    """So that two continuations of one beginning can be told."""
    model = build("additive", "rotary")
    source, lengths, previous = batch()
    memory, start = model.encode(source, lengths)
    state, *_ = model.step(memory, start, previous[:, 0], 0)
    first = model.step(memory, state, previous[:, 1], 1)[1]
    model.step(memory, state, previous[:, 2], 1)
    assert torch.equal(model.step(memory, state, previous[:, 1], 1)[1], first)


class Stepping(nn.Module):
    """Decoding with the cache as a module's forward, which is all that `functional_call` reaches."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *data):
        return step_by_step(self.model, *data)


@every_kind
@every_score
def test_stacked_replicas_are_single_models(score, positions):
    """Forced and greedy; a single model decodes without the cache, with all that was said before in every pass."""
    source, lengths, previous = batch()
    singles = [build(score, positions, seed) for seed in SEEDS]
    replicas = [Stepping(model) for model in singles]
    parameters, buffers = stack_module_state(replicas)
    stacked = vmap(lambda *own: functional_call(replicas[0], own, (source, lengths, previous)))(parameters, buffers)
    stack = Stack(lambda seed: build(score, positions, seed), SEEDS, torch.device("cpu"))
    target = previous.roll(-1, 1)
    likelihood, weights = stack.forced(Batch(source, previous, target))
    greedy = stack.greedy(Batch(source, previous, target), STEPS)
    with torch.no_grad():
        for k, model in enumerate(singles):
            expected = model(source, lengths, previous)
            torch.testing.assert_close(stacked[0][k], expected.logits, **EXACT)
            torch.testing.assert_close(stacked[1][k], expected.weights, **EXACT)
            unmasked = model(source, None, previous)
            gold = unmasked.logits.log_softmax(-1).gather(-1, target[..., None])[..., 0]
            torch.testing.assert_close(likelihood[k], gold, **EXACT)
            torch.testing.assert_close(weights[k], unmasked.weights, **EXACT)
            assert torch.equal(greedy[k], decode(model, source))
    assert not torch.equal(likelihood[0], likelihood[1])


def decode(model, source):
    """The likeliest words (B,STEPS), each from a pass over all before it; 0 beyond EOS, which is 2."""
    words = torch.ones_like(source[:, :1])
    for _ in range(STEPS):
        likeliest = model(source, None, words).logits[:, -1].argmax(-1)
        words = torch.cat([words, likeliest.masked_fill((words == 2).any(1), 0)[:, None]], 1)
    return words[:, 1:]


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@every_score
def test_gradients_of_stacked_replicas_are_those_of_single_models(score, positions):
    source, _, previous = batch()
    target = previous.roll(-1, 1)
    stack = Stack(lambda seed: build(score, positions, seed), SEEDS, torch.device("cpu"))
    stack.loss(Batch(*(each.expand(2, *each.shape) for each in (source, previous, target))))[0].sum().backward()
    for k, seed in enumerate(SEEDS):
        single = build(score, positions, seed)
        nn.functional.cross_entropy(single(source, None, previous).logits.flatten(0, 1), target.flatten()).backward()
        for name, parameter in single.named_parameters():
            found = stack.parameters[f"model.{name}"].grad
            if score == "location" and name.endswith("key_proj.weight"):  # which does not look at keys
                assert parameter.grad is None
                assert found is None
            else:
                torch.testing.assert_close(found[k], parameter.grad, rtol=1e-10, atol=1e-10)


@every_kind
@every_score
def test_no_step_sees_what_comes_after_it(score, positions):
    """Other words after step t change nothing up to t, and something beyond."""
    model = build(score, positions)
    source, lengths, previous = batch()
    before = model(source, lengths, previous)
    for t in range(STEPS - 1):
        changed = previous.clone()
        changed[:, t + 1 :] = 3 + (previous[:, t + 1 :] - 2) % (TARGET_WORDS - 3)
        assert (changed != previous)[:, t + 1 :].all()
        after = model(source, lengths, changed)
        torch.testing.assert_close(after.logits[:, : t + 1], before.logits[:, : t + 1], rtol=0, atol=1e-12)
        torch.testing.assert_close(after.heads[:, :, : t + 1], before.heads[:, :, : t + 1], rtol=0, atol=1e-12)
        assert (after.logits[:, t + 1 :] - before.logits[:, t + 1 :]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("score", SCORES)
def test_the_past_is_seen_far_back(score):
    """The first word has a say in the last step, in one layer alone."""
    model = build(score, "none", layers=1)
    source, lengths, previous = batch()
    changed = previous.clone()
    changed[:, 0] = 6
    difference = model(source, lengths, changed).logits[:, -1] - model(source, lengths, previous).logits[:, -1]
    assert difference.abs().amax(-1).min() > 1e-6


@every_kind
@every_score
def test_padding_is_inert_bit_for_bit(score, positions):
    """Whatever stands there, NaN included; and a padded sentence is the one cut to its own length."""
    model = build(score, positions)
    source, lengths, previous = batch()
    padding = torch.arange(7) >= lengths[:, None]
    with torch.no_grad():
        model.source_embedding.weight[[0, 1]] = torch.nan
    given = [source, torch.where(padding, 1, source), torch.where(padding, 5, source)]
    gradients, outputs = [], []
    for each in given:
        output = model(each, lengths, previous)
        loss = output.logits.square().sum() + output.heads.square().sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
        outputs.append(output)
    for output, own in zip(outputs, gradients, strict=True):
        for mine, first in zip((*output[:3], *own), (*outputs[0][:3], *gradients[0]), strict=True):
            assert (mine is None) == (first is None)
            assert mine is None or torch.equal(mine, first)
            assert mine is None or mine.isfinite().all()
    for b, length in enumerate(lengths.tolist()):
        alone = model(source[b : b + 1, :length], None, previous[b : b + 1])
        torch.testing.assert_close(alone.logits[0], outputs[0].logits[b], **EXACT)
        torch.testing.assert_close(alone.heads[0], outputs[0].heads[b, ..., :length], **EXACT)


@every_kind
def test_a_source_that_fills_all_positions_needs_no_lengths(positions):
    model = build("cosine", positions)
    source, _, previous = batch()
    found, expected = model(source, torch.full((4,), 7), previous), model(source, None, previous)
    torch.testing.assert_close(found.logits, expected.logits, **EXACT)
    torch.testing.assert_close(found.heads, expected.heads, **EXACT)


@every_score
def test_a_source_without_any_word_gets_no_weight(score):
    model = build(score)
    source, _, previous = batch()
    source = source.clamp(max=SOURCE_WORDS - 2)
    output = model(source, torch.tensor([7, 0, 3, 0]), previous)
    assert output.logits.isfinite().all()
    assert (output.heads.sum(-1) > 0.5).all((1, 2)).tolist() == [True, False, True, False]
    assert (output.heads[[1, 3]] == 0).all()
    other = model(source + 1, torch.tensor([7, 0, 3, 0]), previous)  # and what is not read has no say
    torch.testing.assert_close(other.logits[[1, 3]], output.logits[[1, 3]], **EXACT)


def size(score, positions, heads, layers, hidden, max_positions):
    """The number of parameters, by hand."""
    inside = WIDTH // heads
    scores = {"cosine": 1, "additive": 2 * inside**2 + inside, "location": LONGEST * inside, "general": inside**2}
    scores |= {"distance": 1, "bilinear": 2 * 8 * inside, "trilinear": 3 * inside}
    attention = 4 * WIDTH**2 + heads * scores.get(score, 0)
    inner, norm = 2 * WIDTH * hidden + hidden + WIDTH, 2 * WIDTH
    layer = (attention + inner + 2 * norm) + (2 * attention + inner + 3 * norm)
    table = 2 * max_positions * WIDTH if positions == "learned" else 0
    return (SOURCE_WORDS + 2 * TARGET_WORDS) * WIDTH + TARGET_WORDS + table + layers * layer + 2 * norm


@every_kind
@every_score
def test_the_number_of_parameters(score, positions):
    for heads, layers, hidden, longest in ((HEADS, LAYERS, HIDDEN, MAX_POSITIONS), (4, 1, 9, 11), (1, 3, 2, 5)):
        model = build(score, positions, heads=heads, layers=layers, hidden=hidden, max_positions=longest)
        expected = size(score, positions, heads, layers, hidden, longest)
        assert sum(p.numel() for p in model.parameters()) == expected
    inner = build(score, positions, hidden=None)
    assert sum(p.numel() for p in inner.parameters()) == size(score, positions, HEADS, LAYERS, 4 * WIDTH, MAX_POSITIONS)


def test_every_head_of_every_attention_starts_from_weights_of_its_own():
    """As the runner builds it; the rest is the same for a seed whatever the score."""
    options = {"width": 8, "heads": 2, "layers": 2}
    rest = []
    for score in ("additive", "general"):
        cell = Cell(
            model=Component(name="transformer", options=options),
            score=Component(name=score),
            scope=Component(name="self"),
            task=Component(name="copy"),
            data=Data(vocabulary=5, max_length=6),
            train=Train(),
            seed=0,
        )
        model = build_model(cell, build_task(cell.task, cell.data), 7, 3)
        state = model.state_dict()
        matrices = [value for name, value in state.items() if name.endswith("score.key_proj.weight")]
        assert len(matrices) == 2 * 2 + 2 * 4
        assert not any(torch.equal(one, other) for one, other in itertools.combinations(matrices, 2))
        rest.append({name: value for name, value in state.items() if ".score." not in name})
    assert rest[0].keys() == rest[1].keys()
    assert all(torch.equal(rest[0][name], rest[1][name]) for name in rest[0])
