"""Faults to plant: single-line changes of the package, such as people make, that CI should notice.

Each is a text that stands once in a file, and what takes its place. `where` names the configurations of
experiments/ci.yaml that the line has a part in: only they are trained, all others would come out as they are.

Not planted, because no accuracy can tell them, whatever the gate: what training makes up for, since the numbers are
learned (the matrix of `general` transposed, the rows of `location` counted from another one, the NTM's shift in the
other direction), or that Adam divides out (gradients too small); and what has no gated metric (plots, seconds).
"""

from typing import NamedTuple

Where = dict[str, object]


class Fault(NamedTuple):
    """A fault: what breaks, the file in attnbench/, the line's old and new text, and the configurations concerned."""

    name: str
    file: str
    old: str
    new: str
    where: Where


# The first list was at hand while experiments/ci.yaml was made.
FAULTS = [
    # Scores.
    Fault(
        "additive without tanh",
        "scores/additive.py",
        "(_inside(queries, prepared).sigmoid() * v)",
        "(_inside(queries, prepared) * v)",
        {"score": "additive"},
    ),
    Fault(
        "additive without the query",
        "scores/additive.py",
        "queries = self.query_proj(query)",
        "queries = 0 * self.query_proj(query)",
        {"score": "additive"},
    ),
    Fault(
        "scaled dot without its scale",
        "scores/scaled_dot.py",
        "keys / math.sqrt(keys.shape[-1])",
        "keys",
        {"score": "scaled_dot"},
    ),
    Fault(
        "scaled dot multiplied by its scale",
        "scores/scaled_dot.py",
        "keys / math.sqrt(keys.shape[-1])",
        "keys * math.sqrt(keys.shape[-1])",
        {"score": "scaled_dot"},
    ),
    Fault(
        "cosine without its strength",
        "scores/cosine.py",
        "return beta * dot_products(unit(query), prepared)",
        "return unit(query) @ prepared.mT",
        {"score": "cosine", "model": "rnn"},
    ),
    # Scopes and masking.
    Fault(
        "padding attended",
        "scopes/masking.py",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)",
        "torch.arange(source_length, device=lengths.device) >= 0 * lengths.unsqueeze(-1)",
        {},
    ),
    Fault(
        "the last word masked",
        "scopes/masking.py",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1) - 2",
        {},
    ),
    Fault(
        "softmax over the queries",
        "scopes/masking.py",
        "return logits.softmax(-1)\n",
        "return logits.softmax(-2)\n",
        {"score": "general"},
    ),
    Fault(
        "local-m's window one too narrow",
        "scopes/local_m.py",
        "(positions - centre).abs() <= self.window",
        "(positions - centre).abs() < self.window",
        {"scope": "local-m"},
    ),
    Fault(
        "local-m's window one step late",
        "scopes/local_m.py",
        "torch.arange(step, step + logits",
        "torch.arange(step - 1, step - 1 + logits",
        {"scope": "local-m"},
    ),
    Fault(
        "local-p centred on the end",
        "scopes/local_p.py",
        "centre = last * share.to(torch.promote_types(share.dtype, torch.float32))",
        "centre = last * torch.ones_like(share)",
        {"scope": "local-p"},
    ),
    Fault(
        "local-p without its Gaussian",
        "scopes/local_p.py",
        "return weights * gaussian.to(weights.dtype)",
        "return weights",
        {"scope": "local-p"},
    ),
    Fault(
        "hard attention rewarded for what is bad",
        "scopes/hard.py",
        "gain = likelihood.sum() + self.reinforce_weight",
        "gain = likelihood.sum() - self.reinforce_weight",
        {"scope": "hard"},
    ),
    Fault(
        "hard attention's likeliest position taken of the least",
        "scopes/hard.py",
        "best = preference.argmax(-1, keepdim=True)",
        "best = preference.argmin(-1, keepdim=True)",
        {"scope": "hard"},
    ),
    # Attention and models.
    Fault(
        "the context is the mean of the source",
        "attention.py",
        "return Attended(weighted_sums(weights, source.values), weights, logits)",
        "return Attended(source.values.mean(-2, keepdim=True).expand_as(query), weights, logits)",
        {"score": "dot"},
    ),
    Fault(
        "the state of the sentence before compares",
        "models/rnn.py",
        "attended = self.attention.read(output.unsqueeze(1), memory.source, index)",
        "attended = self.attention.read(output.roll(1, 0).unsqueeze(1), memory.source, index)",
        {"score": "dot"},
    ),
    Fault(
        "the wrong decoder state compares: always that before the first step",
        "models/rnn.py",
        "attended = self.attention.read(self.kind.output(state).unsqueeze(1), memory.source, index)",
        "attended = self.attention.read(0 * self.kind.output(state).unsqueeze(1), memory.source, index)",
        {"score": "general"},
    ),
    Fault(
        "the encoder's state is lost",
        "models/rnn.py",
        "output = self.init_proj(states[:, 0, self.width // 2 :]).tanh()",
        "output = self.init_proj(states[:, 0, self.width // 2 :]).tanh() * 0",
        {"model.init": "encoder"},
    ),
    Fault(
        "the backward encoder is not turned back",
        "models/recurrent_cells.py",
        "torch.cat([forward.transpose(0, 1), backward.flip(0).transpose(0, 1)], dim=-1)",
        "torch.cat([forward.transpose(0, 1), backward.transpose(0, 1)], dim=-1)",
        {"model": "rnn", "score": "general"},
    ),
    Fault(
        "the decoder sees the future",
        "models/transformer.py",
        "torch.arange(length, device=previous.device) <= steps",
        "torch.arange(length, device=previous.device) <= steps + 1",
        {"model": "transformer"},
    ),
    Fault(
        "positions are not told",
        "models/transformer.py",
        "return states + sinusoids(start, words.shape[1], self.width, states)",
        "return states",
        {"model": "transformer"},
    ),
    Fault(
        "decoding takes every step for the first",
        "models/transformer.py",
        "self._decode(memory, state, previous.unsqueeze(1), index)",
        "self._decode(memory, state, previous.unsqueeze(1), 0)",
        {"model": "transformer"},
    ),
    Fault(
        "the NTM reads before it has shifted",
        "models/ntm.py",
        "return addressing.sharpen(moved, ",
        "return addressing.sharpen(mixed, ",
        {"model": "ntm"},
    ),
    Fault(
        "the pointer points at the word before",
        "models/pointer.py",
        "nothing.scatter_add(-1, memory.words.unsqueeze(1)",
        "nothing.scatter_add(-1, memory.words.roll(1, -1).unsqueeze(1)",
        {"model": "pointer"},
    ),
    Fault(
        "the LSTMN's tapes are mixed up",
        "models/lstmn.py",
        "last[..., : self.width], last)",
        "last[..., : self.width], last * 0)",
        {"model": "lstmn"},
    ),
    # Alignment.
    Fault(
        "AER against shifted links",
        "training/metrics.py",
        "linked & at_best",
        "linked & np.roll(at_best, 1, -1)",
        {"score": "dot"},
    ),
    Fault(
        "the alignment transposed",
        "training/metrics.py",
        "best = weights[:, :, :-1].argmax(-1)",
        "best = weights[:, :, :-1].argmax(-2)[..., : weights.shape[2] - 1]",
        {"score": "dot"},
    ),
    # Training.
    Fault(
        "the worst weights are kept",
        "training/selection.py",
        "better = [new > old for",
        "better = [new < old for",
        {"score": "dot"},
    ),
    Fault(
        "the gold word as input",
        "training/batches.py",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)",
        "previous = target",
        {"score": "dot"},
    ),
    Fault(
        "the end of the sentence is not trained",
        "training/stack.py",
        "log_likelihood, mask = _log_likelihood(output.words, target), target != PAD",
        "log_likelihood, mask = _log_likelihood(output.words, target), target > 2",
        {"score": "dot"},
    ),
    Fault(
        "the learning rate starts where it should end",
        "training/train.py",
        "(min(1.0, left / falling) if falling else 1.0)",
        "(min(1.0, left / falling) / 10 if falling else 1.0)",
        {},
    ),
    Fault(
        "old gradients are added to new ones",
        "training/adam.py",
        "            parameter.grad = None",
        "            parameter.grad = None if self.steps[0] < 2 else parameter.grad",
        {},
    ),
]

