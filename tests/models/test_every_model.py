"""What every registered model promises, whatever its score and scope: a new file is held to it without a new test.

The model of docs/own-parts.md is tested too, as a user's own: it is a plugin like any other.
"""

import copy
import re
from pathlib import Path
from runpy import run_path
from tempfile import mkdtemp

import pytest
import torch
from rnn_equations import LENGTHS, LONGEST, SCOPES, SCORES, batch, build, cell, describe, variants
from small_packs import batches, pack, stack
from small_packs import build as build_small

from attnbench import registry
from attnbench.cell import Data, StopAt
from attnbench.grid.incompatible import incompatibility
from attnbench.training.batches import Batch
from attnbench.training.stack import Replica
from attnbench.training.train import train

PAIRS = [(score, scope) for score in SCORES for scope in SCOPES if scope != "none"] + [(None, "none")]


def documented_model() -> Path:
    """The model of docs/own-parts.md, in a file."""
    page = (Path(__file__).parents[2] / "docs/own-parts.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    file = Path(mkdtemp()) / "my_model.py"
    file.write_text(next(block for block in blocks if "@attnbench.model" in block))
    return file


DOCUMENTED_MODEL = documented_model()


@pytest.fixture(autouse=True)
def _own_model():
    run_path(str(DOCUMENTED_MODEL))


run_path(str(DOCUMENTED_MODEL))
# The model of images is tested in test_captioner.py.
MODELS = [name for name in registry.model.names() if not registry.model.entry(name).declares("reads_images")]
# What other models than the recurrent one have, small.
SMALL = {"heads": 2, "slots": 5, "slot_width": 4, "glimpses": 1, "fusion": "deep"}


def makes_sense(model: str, score: str | None, scope: str, normaliser: str = "softmax") -> bool:
    described = cell(score, scope, model, normaliser=normaliser, **SMALL)
    parts = (described.model, described.score, described.scope, described.normaliser, described.task)
    return incompatibility(*parts) is None


EVERY = [(model, *pair) for model in MODELS for pair in PAIRS if makes_sense(model, *pair)]
# Every normaliser in every model, with a score that carries weights from step to step where the model allows it.
OTHER = [name for name in registry.normaliser.names() if name != "softmax"]
NORMALISED = [
    (model, score, scope, name)
    for model, score, scope in EVERY
    for name in OTHER
    if score in ("dot", "location_conv") and registry.scope.entry(scope).takes("normaliser")
    if makes_sense(model, score, scope, name)
]
registry.model._added.clear()  # other tests do not know it
CASES = [(model, {}, *pair) for model, *pair in EVERY]
# The recurrent model's own choices meet every score under the commonest scope, and every scope under one score.
OWN = [({"window": 1} | o, p) for o in variants() for p in PAIRS if p[1] == "global" or p[0] in ("additive", None)]
CASES += [("rnn", options, *pair) for options, pair in OWN]
EXACT = {"rtol": 0, "atol": 1e-10}


def name_of(part):
    return describe(part) if isinstance(part, dict) else str(part)


def windowed(scope: str, options: dict) -> dict:
    return {"window": 1, **SMALL, **options} if registry.scope.entry(scope).takes("window") else SMALL | options


CASES += [(model, {"normaliser": name}, score, scope) for model, score, scope, name in NORMALISED]


@pytest.mark.parametrize(("model", "options", "score", "scope"), CASES, ids=name_of)
def test_forward_is_decoding_step_by_step(model, options, score, scope):
    """And a padded batch is every sentence by itself, cut to its own length."""
    built = build(score, scope, model=model, **windowed(scope, options))
    source, lengths, previous = batch()
    with torch.no_grad():
        whole = built(source, lengths, previous)
        memory, state = built.encode(source, lengths)
        for index in range(previous.shape[1]):
            state, words, weights = built.step(memory, state, previous[:, index], index)
            torch.testing.assert_close(whole.logits[:, index].log_softmax(-1), words.log_softmax(-1), **EXACT)
            torch.testing.assert_close(whole.weights[:, index], weights, **EXACT)
        for b, length in enumerate(lengths.tolist()):
            alone = built(source[b : b + 1, :length], None, previous[b : b + 1])
            torch.testing.assert_close(alone.logits[0], whole.logits[b], **EXACT)
            torch.testing.assert_close(alone.weights[0], whole.weights[b, :, :length], **EXACT)


LIKEWISE = [(*case, "softmax") for case in EVERY] + NORMALISED


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("model", "score", "scope", "normaliser"), LIKEWISE, ids=name_of)
def test_padding_is_inert_bit_for_bit(model, score, scope, normaliser, training):
    built = build(score, scope, model=model, normaliser=normaliser, **windowed(scope, {})).train(training)
    source, lengths, previous = batch()
    other = torch.where(torch.arange(LONGEST) < LENGTHS[:, None], source, 5)
    assert not torch.equal(source, other)
    # A copy, because every pass in training has noise of its own.
    outputs = [copy.deepcopy(built)(each, lengths, previous) for each in (source, other)]
    for one, two in zip(*outputs, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    assert (outputs[0].weights.masked_select((torch.arange(LONGEST) >= LENGTHS[:, None])[:, None]) == 0).all()


@pytest.mark.parametrize(("model", "score", "scope", "normaliser"), LIKEWISE, ids=name_of)
def test_every_parameter_gets_a_finite_gradient(model, score, scope, normaliser):
    """All of them a gradient that is not zero; a table of embeddings, at the words that the batch shows."""
    # A seed with which no query of softpick has logits below 0 alone: it would have no weights and no gradient.
    seed = 1 if normaliser == "softpick" else 0
    built = build(score, scope, model=model, seed=seed, normaliser=normaliser, **windowed(scope, {})).train()
    source, lengths, previous = batch()
    torch.manual_seed(0)
    output = built(source, lengths, previous)
    likelihood = output.logits.log_softmax(-1)[..., 4]
    mask = torch.ones_like(previous, dtype=torch.bool)
    built.objective(output, likelihood, lengths, mask).backward()
    for name, parameter in built.named_parameters():
        if score == "location" and name.split(".")[-2] == "key_proj":  # it does not look at the keys it is given
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_depend_on_the_seed_alone(model):
    """What is not attention is the same for a seed whatever the score and scope, and differs between seeds."""

    def rest(seed, score, scope):
        torch.seed()  # what was drawn before has no say
        state = build(score, scope, model=model, seed=seed, cell="lstm", **SMALL).state_dict()
        return {name: value for name, value in state.items() if ".score." not in name and ".scope." not in name}

    for seed in (0, 1, 7):
        pairs = [pair for name, *pair in EVERY if name == model]
        first = rest(seed, *pairs[0])
        other = rest(seed + 1, *pairs[0])
        drawn = [name for name, value in first.items() if value.unique().numel() > 1]  # a norm begins with 1 and 0
        assert drawn
        assert not any(torch.equal(first[name], other[name]) for name in drawn)
        for pair in pairs[1:]:
            found = rest(seed, *pair)
            assert found.keys() == first.keys()
            assert all(torch.equal(found[name], first[name]) for name in first)


@pytest.mark.parametrize(("model", "score"), sorted({(model, score) for model, score, _ in EVERY if score}), ids=str)
def test_a_scores_weights_are_the_same_under_every_scope(model, score):
    def weights(scope, seed):
        state = build(score, scope, model=model, seed=seed, **SMALL).state_dict()
        return {name: value for name, value in state.items() if ".score." in name}

    scopes = [scope for name, own, scope in EVERY if (name, own) == (model, score)]
    first, other = weights(scopes[0], 3), weights(scopes[0], 4)
    for scope in scopes[1:]:
        found = weights(scope, 3)
        assert found.keys() == first.keys()
        assert all(torch.equal(found[name], first[name]) for name in first)
    matrices = [name for name, value in first.items() if value.dim() > 0]  # cosine's strength always starts at 0
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


SCOPE = {"transformer": "self", "lstmn": "self"}  # the others are tried under global
TO_FIVE = Data(vocabulary=10, min_length=3, max_length=5, test_lengths=(5,), validation_examples=60, test_examples=200)


@pytest.mark.parametrize("model", MODELS)
def test_it_learns_to_copy_five_symbols(model):
    options = {"width": 64, "slots": 16, "slot_width": 20}
    train_options = {"steps": 800, "batch_size": 32, "learning_rate": 0.005, "valid_every": 50}
    stop = StopAt(exact_match=0.99)
    scope = SCOPE.get(model, "global")
    described = pack((0,), "additive", scope, data=TO_FIVE, model=options, kind=model, stop_at=stop, **train_options)
    (outcome,) = train(described)
    assert outcome.status == "done"
    assert outcome.metrics["exact_match@5"] >= 0.9
    assert outcome.metrics["aer@5"] < 0.5


@pytest.mark.parametrize("model", MODELS)
def test_a_stack_is_its_replicas(model):
    """The objective, its gradient and greedy decoding of two stacked seeds are those of each by itself."""
    described = pack((3, 8), "additive", SCOPE.get(model, "global"), kind=model, model={"glimpses": 1})
    both, batch = stack(described), batches(described, 1)[0]
    objective, loss = both.loss(batch)
    objective.sum().backward()
    shared = Batch(*(part[0] for part in batch))
    words = both.greedy(shared, 7)
    for found, expected in zip(both.evaluated(shared, 7), (words, *both.forced(shared)), strict=True):
        torch.testing.assert_close(found, expected, **EXACT)
    for k, seed in enumerate(described.seeds):
        alone = Replica(build_small(described, seed))
        own_objective, own_loss = alone.loss(*(part[k] for part in batch))
        own_objective.backward()
        torch.testing.assert_close(objective[k], own_objective, **EXACT)
        torch.testing.assert_close(loss[k], own_loss, **EXACT)
        assert torch.equal(words[k], alone.eval().greedy(batch.source[0], 7))
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(both.parameters[name].grad[k], parameter.grad, **EXACT)
