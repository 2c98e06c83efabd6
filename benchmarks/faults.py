"""Faults to plant: small changes of the package, such as people make, that CI should notice.

Each replaces one expression or one statement of a function. `old` and `new` are compared and inserted as syntax trees:
the layout of the code, its comments, its place in the file and the names of its variables do not matter. Names of the
module (imports, functions, constants), attributes and keywords have to be the same.

`where` names the configurations of experiments/ci.yaml that the code is part of: only they are trained, since all
others would not change.

Not planted, because no accuracy can show it, whatever the gate: what training makes up for, since the numbers are
learned (the matrix of `general` transposed, the rows of `location` counted from another one, the NTM's shift in the
other direction), or that Adam divides out (gradients too small); and what has no gated metric (plots, seconds).
"""

import ast
import builtins
from collections.abc import Mapping
from typing import Any, NamedTuple

Where = dict[str, object]


class Fault(NamedTuple):
    """A fault: its name, its file in attnbench/, the function, the code to replace, the configurations concerned."""

    name: str
    file: str
    function: str  # as in __qualname__: Class.method
    old: str
    new: str
    where: Where

    def plant(self, source: str) -> str:
        """Returns the text of the file with the fault in it.

        Raises:
            LookupError: the function does not exist, does not have `old` exactly once, or lacks a variable of `new`.
        """
        place = f"fault {self.name!r}: {self.function} in attnbench/{self.file}"
        module = ast.parse(source)
        function = _function(module, self.function.split("."))
        if function is None:
            raise LookupError(f"{place} does not exist: set the fault's file and function to where its code is now")
        shared, old, new = _shared(module), _snippet(self.old), _snippet(self.new)
        found = []
        for node in ast.walk(function):
            names: dict[str, str] = {}
            if _matches(old, node, shared, names):
                found.append((node, names))
        if len(found) != 1:
            raise LookupError(f"{place}: found {len(found)} times, not once: {self.old}")
        ((node, names),) = found
        unknown = _names(new) - names.keys() - _names(function) - shared - _bound(new)
        if unknown:
            raise LookupError(f"{place} has no variable {', '.join(sorted(unknown))}, used in: {self.new}")
        return _replaced(source, node, ast.unparse(_Renamed(names).visit(new)))


class _Renamed(ast.NodeTransformer):
    """Gives variables the names that they have in the package."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)


def _function(node: ast.AST, path: list[str]) -> ast.AST | None:
    """The function or class at the end of a path of names."""
    for name in path:
        inside = [n for n in getattr(node, "body", []) if getattr(n, "name", None) == name]
        if len(inside) != 1:
            return None
        (node,) = inside
    return node


def _snippet(code: str) -> ast.AST:
    """An expression, or else a statement."""
    (statement,) = ast.parse(code).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _names(tree: ast.AST) -> set[str]:
    """All variables in a tree, its functions' parameters included."""
    return {n.id if isinstance(n, ast.Name) else n.arg for n in ast.walk(tree) if isinstance(n, ast.Name | ast.arg)}


