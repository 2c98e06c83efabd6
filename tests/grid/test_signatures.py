"""A plugin's class with a method that attnbench cannot call is found before anything trains; a correct one never is."""

import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from attnbench.cli import main
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid

HEAD = """
import functools

import torch

import attnbench
from attnbench.masking import masked_softmax

"""
GRID = {
    "score": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot, mine], task: [copy]}\n",
    "scope": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], scope: [global, mine], task: [copy]}\n",
    "task": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [copy, mine]}\n",
    "model": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [copy]}\nmodel: {kind: mine}\n",
}
BASES = {"score": "torch.nn.Module", "scope": "torch.nn.Module", "task": "", "model": "attnbench.Seq2Seq"}


def part(
    kind: str, *body: str, base: str | None = None, before: str = "", decorator: str = "", after: str = ""
) -> tuple[str, str]:
    """A kind, and the code of a part "mine" of this kind.

    Args:
        kind: score, scope, task or model.
        body: the methods and attributes of the class.
        base: of the class; default: that of the kind.
        before, after: code before and after the class.
        decorator: a second one, which is applied first.
    """
    base = BASES[kind] if base is None else base
    head = f"@attnbench.{kind}('mine')\n{decorator}\nclass Mine{f'({base})' if base else ''}:"
    return kind, "\n".join([before, head, indent("\n".join(body), "    "), after])


# Correct methods, for the parts of which another method is tested.
SOFTMAX = "def forward(self, *given): return given[0].softmax(-1)"
WORDS = """
def __init__(self, vocabulary: int):
    self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]
"""
CHECK = "def check(self, length): return None"
GENERATE = """
def generate(self, random, length, count):
    source = random.integers(3, len(self.source_words), size=(count, length))
    return attnbench.Examples(source, source.copy(), None)
"""
DRAW = GENERATE.replace("def generate", "def draw")
ENCODE = "def encode(self, source, lengths): return source, source"
STEP = "def step(self, memory, state, previous, index): return state, memory, memory"

# A part, and a piece of the message. The message names the line that is marked HERE; the decorator if none is.
WRONG = {
    "scope, too few": (
        part("scope", "def forward(self, logits, mask=None): return logits.softmax(-1)  # HERE"),
        "expected forward(self, logits, mask, query, lengths, step), found forward(self, logits, mask=None)",
    ),
    "scope, too many": (
        part("scope", "def forward(self, logits, mask, query, lengths, step, more): return logits  # HERE"),
        "found forward(self, logits, mask, query, lengths, step, more): missing a required argument: 'more'",
    ),
    "scope, no self": (
        part("scope", "def forward(logits, mask, query, lengths, step): return logits  # HERE"),
        "found forward(logits, mask, query, lengths, step)",
    ),
    "scope, keyword-only": (
        part("scope", "def forward(self, logits, mask, query, lengths, *, step): return logits  # HERE"),
        "found forward(self, logits, mask, query, lengths, *, step)",
    ),
    "scope, objective": (
        part("scope", SOFTMAX, "def objective(self, log_likelihood): return -log_likelihood.mean()  # HERE"),
        "expected objective(self, log_likelihood, logits, weights, mask, target_mask), "
        "found objective(self, log_likelihood)",
    ),
    "scope, inherited": (
        part(
            "scope",
            "pass",
            base="Base",
            before="class Base(torch.nn.Module):\n    def forward(self, logits): return logits  # HERE",
        ),
        "found forward(self, logits)",
    ),
    "scope, no forward": (
        part("scope", "def froward(self, logits, *rest): return logits"),
        "expected forward(self, logits, mask, query, lengths, step), found no forward",
    ),
    "score": (
        part("score", "def forward(self, query): return query  # HERE"),
        "expected forward(self, query, keys), found forward(self, query): too many positional arguments",
    ),
    "score, prepare": (
        part(
            "score",
            "def prepare(self): return 0  # HERE",
            "def compare(self, query, prepared): return query @ prepared.mT",
        ),
        "expected prepare(self, keys), found prepare(self)",
    ),
    "score, compare": (
        part("score", "@staticmethod  # HERE", "def compare(query): return query"),
        "expected compare(query, prepared), found compare(query)",
    ),
    "score, forward in place of an inherited compare": (
        part(
            "score",
            "def forward(self, query): return query  # HERE",
            base="Additive",
            before="from attnbench.scores.additive import Additive",
        ),
        "expected forward(self, query, keys), found forward(self, query): too many positional arguments",
    ),
    "score, not callable": (
        part("score", "def forward(self, query, keys): return query", base=""),
        "expected a subclass of torch.nn.Module, found Mine\n",
    ),
    "task, generate": (
        part("task", WORDS, CHECK, "def generate(self, random, length): return None  # HERE"),
        "expected generate(self, random, length, count), found generate(self, random, length)",
    ),
    "task, check": (
        part("task", WORDS, GENERATE, "def check(self): return None  # HERE"),
        "expected check(self, length), found check(self)",
    ),
    "task, no check": (
        part("task", WORDS, GENERATE),
        "expected check(self, length), found no check",
    ),
    "task, generate_unseen": (
        part(
            "task",
            "def __init__(self, vocabulary, unseen_symbols): self.source_words = self.target_words = list('abcdefgh')",
            CHECK,
            GENERATE,
            "def generate_unseen(self, random): return self.generate(random, 3, 1)  # HERE",
        ),
        "expected generate_unseen(self, random, length, count), found generate_unseen(self, random)",
    ),
    "model, step": (
        part(
            "model",
            "def encode(self, source, lengths): return 0, 0",
            "def step(self, memory, state, previous): return 0, 0, 0  # HERE",
        ),
        "expected step(self, memory, state, previous, index), found step(self, memory, state, previous)",
    ),
    "model, abstract": (
        part("model", "def encode(self, source, lengths): return 0, 0"),
        "expected step(self, memory, state, previous, index), found no step",
    ),
    "model, forward": (
        part("model", ENCODE, STEP, "def forward(self, source, previous): return source  # HERE"),
        "expected forward(self, source, lengths, previous), found forward(self, source, previous)",
    ),
    "model, objective": (
        part("model", ENCODE, STEP, "def objective(self, output): return output  # HERE"),
        "expected objective(self, output, log_likelihood, lengths, target_mask), found objective(self, output)",
    ),
    "model, not a Seq2Seq": (
        part("model", ENCODE, STEP, base="torch.nn.Module"),
        "expected a subclass of attnbench.Seq2Seq, found Mine(Module)",
    ),
}

