"""K stacked replicas are K single models, and none knows of another."""

import pytest
import torch
from small_packs import CPU, DATA, batches, build, pack, stack
from torch import nn

from attnbench import registry
from attnbench.models.base import Output, Seq2Seq
from attnbench.training.batches import Batch
from attnbench.training.stack import Stack

SEEDS = (0, 1, 5)
EXACT = {"rtol": 0, "atol": 1e-10}
# What draws nothing in training, so that one run can be held against another.
PAIRS = [(score, "global", {}) for score in registry.score.names()]
PAIRS += [("additive", "local-m", {}), ("general", "local-p", {"window": 2}), ("dot", "none", {})]
PAIRS += [("additive", "hard", {"estimator": "exact"}), ("additive", "hard", {"estimator": "reinforce"})]
MODELS = [
    {},
    {"cell": "lstm", "query": "current", "input_feeding": True, "reverse_source": True},
]
every_pair = pytest.mark.parametrize(
    ("score", "scope", "options"), PAIRS, ids=lambda x: x if isinstance(x, str) else ""
)
every_model = pytest.mark.parametrize("model", MODELS, ids=["gru-previous", "lstm-current"])


def described(score="dot", scope="global", options=None, seeds=SEEDS, **more):
    return pack(seeds, score, scope, scope_options=options, **more)


def nats(words, batch):
    """Log-likelihoods (B,T) of the target words, and where they are words."""
    gathered = words.log_softmax(-1).gather(-1, batch.target[..., None])[..., 0]
    return gathered, batch.target != 0


def replica_of(batch: Batch, k: int) -> Batch:
    return Batch(*(each[k] for each in batch))


@every_model
@every_pair
def test_loss_and_gradients_are_those_of_single_models(score, scope, options, model):
    this = described(score, scope, options, model=model)
    stacked, (batch,) = stack(this), batches(this, 1)
    objective, loss = stacked.loss(batch)
    assert not loss.requires_grad
    objective.sum().backward()
    for k, seed in enumerate(SEEDS):
        single, mine = build(this, seed).train(), replica_of(batch, k)
        output = single(mine.source, None, mine.previous)
        likelihood, mask = nats(output.logits, mine)
        expected = single.objective(output, likelihood, None, mask)
        expected.backward()
        torch.testing.assert_close(objective[k], expected, **EXACT)
        torch.testing.assert_close(loss[k], -(likelihood * mask).sum() / mask.sum(), **EXACT)
        for name, parameter in single.named_parameters():
            stacked_gradient = stacked.parameters[f"model.{name}"].grad[k]
            torch.testing.assert_close(stacked_gradient, parameter.grad, **EXACT)


@every_pair
def test_what_lies_beyond_a_targets_end_changes_nothing(score, scope, options):
    """More columns of PAD, whatever word is fed there, leave the objective, the loss and the gradients as they were."""
    this = described(score, scope, options)
    batch = batches(this, 1)[0]
    previous = torch.cat([batch.previous, torch.full_like(batch.previous[..., :2], 4)], dim=-1)
    longer = Batch(batch.source, previous, nn.functional.pad(batch.target, (0, 2)))
    seen = []
    for each in (batch, longer):
        stacked = stack(this)
        objective, loss = stacked.loss(each)
        objective.sum().backward()
        seen.append([objective, loss, *(p.grad for p in stacked.parameters.values())])
    for found, expected in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, **EXACT)