# The second list was written after experiments/ci.yaml, by someone who had not seen what its gate catches.
HELD_OUT = [
    # Scores.
    Fault(
        "cosine's norm over the positions",
        "scores/cosine.py",
        "norm = vectors.norm(dim=-1, keepdim=True)",
        "norm = vectors.norm(dim=-2, keepdim=True)",
        {"score": "cosine"},
    ),
    Fault(
        "scaled dot without the root",
        "scores/scaled_dot.py",
        "return keys / math.sqrt(keys.shape[-1])",
        "return keys / keys.shape[-1]",
        {"score": "scaled_dot"},
    ),
    Fault(
        "location's rows counted from the end",
        "scores/location.py",
        "self.proj(query)[..., :source_length]",
        "self.proj(query)[..., -source_length:]",
        {"score": "location"},
    ),
    # Scopes.
    Fault(
        "local-m's window or the mask",
        "scopes/local_m.py",
        "near if mask is None else near & mask",
        "near if mask is None else near | mask",
        {"scope": "local-m"},
    ),
    Fault(
        "local-p's Gaussian without its square",
        "scopes/local_p.py",
        "torch.exp(-((positions - centre) ** 2) / ",
        "torch.exp(-(positions - centre) / ",
        {"scope": "local-p"},
    ),
    Fault(
        "the fixed context's backward half from the wrong end",
        "scopes/none.py",
        "values[..., :1, half:]",
        "values[..., -1:, half:]",
        {"scope": "none"},
    ),
    # Masking.
    Fault(
        "masked logits are 0, not minus infinity",
        "scopes/masking.py",
        "return logits.masked_fill(~allowed, -torch.inf)",
        "return logits.masked_fill(~allowed, 0)",
        {"score": "general"},
    ),
    Fault(
        "the backward encoder's mask is not turned",
        "models/recurrent_cells.py",
        "torch.stack([mask.mT, mask.mT.flip(0)], dim=1)",
        "torch.stack([mask.mT, mask.mT], dim=1)",
        {"task": "sort"},
    ),
    Fault(
        "the Transformer's cross-attention forgets the padding",
        "models/transformer.py",
        "layer.look_across(states, source, memory.mask)",
        "layer.look_across(states, source, None)",
        {"model": "transformer"},
    ),
    # Alignment.
    Fault(
        "linked words counted for gold links",
        "training/metrics.py",
        "int((links & is_word[..., None]).sum())",
        "int((links & is_word[..., None]).any(-1).sum())",
        {"task": "translate"},
    ),
    Fault(
        "alignment mass over EOS too",
        "training/metrics.py",
        "tally.linked_words += int(has_gold.sum())",
        "tally.linked_words += int(gold_words.sum())",
        {"score": "dot"},
    ),
    # Models.
    Fault(
        "the marginal summed over the steps",
        "models/rnn.py",
        "return (each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(2)",
        "return (each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(1)",
        {"scope": "hard"},
    ),
    Fault(
        "the alignment of the first head alone",
        "models/transformer.py",
        "return Output(words, weights.mean(1), weights)",
        "return Output(words, weights[:, 0], weights)",
        {"model": "transformer"},
    ),
    Fault(
        "the LSTMN's decoder does not lengthen its tapes",
        "models/lstmn.py",
        "state = State(self.decoder.remember(state, both), hidden, crossed)",
        "state = State(state.tapes, hidden, crossed)",
        {"model": "lstmn"},
    ),
    Fault(
        "the first symbol embedded as EOS",
        "models/values.py",
        "torch.where((symbols < 0).unsqueeze(-1), special, vectors)",
        "torch.where((symbols <= 0).unsqueeze(-1), special, vectors)",
        {"model": "pointer"},
    ),
    Fault(
        "the NTM writes with its read heads",
        "models/ntm.py",
        "addressing.write(machine.memory, weights[:, self.heads :], erase, add)",
        "addressing.write(machine.memory, weights[:, : self.heads], erase, add)",
        {"model": "ntm"},
    ),
    # Tasks.
    Fault(
        "sort's links the other way round",
        "tasks/sort.py",
        "one_to_one(order))",
        "one_to_one(np.argsort(order, axis=1)))",
        {"task": "sort"},
    ),
    Fault(
        "the links of noun and adjective swapped",
        "tasks/grammar.py",
        "((0,), *[(2,)] * len(nouns), (1,))",
        "((0,), *[(1,)] * len(nouns), (2,))",
        {"task": "translate"},
    ),
    # Training.
    Fault(
        "PAD before the first word, where decoding has BOS",
        "training/batches.py",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)])",
        {"score": "dot"},
    ),
    Fault(
        "training in evaluation mode",
        "training/stack.py",
        "self.template.train()",
        "self.template.eval()",
        {"scope": "hard"},
    ),
]
