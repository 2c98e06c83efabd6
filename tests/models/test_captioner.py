"""The captioner against a loop over the equations, and what the tests of every other model test."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from attnbench import registry
from attnbench.cell import Cell, Component, Data, Pack, Train
from attnbench.grid.incompatible import incompatibility
from attnbench.tasks.build import build_task
from attnbench.tasks.streams import training_stream
from attnbench.training.batches import to_batch
from attnbench.training.build import build_model
from attnbench.training.stack import Replica, Stack
from attnbench.training.train import train

CPU = torch.device("cpu")
DATA = Data(min_length=1, max_length=3, validation_examples=20, test_examples=30)
SCORES = registry.score.names()
PAIRS = [("additive", scope, {}) for scope in ("none", "global", "local-m", "local-p", "monotonic")]
PAIRS += [("additive", "hard", {"estimator": name}) for name in ("reinforce", "straight_through", "gumbel", "exact")]
PAIRS += [(score, "global", {}) for score in SCORES if score != "additive"]
EXACT = {"rtol": 0, "atol": 1e-9}


def pack(
    score="additive", scope="global", options=None, seeds=(0,), task=None, data=DATA, normaliser="softmax", **model
):
    takes = registry.scope.entry(scope).takes("normaliser")
    train_ = {name: model.pop(name) for name in ("steps", "batch_size", "valid_every") if name in model}
    cell = Cell(
        model=_part("model", "captioner", **({"width": 8, "embedding": 6, "channels": 4} | model)),
        score=None if scope == "none" else _part("score", score),
        scope=_part("scope", scope, **(options or {})),
        normaliser=_part("normaliser", normaliser) if takes else None,
        task=_part("task", "caption", **(task or {})),
        data=data,
        train=Train(**({"steps": 4, "batch_size": 3, "valid_every": 2} | train_)),
        seed=seeds[0],
    )
    return Pack(cell=cell, seeds=seeds, ids=tuple(f"cell-{seed}" for seed in seeds))


def _part(kind, name, **options):
    return Component(name=name, options=registry.REGISTRIES[kind].entry(name).resolve(options))


def build(described, seed=0):
    cell = described.cell
    return build_model(cell, build_task(cell.task, cell.data), 25, seed).double()


def batches(described, count=1):
    cell = described.cell
    task = build_task(cell.task, cell.data)
    stream = training_stream(task, cell.task, cell.data, described.seeds, cell.train.batch_size)
    found = [to_batch(stream.batch(), CPU) for _ in range(count)]
    return [batch._replace(source=batch.source.double()) for batch in found]


def annotations(model, image):
    """a_i of one image (H,W), from the definition of a convolution: a loop over places and pixels."""
    encoder, found = model.encoder, image[None]
    for layer, rectified in zip(encoder.layers, (True, True, False), strict=True):
        side = found.shape[-1] // 2
        padded = functional.pad(found, (1, 1, 1, 1))
        out = torch.zeros(layer.out_channels, side, side, dtype=torch.float64)
        for row in range(side):
            for column in range(side):
                window = padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
                out[:, row, column] = (layer.weight * window).sum((1, 2, 3)) + layer.bias
        found = out.clamp(min=0) if rectified else out
    each = []
    for row in range(5):
        for column in range(5):
            placed = (found[:, row, column] + encoder.rows[row, 0] + encoder.columns[column]).clamp(min=0)
            linear = encoder.last.weight @ placed + encoder.last.bias
            centred = linear - linear.mean()
            scaled = centred / (centred.square().mean() + 1e-5).sqrt()
            each.append(encoder.norm.weight * scaled + encoder.norm.bias)
    return each


def logits_by_hand(model, image, previous):
    """Xu et al.'s model with the additive score and the GRU of the model rnn, one sentence, word by word."""
    keys = annotations(model, image)
    mean = sum(keys) / len(keys)
    state = (model.init_proj.weight @ mean).tanh()
    score, width = model.attention.score, model.width
    logits, all_weights = [], []
    for word in previous.tolist():
        x = model.target_embedding.weight[word]
        if score is None:
            context = mean
        else:
            q, k, v = score.query_proj.weight, score.key_proj.weight, score.v.weight[0]
            e = torch.stack([v @ torch.tanh(q @ state + k @ key) for key in keys])
            weights = e.exp() / e.exp().sum()
            all_weights.append(weights)
            context = sum(a * key for a, key in zip(weights, keys, strict=True))
        inputs = model.word_proj.weight @ x + model.word_proj.bias + model.feed_proj.weight @ context
        recurrent = model.recurrent_proj.weight @ state + model.recurrent_proj.bias
        (r1, z1, n1), (r2, z2, n2) = inputs.split(width), recurrent.split(width)
        reset, update = torch.sigmoid(r1 + r2), torch.sigmoid(z1 + z2)
        state = (1 - update) * torch.tanh(n1 + reset * n2) + update * state
        logits.append(model.readout.weight @ torch.cat([state, context, x]) + model.readout.bias)
    return torch.stack(logits), torch.stack(all_weights) if all_weights else None


