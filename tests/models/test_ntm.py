"""The neural Turing machine against its equations written out as loops, and what the paper says of it."""

import numpy as np
import pytest
import torch
from normaliser_forms import normalised, numbers_of
from ntm_equations import (
    CONTROLLERS,
    EXACT,
    SCORES,
    SIZES,
    Now,
    answer,
    assert_close,
    by_hand,
    copier,
    ntm,
    run,
    shapes,
)
from rnn_equations import LENGTHS, LONGEST, batch, cell
from torch import Tensor, nn
from torch.func import functional_call

from attnbench.cell import Component
from attnbench.errors import AttnbenchError
from attnbench.grid.incompatible import incompatibility
from attnbench.models.ntm import Machine
from attnbench.registry import REGISTRIES
from attnbench.training.batches import Batch
from attnbench.training.stack import Stack

STEPS, WORDS = 5, 8
every_score = pytest.mark.parametrize("score", SCORES)
every_controller = pytest.mark.parametrize("controller", CONTROLLERS)
both_heads = pytest.mark.parametrize("heads", [1, 2])
SYSTEMS = [(score, {"controller": controller, "heads": 2}) for score in SCORES for controller in CONTROLLERS]
SYSTEMS += [("cosine", {"heads": heads, "shifts": shifts}) for heads in (1, 2) for shifts in (0, 1, 2)]
SYSTEMS += [("dot", {"slots": 1, "shifts": 2}), ("general", {"slots": 3, "shifts": 2, "slot_width": 1})]


def name_of(part) -> str:
    return "-".join(f"{k}={v}" for k, v in part.items()) if isinstance(part, dict) else str(part)


def is_now(state: Machine, b: int, now: Now, controller: str) -> None:
    """The machine of sentence b is that of the loops."""
    assert_close(state.memory[b], now.memory)
    assert_close(state.weights[b], np.concatenate([now.reading, now.writing]))
    assert_close(state.read[b], now.read)
    parts = {"lstm": [now.output, now.cell], "gru": [now.output], "feedforward": [np.zeros(0)]}[controller]
    assert_close(state.controller[b], np.concatenate(parts))


SYSTEMS += [("dot", {"heads": 2, "normaliser": name}) for name in ("sparsemax", "entmax", "ssmax")]


@pytest.mark.parametrize(("score", "options"), SYSTEMS, ids=name_of)
def test_every_step_is_its_equations(score, options):
    """Each sentence by itself and unpadded in the loops; all together and padded in the machine."""
    model = ntm(score, **options)
    name = options.get("normaliser", "softmax")
    numbers = numbers_of(model.attention.normaliser)
    own = options | {"normalise": lambda logits, positions: normalised(name, logits, positions, **numbers)}
    controller = (SIZES | options)["controller"]
    source, lengths, previous = batch()
    whole = model(source, lengths, previous)
    memory, state = model.encode(source, lengths)
    trace = answer(model, memory, state, previous)
    for b, length in enumerate(lengths.tolist()):
        nows, weights = run(model, score, source[b, :length].tolist(), STEPS, **own)
        assert_close(memory[b, :length], [now.writing.mean(0) for now in nows[:length]])
        assert (memory[b, length:] == 0).all()
        is_now(state, b, nows[length - 1], controller)
        for t, (machine, words, row) in enumerate(trace):
            is_now(machine, b, nows[length + t], controller)
            assert_close(words[b], nows[length + t].logits)
            assert_close(row[b, :length], weights[t])
        assert_close(whole.logits[b], [now.logits for now in nows[length:]])
        assert_close(whole.weights[b, :, :length], weights)
        assert (whole.weights[b, :, length:] == 0).all()