WRAPPER = """
def short(f):
    @functools.wraps(f)
    def inner(self, {arguments}):
        return f(self, {first})
    return inner
"""
# Unusual, but correct.
RIGHT = {
    "any arguments": part("scope", SOFTMAX),
    "any arguments and keywords": part(
        "scope", "def forward(self, logits, *given, **named): return logits.softmax(-1)"
    ),
    "other names and defaults": part(
        "scope", "def forward(self, e, m, q=None, n=None, t=0, extra=1, *, also=2): return masked_softmax(e, m)"
    ),
    "positional-only": part("scope", "def forward(self, e, m, q, n, t, /): return masked_softmax(e, m)"),
    "inherited from a built-in": part(
        "scope", "pass", base="Global", before="from attnbench.scopes.global_ import Global"
    ),
    "a mixin": part(
        "scope",
        "pass",
        base="Forward, torch.nn.Module",
        before="class Forward:\n    def forward(self, e, m, q, n, t): return masked_softmax(e, m)",
    ),
    "forward assigned in the constructor": part(
        "scope",
        "def __init__(self):",
        "    super().__init__()",
        "    self.forward = lambda e, m, q, n, t: masked_softmax(e, m)",
    ),
    "a wrong one replaced in the constructor": part(
        "scope",
        "def __init__(self):",
        "    super().__init__()",
        "    setattr(self, 'forward', lambda e, m, q, n, t: masked_softmax(e, m))",
        "def forward(self, e): return e",
    ),
    "assigned to the class": part(
        "scope", "pass", after="Mine.forward = lambda self, e, m, q, n, t: masked_softmax(e, m)"
    ),
    "a static method": part("scope", "@staticmethod", "def forward(e, m, q, n, t): return masked_softmax(e, m)"),
    "a class method": part("scope", "@classmethod", "def forward(cls, e, m, q, n, t): return masked_softmax(e, m)"),
    "a partial": part(
        "scope",
        "forward = functools.partial(work, 2.0)",
        before="def work(sharp, e, m, q, n, t): return masked_softmax(e * sharp, m)",
    ),
    "a partial method": part(
        "scope",
        "def work(self, sharp, e, m, q, n, t): return masked_softmax(e * sharp, m)",
        "forward = functools.partialmethod(work, 2.0)",
    ),
    "a property": part("scope", "@property", "def forward(self): return lambda e, m, q, n, t: masked_softmax(e, m)"),
    "a wrapper with the right signature": part(
        "scope",
        "@short",
        "def forward(self, logits): return logits.softmax(-1)",
        before=WRAPPER.format(arguments="e, m, q, n, t", first="e"),
    ),
    "a wrapper of anything": part(
        "scope",
        "@short",
        "def forward(self, logits): return logits.softmax(-1)",
        before=WRAPPER.format(arguments="*given", first="given[0]"),
    ),
    "a custom __call__": part("scope", "def __call__(self, e, m, q, n, t): return masked_softmax(e, m)", base=""),
    "a module's own __call__": part(
        "scope",
        "def __call__(self, e, m, q, n, t): return super().__call__(e)",
        "def forward(self, e): return e.softmax(-1)",
    ),
    "no objective": part("scope", "objective = None", SOFTMAX),
    "a score without forward": part(
        "score",
        "def prepare(self, keys): return keys",
        "def compare(self, query, prepared): return query @ prepared.mT",
    ),
    "a score from Score": part("score", "pass", base="Score", before="from attnbench.scores.base import Score"),
    "compare that is a layer": part(
        "score",
        "def __init__(self):",
        "    super().__init__()",
        "    self.add_module('compare', torch.nn.CosineSimilarity())",
    ),
    "forward that is not called": part(
        "score",
        "def forward(self, query): return query",
        "def compare(self, query, keys): return query @ keys.mT",
    ),
    "any attribute": part(
        "task",
        WORDS,
        "def __getattr__(self, name):",
        "    if name == 'check':",
        "        return lambda length: None",
        "    if name == 'generate':",
        "        return lambda random, length, count: self.draw(random, length, count)",
        "    raise AttributeError(name)",
        DRAW,
    ),
    "generate assigned in the constructor": part("task", f"{WORDS}    self.generate = self.draw", CHECK, DRAW),
    "generate_unseen that is never called": part(
        "task", WORDS, CHECK, GENERATE, "def generate_unseen(self): return None"
    ),
    "a dataclass": part(
        "task",
        "vocabulary: int",
        "def __post_init__(self):",
        "    symbols = map(str, range(self.vocabulary))",
        "    self.source_words = self.target_words = ['<pad>', '<bos>', '</s>', *symbols]",
        CHECK,
        GENERATE,
        before="import dataclasses",
        decorator="@dataclasses.dataclass",
    ),
    "a factory": (
        "task",
        f"class Made:\n{indent(WORDS + CHECK + GENERATE, '    ')}\n"
        "@attnbench.task('mine')\ndef make(): return Made(9)\n",
    ),
    "a model": part("model", ENCODE, STEP),
    "a model of a built-in": part(
        "model", "pass", base="Recurrent", before="from attnbench.models.rnn import Recurrent"
    ),
}