@every_model
@every_pair
def test_forced_and_greedy_are_those_of_single_models(score, scope, options, model):
    """In evaluation mode, whatever was done before; greedy decoding as a loop with a plain list of words."""
    this = described(score, scope, options, model=model)
    stacked, batch = stack(this), replica_of(batches(this, 1)[0], 0)
    for_all = Batch(*(each.expand(3, *each.shape) for each in batch))
    stacked.loss(for_all)
    likelihood, weights = stacked.forced(batch)
    stacked.loss(for_all)
    words = stacked.greedy(batch, 7)
    for one, other in zip(stacked.evaluated(batch, 7), (words, likelihood, weights), strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    for k, seed in enumerate(SEEDS):
        single = build(this, seed).eval()
        output = single(batch.source, None, batch.previous)
        torch.testing.assert_close(likelihood[k], nats(output.logits, batch)[0].detach(), **EXACT)
        torch.testing.assert_close(weights[k], output.weights.detach(), **EXACT)
        for b in range(len(batch.source)):
            assert words[k, b].tolist() == decode(single, batch.source[b : b + 1], 7)


def decode(single: Seq2Seq, source, steps: int) -> list[int]:
    memory, state = single.encode(source, None)
    words = [1]
    while len(words) <= steps and words[-1] != 2:
        state, logits, _ = single.step(memory, state, torch.tensor(words[-1:]), len(words) - 1)
        words.append(int(logits.argmax()))
    return words[1:] + [0] * (steps + 1 - len(words))


class Scripted(Seq2Seq):
    """Says what its script has for a sentence's first word, step by step, and notes in its logits what it was fed."""

    SCRIPT = torch.tensor([[4, 2, 5, 2], [2, 4, 4, 4], [3, 4, 5, 3], [3, 3, 3, 2]])

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, source, lengths):
        assert lengths is None
        return (self.SCRIPT[source[:, 0]],), torch.ones_like(source[:, 0])

    def step(self, memory, state, previous, index):
        # Each step must be fed the word that came of the one before; the state is that word.
        logits = nn.functional.one_hot(memory[0][:, index], 6).float()
        fed = (previous == state) | (previous == 0)
        return memory[0][:, index], torch.where(fed[:, None], logits, -logits), logits

    def forward(self, source, lengths, previous) -> Output:
        raise NotImplementedError


def test_greedy_feeds_each_word_to_the_next_step_and_is_pad_beyond_eos():
    stacked = Stack(lambda _: Scripted(), (0, 1), CPU)
    source = torch.tensor([[0], [1], [2], [3]])
    words = stacked.greedy(Batch(source, source, source), 4)
    assert words.tolist() == [[[4, 2, 0, 0], [2, 0, 0, 0], [3, 4, 5, 3], [3, 3, 3, 2]]] * 2


def test_an_evaluation_encodes_once(monkeypatch):
    this, calls = described(), []
    stacked = stack(this)
    kind = type(stacked.template.model)
    encode = kind.encode
    monkeypatch.setattr(kind, "encode", lambda *arguments: calls.append(1) or encode(*arguments))
    stacked.evaluated(replica_of(batches(this, 1)[0], 0), 3)
    assert len(calls) == 1


class Counting(Scripted):
    """Changes its state in place, as a model of a user may do: each step adds 1 to what teacher forcing starts from."""

    def encode(self, source, lengths):
        memory, state = super().encode(source, lengths)
        return memory, (state, torch.zeros(len(source)).expand_as(source[:, 0]) + 0.0 * source[:, 0])

    def step(self, memory, state, previous, index):
        word, steps = state
        weights = steps[:, None].expand(-1, 4).clone()
        word, logits, _ = super().step(memory, word, previous, index)
        steps += 1
        return (word, steps), logits, weights

    forward = Seq2Seq.forward


def test_a_model_that_changes_its_state_in_place_starts_anew():
    stacked = Stack(lambda _: Counting(), (0, 1), CPU)
    source = torch.tensor([[0], [1]])
    batch = Batch(source, torch.tensor([[1, 4], [1, 2]]), torch.tensor([[4, 2], [1, 2]]))
    _, _, weights = stacked.evaluated(batch, 4)
    assert weights[..., 0].tolist() == [[[0, 1], [0, 1]]] * 2


def test_a_score_of_a_user_is_encoded_anew(monkeypatch):
    """Its `update` may change the state in place, of which teacher forcing would see the last one."""

    class Own(nn.Module):
        def forward(self, query, keys):
            return query @ keys.mT

    this, calls = described(), []
    stacked = stack(this)
    stacked.template.model.attention.score = Own()
    kind = type(stacked.template.model)
    encode = kind.encode
    monkeypatch.setattr(kind, "encode", lambda *arguments: calls.append(1) or encode(*arguments))
    stacked.evaluated(replica_of(batches(this, 1)[0], 0), 3)
    assert len(calls) == 2