def _bound(tree: ast.AST) -> set[str]:
    """The variables to which a tree itself gives values."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _shared(module: ast.Module) -> set[str]:
    """The names that every function of a module sees."""
    found = set(dir(builtins))
    for statement in module.body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
            case ast.FunctionDef() | ast.ClassDef():
                found.add(statement.name)
            case _:
                found |= _bound(statement)
    return found


def _matches(old: Any, node: Any, shared: set[str], names: dict[str, str]) -> bool:
    """Whether code is equal except for the names of variables that are not shared; these are added to `names`."""
    if type(old) is not type(node):
        return False
    if isinstance(old, ast.Name) and old.id not in shared:
        same = node.id not in shared and names.setdefault(old.id, node.id) == node.id
        # Two variables of `old` are two variables of the package.
        return same and len(set(names.values())) == len(names)
    if isinstance(old, ast.AST):
        return all(_matches(getattr(old, f, None), getattr(node, f, None), shared, names) for f in old._fields)
    if isinstance(old, list):
        return len(old) == len(node) and all(_matches(a, b, shared, names) for a, b in zip(old, node, strict=True))
    return bool(old == node)


def _replaced(source: str, node: Any, code: str) -> str:
    """The source with other code in place of a node."""
    # The columns of a tree count bytes.
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    # In parentheses an expression keeps its place among the operators around it.
    return (before + (f"({code})" if isinstance(node, ast.expr) else code).encode() + after).decode()


# The first list was at hand while experiments/ci.yaml was made.
FAULTS = [
    # Scores.
    Fault(
        "additive without tanh",
        "scores/hidden_layer.py",
        "hidden_layer_logits",
        "(_hidden_layer(queries, keys, features, matrix) * v)",
        "((keys.unsqueeze(-3) + 2 * queries.unsqueeze(-2)) * v)",
        {"score": "additive"},
    ),
    Fault(
        "additive without the query",
        "scores/additive.py",
        "Additive.compare",
        "queries = self.query_proj(query)",
        "queries = 0 * self.query_proj(query)",
        {"score": "additive"},
    ),
    Fault(
        "scaled dot without its scale",
        "scores/scaled_dot.py",
        "ScaledDot.prepare",
        "keys / math.sqrt(keys.shape[-1])",
        "keys",
        {"score": "scaled_dot"},
    ),
    Fault(
        "scaled dot multiplied by its scale",
        "scores/scaled_dot.py",
        "ScaledDot.prepare",
        "keys / math.sqrt(keys.shape[-1])",
        "keys * math.sqrt(keys.shape[-1])",
        {"score": "scaled_dot"},
    ),
    Fault(
        "cosine without its strength",
        "scores/cosine.py",
        "Cosine.compare",
        "beta * dot_products(unit(query), prepared)",
        "unit(query) @ prepared.mT",
        {"score": "cosine", "model": "rnn"},
    ),
    # Scopes and masking.
    Fault(
        "padding attended",
        "masking.py",
        "valid_positions",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)",
        "torch.arange(source_length, device=lengths.device) >= 0 * lengths.unsqueeze(-1)",
        {},
    ),
    Fault(
        "the last word masked",
        "masking.py",
        "valid_positions",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)",
        "torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1) - 2",
        {},
    ),
    Fault(
        "softmax over the queries",
        "masking.py",
        "masked_softmax",
        "logits.softmax(-1)",
        "logits.softmax(-2)",
        {"score": "general"},
    ),
    Fault(
        "local-m's window one too narrow",
        "scopes/local_m.py",
        "LocalMonotonic._window_mask",
        "(positions - centre).abs() <= self.window",
        "(positions - centre).abs() < self.window",
        {"scope": "local-m"},
    ),
    Fault(
        "local-m's window one step late",
        "scopes/local_m.py",
        "LocalMonotonic._window_mask",
        "torch.arange(step, step + logits.shape[-2], device=logits.device)",
        "torch.arange(step - 1, step - 1 + logits.shape[-2], device=logits.device)",
        {"scope": "local-m"},
    ),
    Fault(
        "local-p centred on the end",
        "scopes/local_p.py",
        "LocalPredictive._window",
        "centre = last * share.to(torch.promote_types(share.dtype, torch.float32))",
        "centre = last * torch.ones_like(share)",
        {"scope": "local-p"},
    ),
    Fault(
        "local-p without its Gaussian",
        "scopes/local_p.py",
        "LocalPredictive.forward",
        "weights * exponent.exp().to(weights.dtype)",
        "weights",
        {"scope": "local-p"},
    ),
    Fault(
        "hard attention rewarded for what is bad",
        "scopes/hard.py",
        "Hard.objective",
        "likelihood.sum() + self.reinforce_weight * (surprise * log_position).sum()",
        "likelihood.sum() - self.reinforce_weight * (surprise * log_position).sum()",
        {"scope": "hard"},
    ),
    Fault(
        "hard attention's likeliest position taken of the least",
        "scopes/hard.py",
        "one_hot",
        "best = preference.argmax(-1, keepdim=True)",
        "best = preference.argmin(-1, keepdim=True)",
        {"scope": "hard"},
    ),
    # Attention and models.
    Fault(
        "the context is the mean of the source",
        "attention.py",
        "Attention.read",
        "Attended(weighted_sums(weights, source.values), weights, logits)",
        "Attended(source.values.mean(-2, keepdim=True).expand_as(query), weights, logits)",
        {"score": "dot"},
    ),
    Fault(
        "the state of the sentence before compares",
        "models/recurrent_decoder.py",
        "RecurrentDecoder._advance",
        "attended = self.attention.read(output.unsqueeze(1), memory.source, index, state=carried)",
        "attended = self.attention.read(output.roll(1, 0).unsqueeze(1), memory.source, index, state=carried)",
        {"score": "dot"},
    ),
    Fault(
        "the wrong decoder state compares: always that before the first step",
        "models/recurrent_decoder.py",
        "RecurrentDecoder._advance",
        "query = self.kind.output(cell).unsqueeze(1)",
        "query = 0 * self.kind.output(cell).unsqueeze(1)",
        {"score": "general"},
    ),
    Fault(
        "the encoder's state is lost",
        "models/recurrent_decoder.py",
        "RecurrentDecoder.started",
        "output = self.init_proj(summary).tanh()",
        "output = self.init_proj(summary).tanh() * 0",
        {"model.init": "encoder"},
    ),
    Fault(
        "the backward encoder is not turned back",
        "models/recurrent_cells.py",
        "Encoder.forward",
        "torch.cat([forward.transpose(0, 1), backward.flip(0).transpose(0, 1)], dim=-1)",
        "torch.cat([forward.transpose(0, 1), backward.transpose(0, 1)], dim=-1)",
        {"model": "rnn", "score": "general"},
    ),
    Fault(
        "the decoder sees the future",
        "models/transformer.py",
        "Transformer._decode",
        "torch.arange(length, device=previous.device) <= steps",
        "torch.arange(length, device=previous.device) <= steps + 1",
        {"model": "transformer"},
    ),
    Fault(
        "positions are not told",
        "models/transformer.py",
        "Transformer._embed",
        "states + sinusoids(start, words.shape[1], self.width, states)",
        "states",
        {"model": "transformer"},
    ),
    Fault(
        "decoding takes every step for the first",
        "models/transformer.py",
        "Transformer.step",
        "self._decode(memory, state, previous.unsqueeze(1), index)",
        "self._decode(memory, state, previous.unsqueeze(1), 0)",
        {"model": "transformer"},
    ),
    Fault(
        "the NTM reads before it has shifted",
        "models/ntm.py",
        "NTM._address",
        "addressing.sharpen(moved, 1 + functional.softplus(power))",
        "addressing.sharpen(mixed, 1 + functional.softplus(power))",
        {"model": "ntm"},
    ),
    Fault(
        "the pointer points at the word before",
        "models/pointer.py",
        "Pointer._word_log_probabilities",
        "positions = memory.words.unsqueeze(1).expand(log_weights.shape)",
        "positions = memory.words.roll(1, -1).unsqueeze(1).expand(log_weights.shape)",
        {"model": "pointer"},
    ),
    Fault(
        "the LSTMN's tapes are mixed up",
        "models/lstmn.py",
        "LSTMN.encode",
        "self.decoder.attention.extend(None, last[..., : self.width], last)",
        "self.decoder.attention.extend(None, last[..., : self.width], last * 0)",
        {"model": "lstmn"},
    ),
    # Alignment.
    Fault(
        "AER against shifted links",
        "training/metrics.py",
        "_at",
        "np.minimum(positions, links.shape[-1] - 1)[..., None]",
        "np.roll(np.minimum(positions, links.shape[-1] - 1), 1, -1)[..., None]",
        {"score": "dot"},
    ),
    Fault(
        "the alignment transposed",
        "training/metrics.py",
        "count_alignment",
        "best = weights[:, :, :-1].argmax(-1)",
        "best = weights[:, :, :-1].argmax(-2)[..., : weights.shape[2] - 1]",
        {"score": "dot"},
    ),
    # Training.
    Fault(
        "the worst weights are kept",
        "training/selection.py",
        "Selection.offer",
        "mark > self.marks[replica]",
        "mark < self.marks[replica]",
        {"score": "dot"},
    ),
    Fault(
        "the gold word as input",
        "training/batches.py",
        "to_batch",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)",
        "previous = target",
        {"score": "dot"},
    ),
    Fault(
        "the end of the sentence is not trained",
        "training/stack.py",
        "Replica.loss",
        "log_likelihood, mask = _log_likelihood(output.logits, target), target != PAD",
        "log_likelihood, mask = _log_likelihood(output.logits, target), target > 2",
        {"score": "dot"},
    ),
    Fault(
        "the learning rate starts where it should end",
        "training/train.py",
        "Training._rate",
        "(min(1.0, left / falling) if falling else 1.0)",
        "(min(1.0, left / falling) / 10 if falling else 1.0)",
        {},
    ),
    Fault(
        "old gradients are added to new ones",
        "training/adam.py",
        "Adam.step",
        "clipped(gradients, clip)",
        "clipped([g + 10 * self.means[i] for i, g in zip(used, gradients)], clip)",  # 10 steps decay to 1/e
        {},
    ),
]

# The second list was written after experiments/ci.yaml, by people who had not seen what its gate catches.
HELD_OUT = [
    # Scores.
    Fault(
        "cosine's norm over the positions",
        "scores/cosine.py",
        "unit",
        "norm = vectors.norm(dim=-1, keepdim=True)",
        "norm = vectors.norm(dim=-2, keepdim=True)",
        {"score": "cosine"},
    ),
    Fault(
        "scaled dot without the root",
        "scores/scaled_dot.py",
        "ScaledDot.prepare",
        "keys / math.sqrt(keys.shape[-1])",
        "keys / keys.shape[-1]",
        {"score": "scaled_dot"},
    ),
    Fault(
        "location's rows counted from the end",
        "scores/location.py",
        "Location.compare",
        "self.proj(query)[..., :source_length]",
        "self.proj(query)[..., -source_length:]",
        {"score": "location"},
    ),
    # Scopes.
    Fault(
        "local-m's window or the mask",
        "scopes/local_m.py",
        "LocalMonotonic._window_mask",
        "near if mask is None else near & mask",
        "near if mask is None else near | mask",
        {"scope": "local-m"},
    ),
    Fault(
        "local-p's Gaussian without its square",
        "scopes/local_p.py",
        "LocalPredictive._window",
        "-((positions - centre) ** 2) / (2 * self.deviation**2)",
        "-(positions - centre) / (2 * self.deviation**2)",
        {"scope": "local-p"},
    ),
    Fault(
        "the fixed context's backward half from the wrong end",
        "scopes/none.py",
        "NoAttention.context",
        "values[..., :1, half:]",
        "values[..., -1:, half:]",
        {"scope": "none"},
    ),
    # Masking.
    Fault(
        "masked logits are 0, not minus infinity",
        "masking.py",
        "masked_softmax",
        "logits.masked_fill(~allowed, -torch.inf)",
        "logits.masked_fill(~allowed, 0)",
        {"score": "general"},
    ),
    Fault(
        "the backward encoder's mask is not turned",
        "models/recurrent_cells.py",
        "Encoder.forward",
        "torch.stack([mask.mT, mask.mT.flip(0)], dim=1)",
        "torch.stack([mask.mT, mask.mT], dim=1)",
        {"task": "sort"},
    ),
    Fault(
        "the Transformer's cross-attention forgets the padding",
        "models/transformer.py",
        "Transformer._decode",
        "layer.apply_cross_attention(states, source, memory.mask)",
        "layer.apply_cross_attention(states, source, None)",
        {"model": "transformer"},
    ),
    # Alignment.
    Fault(
        "linked words counted for gold links",
        "training/metrics.py",
        "count_alignment",
        "int((gold.sure & is_word[..., None]).sum())",
        "int((gold.sure & is_word[..., None]).any(-1).sum())",
        {"task": "translate"},
    ),
    Fault(
        "alignment mass over EOS too",
        "training/metrics.py",
        "count_alignment",
        "tally.linked_words += int(has_gold.sum())",
        "tally.linked_words += int(gold_words.sum())",
        {"score": "dot"},
    ),
    # Models.
    Fault(
        "the marginal summed over the steps",
        "models/recurrent_decoder.py",
        "RecurrentDecoder._marginal",
        "(each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(2)",
        "(each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(1)",
        {"scope": "hard"},
    ),
    Fault(
        "the alignment of the first head alone",
        "models/transformer.py",
        "Transformer.teacher_forced",
        "Output(words, weights.mean(1), weights)",
        "Output(words, weights[:, 0], weights)",
        {"model": "transformer"},
    ),
    Fault(
        "the LSTMN's decoder does not lengthen its tapes",
        "models/lstmn.py",
        "LSTMN._advance",
        "tapes = self.decoder.append(state, both)",
        "tapes = state.tapes",
        {"model": "lstmn"},
    ),
    Fault(
        "the first symbol embedded as EOS",
        "models/values.py",
        "ValueEmbedding.forward",
        "torch.where((symbols < 0).unsqueeze(-1), special, vectors)",
        "torch.where((symbols <= 0).unsqueeze(-1), special, vectors)",
        {"model": "pointer"},
    ),
    Fault(
        "the NTM writes with its read heads",
        "models/ntm.py",
        "NTM._advance",
        "addressing.write(machine.memory, weights[:, self.heads :], erase, add)",
        "addressing.write(machine.memory, weights[:, : self.heads], erase, add)",
        {"model": "ntm"},
    ),
    # Tasks.
    Fault(
        "sort's links the other way round",
        "tasks/sort.py",
        "_examples",
        "one_to_one(order)",
        "one_to_one(np.argsort(order, axis=1))",
        {"task": "sort"},
    ),
    Fault(
        "the links of noun and adjective swapped",
        "tasks/grammar.py",
        "_noun_phrase",
        "((0,), *[(2,)] * len(nouns), (1,))",
        "((0,), *[(1,)] * len(nouns), (2,))",
        {"task": "translate"},
    ),
    # Training.
    Fault(
        "PAD before the first word, where decoding has BOS",
        "training/batches.py",
        "to_batch",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)",
        "previous = np.pad(target[..., :-1], [*edge, (1, 0)])",
        {"score": "dot"},
    ),
    Fault(
        "training in evaluation mode",
        "training/stack.py",
        "Stack.loss",
        "self.template.train()",
        "self.template.eval()",
        {"scope": "hard"},
    ),
    # The ten that follow were added before the rule with the floor had been tried on any fault, and are untried.
    Fault(
        "padding takes part in the softmax, and its weight is lost",
        "masking.py",
        "masked_softmax",
        "logits.masked_fill(~allowed, -torch.inf).softmax(-1)",
        "logits.softmax(-1)",
        {"score": "additive"},
    ),
    Fault(
        "decoding begins with EOS, training with BOS",
        "training/stack.py",
        "Replica._greedy",
        "source.new_full((len(source),), BOS, dtype=torch.long)",
        "source.new_full((len(source),), EOS, dtype=torch.long)",
        {"score": "general"},
    ),
    Fault(
        "the encoder's state runs on through the padding",
        "models/recurrent_cells.py",
        "Encoder.forward",
        "torch.where(masks[i], new, state)",
        "new",
        {"score": "general"},
    ),
    Fault(
        "reverse's links are those of copy",
        "tasks/reverse.py",
        "_examples",
        "np.arange(source.shape[1])[::-1]",
        "np.arange(source.shape[1])",
        {"task": "reverse", "score": "additive"},
    ),
    Fault(
        "exact match compares the padding too",
        "training/metrics.py",
        "count_words",
        "(right == gold).all(-1)",
        "right.all(-1)",
        {"score": "dot"},
    ),
    Fault(
        "AER without its factor of two",
        "training/metrics.py",
        "summarise",
        "tally.sure_hits + tally.hits",
        "tally.hits",
        {"score": "dot"},
    ),
    Fault(
        "decoding does not give the previous word to the output layer",
        "models/recurrent_decoder.py",
        "RecurrentDecoder.step",
        "self._read_out(output, attended.context.squeeze(1), embedded)",
        "self._read_out(output, attended.context.squeeze(1), 0 * embedded)",
        {"model": "rnn", "score": "additive"},
    ),
    Fault(
        "the LSTMN's decoder starts from the end of the padding",
        "models/lstmn.py",
        "LSTMN.encode",
        "last = tapes.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, tapes.shape[-1]))",
        "last = tapes[:, -1:]",
        {"model": "lstmn"},
    ),
    Fault(
        "the Transformer's feed-forward layer without its residual",
        "models/transformer.py",
        "Layer.apply_feed_forward",
        "states + self.feed_forward(self.feed_forward_norm(states))",
        "self.feed_forward(self.feed_forward_norm(states))",
        {"model": "transformer"},
    ),
    Fault(
        "the learning rate falls from the first step on",
        "training/train.py",
        "Training._rate",
        "falling = self.settings.decay * self.settings.steps",
        "falling = self.settings.steps",
        {"score": "dot"},
    ),
]

# How many of the last of them were written later, for the gate's present rule.
NEW = 10