@every_controller
def test_the_answer_is_given_blindly(controller):
    """Neither the previous words nor the source nor the number of the step reach the machine: its state alone does."""
    model = ntm(controller=controller, heads=2)
    source, lengths, previous = batch()
    expected = model(source, lengths, previous)
    for other in (previous.flip(0), torch.zeros_like(previous), torch.full_like(previous, 7)):
        found = model(source, lengths, other)
        assert torch.equal(found.logits, expected.logits)
        assert torch.equal(found.weights, expected.weights)
    memory, state = model.encode(source, lengths)
    with torch.no_grad():
        model.source_embedding.weight.fill_(torch.nan)  # no word is embedded from here on
    for index, word in enumerate(previous.unbind(1)):
        blind = model.step(memory * torch.nan, state, word, 99)
        state, words, weights = model.step(memory, state, word, index)
        assert torch.equal(words, expected.logits[:, index])
        assert torch.equal(weights, expected.weights[:, index])
        assert torch.equal(blind[1], words)
        assert all(torch.equal(a, b) for a, b in zip(blind[0], state, strict=True))


def test_the_source_is_carried_by_the_state():
    """With the state of another sentence, the answer is that of the other sentence."""
    model = ntm()
    source, lengths, previous = batch()
    expected = model(source, lengths, previous)
    memory, state = model.encode(source, lengths)
    turned = torch.tensor([1, 2, 3, 0])
    swapped = answer(model, memory, Machine(*(part[turned] for part in state)), previous)
    for t, (_, words, _) in enumerate(swapped):
        torch.testing.assert_close(words, expected.logits[turned, t], **EXACT)
    assert not torch.isclose(expected.logits[turned], expected.logits).any(-1).all(-1).any()


@both_heads
def test_what_is_read_is_read_after_the_writing_of_the_same_step(heads):
    model = ntm(heads=heads)
    source, lengths, previous = batch()
    memory, before = model.encode(source, lengths)
    for machine, _, _ in answer(model, memory, before, previous):
        reading = machine.weights[:, :heads]
        read = machine.read.unflatten(-1, (heads, -1))
        torch.testing.assert_close(read, torch.einsum("bhn,bnm->bhm", reading, machine.memory), **EXACT)
        assert not torch.isclose(read, torch.einsum("bhn,bnm->bhm", reading, before.memory)).all(-1).any()
        before = machine


@pytest.mark.parametrize("filler", [3, 7, "nan"])
@every_controller
def test_padding_is_inert_bit_for_bit(controller, filler):
    """Whatever word stands there, and even when its embedding is no number; the state and the gradients included."""
    model = ntm(controller=controller, heads=2)
    source, lengths, previous = batch()

    def everything(source: Tensor) -> list[Tensor]:
        output = model(source, lengths, previous)
        memory, state = model.encode(source, lengths)
        found = [output.logits, output.weights, memory, *state]
        if filler == "nan":
            return found
        total = output.logits.square().sum() + output.weights.square().sum()
        return [*found, *torch.autograd.grad(total, list(model.parameters()))]

    expected = everything(source)
    if filler == "nan":
        with torch.no_grad():
            model.source_embedding.weight[0] = torch.nan  # of the padding's id alone
    else:
        source = torch.where(torch.arange(LONGEST) < LENGTHS[:, None], source, filler)
    for one, two in zip(everything(source), expected, strict=True):
        assert torch.equal(one, two)


@every_controller
def test_a_sentence_in_a_padded_batch_is_the_sentence_alone(controller):
    """Where its words were written, the machine after them, its answer and its weights."""
    model = ntm(controller=controller, heads=2)
    source, lengths, previous = batch()
    memory, state = model.encode(source, lengths)
    whole = model(source, lengths, previous)
    for b, length in enumerate(lengths.tolist()):
        own = source[b : b + 1, :length]
        written, machine = model.encode(own, None)
        alone = model(own, None, previous[b : b + 1])
        pairs = [(written[0], memory[b, :length]), *((one[0], two[b]) for one, two in zip(machine, state, strict=True))]
        pairs += [(alone.logits[0], whole.logits[b]), (alone.weights[0], whole.weights[b, :, :length])]
        for one, two in pairs:
            torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize(("score", "options"), SYSTEMS, ids=name_of)