def test_a_forward_of_its_own_is_what_is_evaluated():
    """It may compute something else than `encode` and `step`, as in a model of a user."""

    class Own(Scripted):
        def forward(self, source, lengths, previous):
            assert lengths is None
            words = nn.functional.one_hot(previous, 6).float()
            return Output(words, torch.full((*previous.shape, source.shape[1]), 0.25))

    stacked = Stack(lambda _: Own(), (0, 1), CPU)
    source = torch.tensor([[0], [1]])
    previous, target = torch.tensor([[1, 4], [1, 2]]), torch.tensor([[4, 2], [1, 2]])
    words, likelihood, weights = stacked.evaluated(Batch(source, previous, target), 2)
    assert words.tolist() == [[[4, 2], [2, 0]]] * 2
    expected = nn.functional.one_hot(previous, 6).float().log_softmax(-1).gather(-1, target[..., None])[..., 0]
    torch.testing.assert_close(likelihood, expected.expand(2, 2, 2))
    assert (weights == 0.25).all()


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize(("score", "scope"), [("additive", "global"), ("general", "local-p"), ("dot", "hard")])
def test_a_poisoned_replica_leaves_its_mates_untouched(score, scope, poison):
    """Bit for bit: their losses, gradients, likelihoods, weights and words."""
    this = described(score, scope)
    batch = batches(this, 1)[0]
    seen = []
    for poisoned in (False, True):
        stacked = stack(this)
        if poisoned:
            for parameter in stacked.parameters.values():
                parameter.data[1] = poison
        objective, loss = stacked.loss(batch)
        objective.sum().backward()
        gradients = [p.grad for p in stacked.parameters.values()]
        shared = replica_of(batch, 0)
        seen.append([objective, loss, *gradients, *stacked.forced(shared), stacked.greedy(shared, 4)])
        assert bool(loss[1].isfinite()) != poisoned
    for clean, beside in zip(*seen, strict=True):
        assert torch.equal(clean[[0, 2]], beside[[0, 2]])


def test_each_replica_has_its_own_data():
    """Exchanging one replica's sentences changes its loss and no other."""
    this = described(data=DATA.model_copy(update={"min_length": 5}))  # of one length, to be exchanged
    stacked, (one, two) = stack(this), batches(this, 2)
    mixed = Batch(*(torch.stack([a[0], b[1], a[2]]) for a, b in zip(one, two, strict=True)))
    before, after = stacked.loss(one)[1], stacked.loss(mixed)[1]
    assert (before == after).tolist() == [True, False, True]


def test_reinforce_has_a_baseline_and_a_count_per_replica():
    """b ← .9 b + .1 R with R the mean log-likelihood of a sentence, in drawn minibatches; the first gives its start."""
    this = described("additive", "hard")
    stacked = stack(this)
    name = "model.attention.scope."
    expected = None
    for count, batch in enumerate(batches(this, 5), start=1):
        loss = stacked.loss(batch)[1]
        reward = -loss * (batch.target != 0).sum((1, 2)) / batch.target.shape[1]
        drawn = count % 2 == 0
        expected = reward if expected is None else 0.9 * expected + 0.1 * reward if drawn else expected
        torch.testing.assert_close(stacked.buffers[f"{name}baseline"].double(), expected, rtol=1e-6, atol=1e-9)
        assert stacked.buffers[f"{name}minibatch"].tolist() == [count] * 3
        assert len(set(expected.tolist())) == 3
        before = {k: v.clone() for k, v in stacked.buffers.items()}
        stacked.forced(replica_of(batch, 0))
        stacked.greedy(replica_of(batch, 0), 3)
        assert all(torch.equal(before[k], v) for k, v in stacked.buffers.items())


@pytest.mark.parametrize("estimator", ["reinforce", "straight_through", "gumbel"])
def test_replicas_draw_by_their_own_keys(estimator):
    """Twins with the same weights and sentences look at the same positions, and at others once a key is changed."""
    this = described("additive", "hard", {"estimator": estimator}, seeds=(3, 3))
    first, second = (Batch(*(each[:1].expand(2, *each.shape[1:]) for each in b)) for b in batches(this, 2))
    for same in (True, False):
        stacked = stack(this)
        if not same:
            stacked.buffers["model.attention.scope.noise.key"][1] += 1
        losses = [stacked.loss(batch)[1] for batch in (first, second)]
        assert (losses[1][0] == losses[1][1]) == same
        if estimator == "reinforce":  # the first minibatch is a soft one
            assert losses[0][0] == losses[0][1]


def test_noise_of_torchs_generator_is_refused():
    """All replicas would share it."""

    class Noisy(Scripted):
        def forward(self, source, lengths, previous):
            assert lengths is None
            return Output(torch.rand(*previous.shape, 6), torch.zeros(*previous.shape, source.shape[1]))

    source = torch.ones(2, 3, 4, dtype=torch.long)
    with pytest.raises(RuntimeError, match="random"):
        Stack(lambda _: Noisy(), (0, 1), CPU).loss(Batch(source, source, source))


def test_size_is_that_of_one_replica():
    this = described("additive")
    size = sum(p.numel() for p in build(this, 0).parameters())
    assert stack(this).size() == size
    assert stack(described("additive", seeds=(0,))).size() == size