@pytest.mark.parametrize("scope", ["global", "none"])
def test_it_is_a_loop_over_the_equations(scope):
    described = pack(scope=scope)
    model = build(described)
    with torch.no_grad():
        model.encoder.rows.normal_()
        model.encoder.columns.normal_()
        (batch,) = batches(described)
        output = model(batch.source[0], None, batch.previous[0])
        for b in range(3):
            logits, weights = logits_by_hand(model, batch.source[0, b], batch.previous[0, b])
            torch.testing.assert_close(output.logits[b], logits, **EXACT)
            if weights is not None:
                torch.testing.assert_close(output.weights[b], weights, **EXACT)


def test_its_gradient_is_right():
    described = pack(width=4, embedding=3, channels=2, batch_size=1)
    model = build(described)
    with torch.no_grad():
        for layer in model.encoder.layers:
            layer.bias.normal_()  # with a bias of 0, empty patches are at the kink of the relu
    (batch,) = batches(described)
    names = [name for name, _ in model.named_parameters()]

    def loss(*parameters):
        given = dict(zip(names, parameters, strict=True))
        output = torch.func.functional_call(model, given, (batch.source[0], None, batch.previous[0]))
        return output.logits.log_softmax(-1).gather(-1, batch.target[0].unsqueeze(-1)).sum()

    assert torch.autograd.gradcheck(loss, [p.detach().requires_grad_() for p in model.parameters()])


@pytest.mark.parametrize(("score", "scope", "options"), PAIRS, ids=str)
def test_forward_is_decoding_step_by_step_and_every_parameter_gets_a_gradient(score, scope, options):
    described = pack(score, scope, options)
    cell = described.cell
    assert incompatibility(cell.model, cell.score, cell.scope, cell.normaliser, cell.task) is None
    model = build(described).eval()
    (batch,) = batches(described)
    source, previous, target = (part[0] for part in batch)
    with torch.no_grad():
        whole = model(source, None, previous)
        memory, state = model.encode(source, None)
        for index in range(previous.shape[1]):
            state, words, weights = model.step(memory, state, previous[:, index], index)
            torch.testing.assert_close(whole.logits[:, index].log_softmax(-1), words.log_softmax(-1), **EXACT)
            torch.testing.assert_close(whole.weights[:, index], weights, **EXACT)
    objective, _ = Replica(model.train())("loss", source, previous, target)
    objective.backward()
    for name, parameter in model.named_parameters():
        if name == "target_embedding.weight":
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize(("score", "scope", "options"), PAIRS, ids=str)
def test_a_stack_is_its_replicas(score, scope, options):
    described = pack(score, scope, options, seeds=(3, 8))
    (batch,) = batches(described)
    both = Stack(lambda seed: build(described, seed), described.seeds, CPU)
    objective, loss = both.loss(batch)
    gradients = torch.autograd.grad(objective.sum(), list(both.parameters.values()), allow_unused=True)
    words = both.greedy(batch._replace(source=batch.source[0]), 4)
    for k, seed in enumerate(described.seeds):
        alone = Replica(build(described, seed))
        own_objective, own_loss = alone("loss", *(part[k] for part in batch))
        own_objective.backward()
        torch.testing.assert_close(objective[k], own_objective, **EXACT)
        torch.testing.assert_close(loss[k], own_loss, **EXACT)
        assert torch.equal(words[k], alone.eval()("greedy", batch.source[0], 4))
        parameters = dict(alone.named_parameters())
        for name, gradient in zip(both.parameters, gradients, strict=True):
            if gradient is None:
                assert parameters[name].grad is None
            else:
                torch.testing.assert_close(gradient[k], parameters[name].grad, **EXACT)


def test_the_coverage_penalty_is_that_of_equation_14():
    described = pack(coverage_penalty=0.5)
    (batch,) = batches(described)
    source, previous, target = (part[0] for part in batch)
    found, _ = Replica(build(described))("loss", source, previous, target)
    plain, _ = Replica(build(pack()))("loss", source, previous, target)
    weights = build(described)(source, None, previous).weights.detach()
    words, penalty = int((target != 0).sum()), 0.0
    for b in range(3):
        for i in range(25):
            penalty += (1 - sum(float(weights[b, t, i]) for t in range(target.shape[1]) if target[b, t])) ** 2
    assert (found - plain).item() == pytest.approx(0.5 * penalty / words, abs=1e-9)


def test_trained_it_has_scenes_and_gold_patches_in_its_alignments():
    (outcome,) = train(pack(task={"clutter": 4}))
    assert outcome.status == "done", outcome.error
    a = outcome.alignments
    assert a.images.shape == (8, 40, 40)
    assert a.forming_image.shape == (1, 40, 40)
    assert (a.weights.shape[2], a.links.shape, a.possible.shape) == (25, a.weights.shape, a.weights.shape)
    assert a.source[0][:6] == ["1,1", "1,2", "1,3", "1,4", "1,5", "2,1"]
    assert a.target[0][-1] == "</s>"
    assert not a.links[0, len(a.target[0]) - 1].any()  # EOS
    assert a.forming_possible.shape == (1, *a.forming.shape[1:])
    assert np.array_equal(a.links & a.possible, a.links)
    assert {"aer", "pointing", "alignment_mass"} <= {
        name for name, value in outcome.metrics.items() if value is not None
    }
