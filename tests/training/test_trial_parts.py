"""The trial of a user's score and scope: each mistake is reported with its file and line, a correct part never."""

import re
from pathlib import Path

import pytest
from small_packs import pack

from attnbench import registry
from attnbench.cell import Component
from attnbench.engines.base import attempt
from attnbench.errors import AttnbenchError
from attnbench.plugins import load_plugin
from attnbench.tasks.build import build_task
from attnbench.training.trial import try_model

HEAD = """import random
import numpy
import torch
import attnbench
from attnbench.masking import masked_softmax
from attnbench.scopes.hard import Hard
from attnbench.scores.location import Location
from attnbench.scores.additive import Additive
from torch.nn import functional as F

"""
PAGE = (Path(__file__).parents[2] / "docs/own-parts.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))


def score(*lines: str, constructor: str = "", base: str = "torch.nn.Module") -> str:
    return _class("score", "def forward(self, query, keys):", lines, constructor, base)


def scope(*lines: str, constructor: str = "", base: str = "torch.nn.Module") -> str:
    return _class("scope", "def forward(self, logits, mask, query, lengths, step):", lines, constructor, base)


def _class(kind: str, method: str, lines: tuple[str, ...], constructor: str, base: str) -> str:
    body = "".join(f"        {line}\n" for line in lines)
    start = (
        f"    def __init__(self, width):\n        super().__init__()\n        {constructor}\n" if constructor else ""
    )
    return f"@attnbench.{kind}('mine')\nclass Mine({base}):\n{start}    {method}\n{body}"


DOT = "logits = query @ keys.mT"
SOFT = "weights = masked_softmax(logits, mask)"
# The code, a part of the message, and the line that is named if it is not that of the class.
SCORES = {
    "forward of a subclass of a built-in score, whose own compare is right": (
        score("return (query @ keys.mT)[:, :1]", base="Additive"),
        "returned (3, 1, 5) for the logits (B,T,S), expected (3, 2, 5)",
    ),
    "(B,1,S)": (
        score("return (query @ keys.mT)[:, :1]"),
        "returned (3, 1, 5) for the logits (B,T,S), expected (3, 2, 5)",
    ),
    "(1,T,S)": (score("return (query @ keys.mT)[:1]"), "returned (1, 2, 5) for the logits"),
    "(B,T,1)": (score("return (query @ keys.mT)[..., :1]"), "returned (3, 2, 1) for the logits"),
    "(B,S,T)": (score("return keys @ query.mT"), "returned (3, 5, 2) for the logits"),
    "None": (score("query @ keys.mT"), "returned NoneType for the logits (B,T,S), expected (3, 2, 5)"),
    "NumPy": (score("return (query @ keys.mT).numpy()"), "returned ndarray for the logits"),
    "whole numbers": (
        score("return (query @ keys.mT).long()"),
        "returned torch.int64 for the logits (B,T,S), expected torch.float32",
    ),
    "float64": (score("return (query @ keys.mT).double()"), "returned torch.float64 for the logits"),
    "NaN": (score("return (query @ keys.mT).log()"), "returned logits that are not finite"),
    "infinity": (score("return (query @ keys.mT).abs() / 0"), "returned logits that are not finite"),
    "no position": (score("return (query @ keys.mT) - torch.inf"), "returned logits that are not finite"),
    "raises": (score("x = 1", "return query @ keys"), "cannot be trained: it raised RuntimeError", 15),
    "exits": (score("raise SystemExit(0)"), "cannot be trained: it raised SystemExit: 0", 14),
    "ends a generator": (score("raise GeneratorExit"), "cannot be trained: it raised GeneratorExit: GeneratorExit", 14),
    "an odd exception": (
        score("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})"),
        "it raised Odd: its message cannot be shown, because its __str__ raised ZeroDivisionError",
        14,
    ),
    "its constructor": (score("return 0", constructor="1 / 0"), "cannot be trained: it raised ZeroDivisionError", 15),
    "the batch": (
        score(DOT, "return logits - logits.mean(0)"),
        "for sentence 0 of a batch than for the sentence alone",
    ),
    "padding": (score(DOT, "return logits - logits.mean(-1, keepdim=True)"), "other numbers in padded positions"),
    "the length": (score(DOT, "return logits / keys.shape[1]"), "with padding than without: it depends on the padding"),
    "later queries": (
        score(DOT, "return logits.softmax(1)"),
        "for a query alone than together with the queries of later steps",
    ),
    "a branch": (
        score(DOT, "if query.sum() > 0:", "    return logits", "return -logits"),
        "stacked by torch.func.vmap, it raised RuntimeError: a branch depends on the values of a tensor "
        "(all seeds run as one model: use torch.where)",
        15,
    ),
    "item": (score(DOT, "return logits * query.sum().item()"), "use torch.where", 15),
    "a boolean index": (
        score(DOT, "logits[logits > 0] = 1", "return logits * query[query > 0].sum()"),
        "use torch.where",
        15,
    ),
    "rand": (
        score(DOT, "return logits + torch.rand_like(logits)"),
        "calls a random operation: its numbers would depend on the seeds that are trained beside it",
        15,
    ),
    "a generator": (
        score(DOT, "return logits + torch.rand(1, generator=self.own)", constructor="self.own = torch.Generator()"),
        "returned different logits for the same arguments: a random operation",
    ),
    "dropout": (score("return F.dropout(query, 0.5, self.training) @ keys.mT"), "calls a random operation", 14),
    "a dropout layer": (
        score("return self.drop(query) @ keys.mT", constructor="self.drop = torch.nn.Dropout(0.5)"),
        "calls a random operation",
        17,
    ),
    "NumPy's random": (score(DOT, "return logits + numpy.random.rand()"), "calls a random operation"),
    "Python's random": (score(DOT, "return logits + random.random()"), "calls a random operation"),
    "NumPy's generator": (
        score(DOT, "return logits + float(numpy.random.default_rng().random())"),
        "returned different logits for the same arguments: a random operation",
    ),
    "in place": (score("keys *= 2", DOT, "return logits"), "changed its argument keys in place"),
    "compare": (
        "@attnbench.score('mine')\nclass Mine(torch.nn.Module):\n"
        "    def prepare(self, keys):\n        return keys\n"
        "    def compare(self, query, prepared):\n        return (query @ prepared.mT)[:, 0]\n",
        "returned (3, 5) for the logits",
    ),
}
START = "    def start(self, keys):\n        return keys.new_zeros(keys.shape[:2])\n"
UPDATE = "    def update(self, state, weights):\n        return state + weights.squeeze(1)\n"


def stateful(*lines: str, rest: str = START + UPDATE) -> str:
    return _class("score", "def forward(self, query, keys, state):", lines, "", "torch.nn.Module") + rest


STATEFUL_SCORES = {
    "no state": (stateful(DOT, "return logits"), "raised TypeError: a score with a method start should return (logits"),
    "the shape": (stateful(DOT, "return logits[..., :1], state"), "returned (3, 1, 1) for the logits (B,T,S)"),
    "a state of the whole batch": (
        stateful(DOT, "return logits - state.mean(0), state"),
        "for sentence 0 of a batch than for the sentence alone",
    ),
    "start of the whole batch": (
        stateful(
            DOT,
            "return logits - state.unsqueeze(1), state",
            rest=UPDATE + START.replace("new_zeros(keys.shape[:2])", "mean((0, 2)).expand(keys.shape[:2])"),
        ),
        "for sentence 0 of a batch than for the sentence alone",
    ),
    "a branch on the state": (
        stateful(DOT, "if state.sum() > 0:", "    return logits, state", "return -logits, state"),
        "use torch.where",
        15,
    ),
    "the shape of the state": (
        stateful(DOT, "return logits + state.unsqueeze(1), state", rest=START + UPDATE.replace(".squeeze(1)", "")),
        "returned (3, 3, 3, 5) for the logits",
    ),
}
STATEFUL_SCOPES = {
    "no state": (
        _class(
            "scope", "def forward(self, logits, mask, query, lengths, step, last):", (SOFT, "return weights"), "",
            "torch.nn.Module",
        )
        + START,
        "raised TypeError: a scope with a method start should return (weights",
    ),
}  # fmt: skip


def normaliser(*lines: str, constants: str = "") -> str:
    code = _class("normaliser", "def forward(self, logits, mask):", lines, "", "torch.nn.Module")
    return code.replace("    def forward", f"{constants}    def forward")


NORMALISERS = {
    "(B,1,S)": (normaliser(SOFT, "return weights[:, :1]"), "returned (3, 1, 5) for the weights (B,T,S)"),
    "outside the mask": (normaliser("return logits.softmax(-1)"), "other than 0 where the mask is False"),
    "negative": (normaliser(SOFT, "return -weights"), "returned weights below 0"),
    "the padded length": (normaliser(SOFT, "return weights / logits.shape[-1]"), "with padding than without"),
    "the batch": (
        normaliser("return masked_softmax(logits * logits.abs().mean(0).mean(), mask)"),
        "returned other weights for sentence 0 of a batch",
    ),
    "its sum": (
        normaliser(SOFT, "return weights / 2", constants="    sums_to_one = True\n"),
        "declares sums_to_one = True, and returned a row of weights with the sum 0.5",
    ),
    "its zeros": (
        normaliser(SOFT, "return torch.where(weights > 0.2, weights, 0)", constants="    positive = True\n"),
        "declares positive = True, and returned a weight of 0 for a valid position",
    ),
    "a branch": (normaliser("if logits.sum() > 0: pass", SOFT, "return weights"), "use torch.where", 14),
}
SCOPES = {
    "(B,1,S)": (scope(SOFT, "return weights[:, :1]"), "returned (3, 1, 5) for the weights (B,T,S), expected (3, 2, 5)"),
    "two values": (scope(SOFT, "return weights, logits"), "returned tuple for the weights"),
    "outside the mask": (
        scope("return logits.softmax(-1)"),
        "other than 0 where the mask is False (use masked_softmax)",
    ),
    "negative": (scope(SOFT, "return -weights"), "returned weights below 0"),
    "too much": (scope(SOFT, "return weights * 1.001"), "returned a row of weights with the sum 1.001"),
    "too much in training": (
        scope(SOFT, "return weights * 2 if self.training else weights"),
        "the sum 2 (without a mask)",
    ),
    "NaN": (scope(SOFT, "return weights / 0"), "returned weights that are not finite"),
    "no position": (
        scope(
            "if mask is not None:", "    logits = logits.masked_fill(~mask, -torch.inf)", "return logits.softmax(-1)"
        ),
        "returned weights other than 0, or NaN, for a row in which the mask allows no position",
    ),
    "uniform where nothing is allowed": (
        scope("if mask is not None:", "    logits = logits.masked_fill(~mask, -1e9)", "return logits.softmax(-1)"),
        "for a row in which the mask allows no position",
    ),
    "the batch": (
        scope("return masked_softmax(logits * logits.abs().mean(0).mean(), mask)"),
        "returned other weights for sentence 0 of a batch than for the sentence alone",
    ),
    "padding": (
        scope("return masked_softmax(logits / logits.abs().amax(-1, keepdim=True), mask)"),
        "with other numbers in padded positions",
    ),
    "the padded length": (
        scope("return masked_softmax(logits * logits.shape[-1], mask)"),
        "with padding than without",
    ),
    "a branch": (scope("if lengths.max() > 4: pass", SOFT, "return weights"), "use torch.where", 14),
    "a branch on logits": (scope("if logits.sum() > 0: pass", SOFT, "return weights"), "use torch.where", 14),
    "rand": (scope(SOFT, "return weights * torch.rand_like(weights)"), "calls a random operation", 15),
    "dropout": (scope(SOFT, "return F.dropout(weights, 0.1, self.training)"), "calls a random operation", 15),
    "in place": (scope("query += 1", SOFT, "return weights"), "changed its argument query in place"),
    "its objective": (
        scope(SOFT, "return weights")
        + "    def objective(self, log_likelihood, logits, weights, mask, target_mask):\n"
        + "        return -log_likelihood.mean(-1)\n",
        "has an objective that returned (3,), expected a finite scalar ()",
    ),
}
WRONG = {
    "score": SCORES,
    "scope": SCOPES,
    "normaliser": NORMALISERS,
    "stateful score": STATEFUL_SCORES,
    "stateful scope": STATEFUL_SCOPES,
}
RIGHT = {
    "carries its weights": ("score", stateful(DOT, "return logits - state.unsqueeze(1), state")),
    "carries nothing on": ("score", stateful(DOT, "return logits, state", rest=START)),
    "a sum above 1": (
        "normaliser",
        normaliser(
            "weights = logits.exp() / logits.exp().detach() * 0.5", "return weights if mask is None else weights * mask"
        ),
    ),
    "half": ("normaliser", normaliser(SOFT, "return weights / 2")),
    "dot": ("score", score(DOT, "return logits")),
    "with parameters": (
        "score",
        score("return self.layer(query) @ keys.mT", constructor="self.layer = torch.nn.Linear(width, width)"),
    ),
    "no Module": (
        "score",
        _class("score", "def __call__(self, query, keys):", ("return query @ keys.mT",), "", "object"),
    ),
    "NaN at padding": ("score", score("return query @ (keys / keys.norm(dim=-1, keepdim=True)).mT")),
    "location": ("score", "@attnbench.score('mine')\nclass Mine(Location):\n    pass\n"),
    "additive": ("score", "@attnbench.score('mine')\nclass Mine(Additive):\n    pass\n"),
    "a constant in float32": (
        "score",
        score("return query @ self.table @ keys.mT", constructor="self.table = torch.eye(width)"),
    ),
    "no dropout": ("score", score("return F.dropout(query, 0.0, True) @ keys.mT")),
    "hard": ("scope", "@attnbench.scope('mine')\nclass Mine(Hard):\n    pass\n"),
    "less than 1": ("scope", scope(SOFT, "return weights * 0.5")),
    "any callable": (
        "scope",
        _class("scope", "def __call__(self, *given):", ("return masked_softmax(given[0], given[1])",), "", "object"),
    ),
    "in place of the logits": (
        "scope",
        scope("if mask is not None: logits.masked_fill_(~mask, -torch.inf)", SOFT, "return weights"),
    ),
    "of the last step": (
        "scope",
        scope(
            "last = torch.arange(logits.shape[-1]) == (lengths - 1).view(-1, 1, 1)",
            "return (last & (lengths > 0).view(-1, 1, 1)).to(logits.dtype).expand_as(logits)",
        ),
    ),
    **{
        f"docs, {name}": (kind, block.replace(f'@attnbench.{kind}("{name}")', f"@attnbench.{kind}('mine')"))
        for block in BLOCKS
        for kind, name in re.findall(r'^@attnbench\.(score|scope|normaliser)\("(.+)"\)$', block, re.MULTILINE)
    },
}


def trial(code: str, kind: str, folder: Path, model: str = "rnn", **data) -> None:
    file = folder / "mine.py"
    file.write_text(HEAD + code)
    load_plugin(file)
    cell = pack((0, 1), "dot", kind=model).cell
    options = registry.REGISTRIES[kind].entry("mine").resolve({})
    cell = cell.model_copy(
        update={kind: Component(name="mine", options=options), "data": cell.data.model_copy(update=data)}
    )
    try_model(cell, build_task(cell.task, cell.data), cell.data.max_length + 1)


@pytest.mark.parametrize(("group", "case"), [(group, case) for group, cases in WRONG.items() for case in cases])
def test_a_mistake_is_reported_with_its_place(group, case, tmp_path):
    code, message, *line = WRONG[group][case]
    kind = group.split(" ")[-1]
    with pytest.raises(AttnbenchError) as raised:
        trial(code, kind, tmp_path)
    (problem,) = raised.value.problems
    assert problem.what.startswith(f"the {kind} 'mine' ")
    assert message in problem.what
    assert problem.where == f"{tmp_path / 'mine.py'}:{line[0] if line else 11}"
    assert f"attnbench init --{kind}" in problem.hint


def test_the_parts_of_the_documentation_are_among_the_correct_ones():
    assert sorted(kind for case, (kind, _) in RIGHT.items() if case.startswith("docs, ")) == [
        "normaliser",
        "scope",
        "score",
        "score",
    ]


@pytest.mark.parametrize("case", RIGHT)
def test_a_correct_part_passes(case, tmp_path):
    kind, code = RIGHT[case]
    trial(code, kind, tmp_path)


@pytest.mark.parametrize("model", ["rnn", "transformer", "lstmn", "pointer", "ntm"])
def test_a_score_is_tried_with_the_widths_of_every_model(model, tmp_path):
    trial(score(DOT, "return logits"), "score", tmp_path, model)
    registry.score._added.clear()
    with pytest.raises(AttnbenchError, match="the score 'mine' returned"):
        trial(score(DOT, "return logits[:, :1]"), "score", tmp_path, model)


def test_a_source_longer_than_in_training_is_tried_if_the_grid_tests_one(tmp_path):
    code = (
        "@attnbench.score('mine')\nclass Mine(torch.nn.Module):\n"
        "    def __init__(self, max_source_length):\n        super().__init__()\n"
        "        self.bias = torch.nn.Parameter(torch.ones(max_source_length))\n"
        "    def forward(self, query, keys):\n"
        "        return query @ keys.mT + self.bias[: keys.shape[1]]\n"
    )
    trial(code, "score", tmp_path)
    with pytest.raises(AttnbenchError, match=r"with a source of 9 words \(data.test_lengths\), it raised RuntimeError"):
        trial(code, "score", tmp_path, test_lengths=(8,))


def test_random_numbers_elsewhere_do_not_change(tmp_path):
    import torch

    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    trial(score(DOT, "return logits"), "score", tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_wrong_score_is_not_reported_as_a_mistake_of_a_custom_model(tmp_path):
    model = next(block for block in BLOCKS if "@attnbench.model" in block)
    (tmp_path / "model.py").write_text(model)
    (tmp_path / "mine.py").write_text(HEAD + score(DOT, "return logits[:, :, :1]"))
    described = pack((0, 1), "dot")
    cell = described.cell.model_copy(
        update={"score": Component(name="mine"), "model": Component(name="wordwise", options={"width": 8})}
    )
    described = described.model_copy(update={"cell": cell, "plugins": (tmp_path / "model.py", tmp_path / "mine.py")})
    found = attempt(described, "cpu", "attnbench.training.train:train", lambda _: None)
    assert found[0].status == "failed"
    assert found[0].error.startswith(f"{tmp_path / 'mine.py'}:11: the score 'mine' returned (3, 2, 1)")