def test_forward_is_decoding_step_by_step(score, options):
    model = ntm(score, **options)
    source, lengths, previous = batch()
    whole = model(source, lengths, previous)
    assert whole.logits.shape == (4, STEPS, WORDS)
    assert whole.weights.shape == (4, STEPS, LONGEST)
    trace = answer(model, *model.encode(source, lengths), previous)
    assert torch.equal(torch.stack([words for _, words, _ in trace], 1), whole.logits)
    assert torch.equal(torch.stack([row for _, _, row in trace], 1), whole.weights)


def test_the_alignment_of_two_heads_by_hand():
    """One reader stays at slot 0, one moves on; both writers move, in opposite directions, and meet in slot 0."""
    model = by_hand(reading=[0, 1], writing=[1, -1], slots=4)
    memory, state = model.encode(torch.full((1, 4), 3), None)
    assert_close(memory[0], torch.tensor([[0, 1, 0, 1], [0, 0, 2, 0], [0, 1, 0, 1], [2, 0, 0, 0]]) / 2)
    rows = [weights[0] for _, _, weights in answer(model, memory, state, torch.zeros(1, 4))]
    expected = [[0.5, 0, 0.5, 1], [0, 1, 0, 1], [0.5, 0, 0.5, 1], [0, 0, 0, 2]]  # slots 0 and 1, 0 and 2, …
    assert_close(torch.stack(rows), torch.tensor(expected) / 2)


@pytest.mark.parametrize("more", [0, 11, 100])
def test_a_machine_built_by_hand_copies_and_its_alignment_is_the_diagonal(more):
    """What word i writes is read at step i. A memory of more slots takes the same parameters, and longer sources."""
    model = copier(slots=8 + more)
    model.load_state_dict(copier(slots=8).state_dict())
    for length in {7, 7 + more}:  # slot 0 is not written
        source = torch.randint(3, 8, (3, length), generator=torch.Generator().manual_seed(more))
        output = model(source, None, torch.zeros_like(source))
        assert torch.equal(output.logits.argmax(-1), source)
        assert_close(output.weights, torch.eye(length).expand(3, -1, -1))


class OneStep(nn.Module):
    """A step as a function of everything it depends on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, memory: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        machine, words, weights = self.model.step(memory, Machine(*state), torch.zeros(len(memory)), 0)
        return *machine, words, weights


@every_score
def test_the_gradients_of_a_step_are_those_of_finite_differences(score):
    """Of memory, weights, what was read, the controller's state, where words were written, and every parameter."""
    model = OneStep(ntm(score, width=2, embedding=1, heads=2, slots=4, slot_width=2))
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    state = (draw(1, 4, 2), draw(1, 4, 4).softmax(-1), draw(1, 4), draw(1, 4))
    names = [name for name, _ in model.named_parameters() if "source_embedding" not in name]
    values = [dict(model.named_parameters())[name] for name in names]
    inputs = [part.detach().clone().requires_grad_() for part in (draw(1, 3, 4).softmax(-1), *state, *values)]

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        return functional_call(model, dict(zip(names, inputs[5:], strict=True)), inputs[:5])

    assert torch.autograd.gradcheck(step, inputs)


@every_controller
def test_the_gradients_of_a_whole_answer_are_those_of_finite_differences(controller):
    """Of every parameter, after a padded batch of two sentences; and all get one but the words that are not shown."""
    model = ntm(controller=controller, heads=2)
    source, lengths = torch.tensor([[4, 5, 3, 2], [6, 2, 0, 0]]), torch.tensor([4, 2])
    previous = torch.tensor([[1, 7, 3], [1, 4, 4]])
    names = [name for name, _ in model.named_parameters()]
    parameters = tuple(p.detach().clone().requires_grad_() for p in model.parameters())

    def outputs(*values: Tensor) -> tuple[Tensor, Tensor]:
        output = functional_call(model, dict(zip(names, values, strict=True)), (source, lengths, previous))
        return output.logits, output.weights

    assert torch.autograd.gradcheck(outputs, parameters, fast_mode=True)
    words, weights = outputs(*parameters)
    total = (words.flatten() * torch.linspace(-1, 1, words.numel())).sum() + weights.square().sum()
    gradients = dict(zip(names, torch.autograd.grad(total, parameters), strict=True))
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name
        assert (gradient != 0).any(), name
    assert set(gradients["source_embedding.weight"].any(-1).nonzero().flatten().tolist()) == {2, 3, 4, 5, 6}