def grid_of(folder: Path, kind: str, code: str) -> Path:
    (folder / "mine.py").write_text(HEAD + code)
    path = folder / "grid.yaml"
    path.write_text(GRID[kind])
    return path


def line_of(file: Path) -> int:
    lines = file.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# HERE"))


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("verb", ["expand", "run"])
def test_a_wrong_signature_is_found_before_training(case, verb, tmp_path, capsys):
    (kind, code), expected = WRONG[case]
    if "# HERE" not in code:
        code = code.replace("('mine')", "('mine')  # HERE")
    path = grid_of(tmp_path, kind, code)
    with pytest.raises(SystemExit) as ended:
        main([verb, str(path), "--results", str(tmp_path / "results")])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    file = tmp_path / "mine.py"
    assert f"{file}:{line_of(file)}: the {kind} 'mine': " in errors
    assert expected in errors
    assert "→" in errors
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("case", RIGHT)
def test_a_method_that_can_be_called_is_accepted(case, tmp_path):
    kind, code = RIGHT[case]
    assert len(expand(load_grid(grid_of(tmp_path, kind, code))).cells) > 0


def test_all_problems_are_found_at_once_with_their_lines(complaints, tmp_path):
    code = """
@attnbench.scope("narrow")
class Narrow(torch.nn.Module):
    def forward(self, logits):
        return logits

@attnbench.task("odd")
class Odd:
    def check(self):
        return None
    def generate(self):
        return None

@attnbench.score("unused")
class Unused(torch.nn.Module):
    def forward(self):
        return None
"""
    (tmp_path / "mine.py").write_text(HEAD + code)
    found = complaints(
        "name: g\nplugins: [mine.py]\ngrid: {score: [dto], scope: [narrow], task: [odd, copy]}\ntrain: {steps: 0}\n"
    )
    text = "\n".join(map(str, found))
    assert len(found) == 5, text
    assert "unused" not in text
    narrow = next(problem for problem in found if "'narrow'" in problem.what)
    assert narrow.source == "def forward(self, logits):"
    assert {problem.where for problem in found if "'odd'" in problem.what} == {
        f"{tmp_path / 'mine.py'}:{n}" for n in (17, 19)
    }


def test_a_class_that_only_an_include_names_is_checked_too(complaints, tmp_path):
    (tmp_path / "mine.py").write_text(HEAD + WRONG["scope, too few"][0][1])
    found = complaints(
        "name: g\nplugins: [mine.py]\ngrid: {score: [dot], task: [copy]}\n"
        "include: [{score: dot, scope: mine, task: sort}]\n"
    )
    assert len(found) == 1
    assert "'mine'" in found[0].what


def test_expand_still_imports_no_torch(tmp_path):
    """A plugin that imports none, such as most tasks, costs no second at `expand`."""
    code = RIGHT["generate_unseen that is never called"][1]
    (tmp_path / "mine.py").write_text(f"import attnbench\n{code}")
    (tmp_path / "grid.yaml").write_text(GRID["task"])
    script = (
        "import sys; from pathlib import Path; from attnbench.grid.load import load_grid; "
        "load_grid(Path('grid.yaml')); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