@pytest.mark.parametrize(("score", "options"), SYSTEMS, ids=name_of)
def test_its_parameters_are_those_of_the_equations(score, options):
    """Each with its shape; their number follows. No slot has a parameter, and no target word is embedded."""
    expected = shapes(score, SIZES | options, WORDS)
    if options.get("normaliser") == "ssmax":
        expected["attention.scope.normaliser.scale"] = ()
    assert {name: tuple(p.shape) for name, p in ntm(score, **options).named_parameters()} == expected
    assert {name: tuple(p.shape) for name, p in ntm(score, **options | {"slots": 99}).state_dict().items()} == expected


# By hand, at D = 6, E = 4, M = 3, R = 1, V = 8: words 32; the controller 4·6·8 + 4·6·7, 3/4 of it, or 6·8; a pair of
# heads 2·9·7, erase and add 21 each, the readout 8·10. A second pair: 168 more, and 3·24 and 3·8 to read it.
TOTALS = [({}, 640), ({"controller": "gru"}, 550), ({"controller": "feedforward"}, 328), ({"heads": 2}, 904)]
TOTALS += [({"shifts": 0}, 612), ({"shifts": 2}, 668)]


@pytest.mark.parametrize(("options", "total"), TOTALS, ids=name_of)
def test_the_number_of_parameters_by_hand(options, total):
    assert sum(p.numel() for p in ntm("dot", **options).parameters()) == total


BAD = [("controller", "rnn"), ("slots", 0), ("slot_width", 0), ("heads", 0), ("shifts", -1), ("width", 0)]


@pytest.mark.parametrize(("option", "value"), BAD)
def test_impossible_options_are_refused(option, value):
    with pytest.raises(AttnbenchError, match=option):
        REGISTRIES["model"].entry("ntm").resolve({option: value})


def test_it_addresses_by_every_score_but_location_under_scope_global():
    def reason(score: str, scope: str) -> str | None:
        described = cell(score, scope, "ntm")
        return incompatibility(described.model, described.score, described.scope, None, Component(name="copy"))

    assert [score for score in REGISTRIES["score"].names() if reason(score, "global") is None] == sorted(SCORES)
    assert "location" in str(reason("location", "global"))
    scopes = [scope for scope in REGISTRIES["scope"].names() if scope != "global"]
    assert all("ntm" in str(reason("cosine", scope)) for scope in scopes)


@every_score
def test_a_stack_is_its_replicas(score):
    models = [ntm(score, seed=seed, heads=2) for seed in (0, 1)]
    stack = Stack(lambda seed: ntm(score, seed=seed, heads=2), (0, 1), torch.device("cpu"))
    source, _, previous = batch()
    target = previous.roll(-1, 1)
    each = [Batch(source, previous, target), Batch(source.flip(0), previous.roll(1, 0), target.roll(1, 0))]
    objectives, _ = stack.loss(Batch(*(torch.stack(parts) for parts in zip(*each, strict=True))))
    _, weights = stack.forced(each[0])
    words = stack.greedy(each[0], STEPS)
    for k, (model, own) in enumerate(zip(models, each, strict=True)):
        likelihood = model(own.source, None, own.previous).logits.log_softmax(-1)
        expected = -likelihood.gather(-1, own.target.unsqueeze(-1)).mean()
        torch.testing.assert_close(objectives[k], expected, **EXACT)
        torch.testing.assert_close(weights[k], model(source, None, previous).weights, **EXACT)
        assert torch.equal(words[k, :, 0], model(source, None, previous).logits[:, 0].argmax(-1))
