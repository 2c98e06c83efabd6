"""A plugin's class with a method that attnbench cannot call is found before anything trains; a correct one never is."""

import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.cli import main
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid

HEAD = """
import functools

import torch

import attnbench
from attnbench.scopes.masking import masked_softmax

"""
GRID = {
    "score": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot, mine], task: [copy]}\n",
    "scope": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], scope: [global, mine], task: [copy]}\n",
    "task": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [copy, mine]}\n",
    "model": "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [copy]}\nmodel: {kind: mine}\n",
}
# The kind, the code of the plugin with the line to be named marked HERE, and a part of the message.
WRONG = {
    "scope, too few": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, logits, mask=None):  # HERE
        return logits.softmax(-1)
""",
        "expected forward(self, logits, mask, query, lengths, step), found forward(self, logits, mask=None)",
    ),
    "scope, too many": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, logits, mask, query, lengths, step, more):  # HERE
        return logits
""",
        "found forward(self, logits, mask, query, lengths, step, more): missing a required argument: 'more'",
    ),
    "scope, no self": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(logits, mask, query, lengths, step):  # HERE
        return logits
""",
        "found forward(logits, mask, query, lengths, step)",
    ),
    "scope, keyword-only": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, logits, mask, query, lengths, *, step):  # HERE
        return logits
""",
        "found forward(self, logits, mask, query, lengths, *, step)",
    ),
    "scope, objective": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, *given):
        return given[0].softmax(-1)
    def objective(self, log_likelihood):  # HERE
        return -log_likelihood.mean()
""",
        "expected objective(self, log_likelihood, logits, weights, mask, target_mask), "
        "found objective(self, log_likelihood)",
    ),
    "scope, inherited": (
        "scope",
        """
class Base(torch.nn.Module):
    def forward(self, logits):  # HERE
        return logits

@attnbench.scope('mine')
class Mine(Base):
    pass
""",
        "found forward(self, logits)",
    ),
    "scope, no forward": (
        "scope",
        """
@attnbench.scope('mine')  # HERE
class Mine(torch.nn.Module):
    def froward(self, logits, *rest):
        return logits
""",
        "expected forward(self, logits, mask, query, lengths, step), found no forward",
    ),
    "score": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    def forward(self, query):  # HERE
        return query
""",
        "expected forward(self, query, keys), found forward(self, query): too many positional arguments",
    ),
    "score, prepare": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    def prepare(self):  # HERE
        return 0
    def compare(self, query, prepared):
        return query @ prepared.mT
""",
        "expected prepare(self, keys), found prepare(self)",
    ),
    "score, compare": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    @staticmethod  # HERE
    def compare(query):
        return query
""",
        "expected compare(query, prepared), found compare(query)",
    ),
    "score, not callable": (
        "score",
        """
@attnbench.score('mine')  # HERE
class Mine:
    def forward(self, query, keys):
        return query
""",
        "expected a subclass of torch.nn.Module, found Mine\n",
    ),
    "task, generate": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]

    def check(self, length):
        return None
    def generate(self, random, length):  # HERE
        return None
""",
        "expected generate(self, random, length, count), found generate(self, random, length)",
    ),
    "task, check": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
    def check(self):  # HERE
        return None
""",
        "expected check(self, length), found check(self)",
    ),
    "task, no check": (
        "task",
        """
@attnbench.task('mine')  # HERE
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
""",
        "expected check(self, length), found no check",
    ),
    "task, generate_unseen": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary, unseen_symbols):
        self.source_words = self.target_words = list('abcdefgh')

    def check(self, length):
        return None

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
    def generate_unseen(self, random):  # HERE
        return self.generate(random, 3, 1)
""",
        "expected generate_unseen(self, random, length, count), found generate_unseen(self, random)",
    ),
    "model, step": (
        "model",
        """
@attnbench.model('mine')
class Mine(attnbench.Seq2Seq):
    def encode(self, source, lengths):
        return 0, 0
    def step(self, memory, state, previous):  # HERE
        return 0, 0, 0
""",
        "expected step(self, memory, state, previous, index), found step(self, memory, state, previous)",
    ),
    "model, abstract": (
        "model",
        """
@attnbench.model('mine')  # HERE
class Mine(attnbench.Seq2Seq):
    def encode(self, source, lengths):
        return 0, 0
""",
        "expected step(self, memory, state, previous, index), found no step",
    ),
    "model, forward": (
        "model",
        """
@attnbench.model('mine')
class Mine(attnbench.Seq2Seq):
    def encode(self, source, lengths):
        return source, source
    def step(self, memory, state, previous, index):
        return state, memory, memory
    def forward(self, source, previous):  # HERE
        return source
""",
        "expected forward(self, source, lengths, previous), found forward(self, source, previous)",
    ),
    "model, objective": (
        "model",
        """
@attnbench.model('mine')
class Mine(attnbench.Seq2Seq):
    def encode(self, source, lengths):
        return source, source
    def step(self, memory, state, previous, index):
        return state, memory, memory
    def objective(self, output):  # HERE
        return output
""",
        "expected objective(self, output, log_likelihood, lengths, target_mask), found objective(self, output)",
    ),
    "model, not a Seq2Seq": (
        "model",
        """
@attnbench.model('mine')  # HERE
class Mine(torch.nn.Module):
    def encode(self, source, lengths):
        return source, source
    def step(self, memory, state, previous, index):
        return state, memory, memory
""",
        "expected a subclass of attnbench.Seq2Seq, found Mine(Module)",
    ),
}

# What is unusual and right.
RIGHT = {
    "any arguments": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, *given):
        return given[0].softmax(-1)
""",
    ),
    "any arguments and keywords": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, logits, *given, **named):
        return logits.softmax(-1)
""",
    ),
    "other names and defaults": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, e, m, q=None, n=None, t=0, extra=1, *, also=2):
        return masked_softmax(e, m)
""",
    ),
    "positional-only": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, e, m, q, n, t, /):
        return masked_softmax(e, m)
""",
    ),
    "inherited from a built-in": (
        "scope",
        """
from attnbench.scopes.global_ import Global
@attnbench.scope('mine')
class Mine(Global):
    pass
""",
    ),
    "a mixin": (
        "scope",
        """
class Forward:
    def forward(self, e, m, q, n, t):
        return masked_softmax(e, m)
@attnbench.scope('mine')
class Mine(Forward, torch.nn.Module):
    pass
""",
    ),
    "forward assigned in the constructor": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.forward = lambda e, m, q, n, t: masked_softmax(e, m)
""",
    ),
    "a wrong one replaced in the constructor": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        setattr(self, 'forward', lambda e, m, q, n, t: masked_softmax(e, m))
    def forward(self, e):
        return e
""",
    ),
    "assigned to the class": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    pass
Mine.forward = lambda self, e, m, q, n, t: masked_softmax(e, m)
""",
    ),
    "a static method": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @staticmethod
    def forward(e, m, q, n, t):
        return masked_softmax(e, m)
""",
    ),
    "a class method": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @classmethod
    def forward(cls, e, m, q, n, t):
        return masked_softmax(e, m)
""",
    ),
    "a partial": (
        "scope",
        """
def work(sharp, e, m, q, n, t):
    return masked_softmax(e * sharp, m)
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    forward = functools.partial(work, 2.0)
""",
    ),
    "a partial method": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def work(self, sharp, e, m, q, n, t):
        return masked_softmax(e * sharp, m)
    forward = functools.partialmethod(work, 2.0)
""",
    ),
    "a property": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @property
    def forward(self):
        return lambda e, m, q, n, t: masked_softmax(e, m)
""",
    ),
    "a wrapper with the right signature": (
        "scope",
        """
def short(f):
    @functools.wraps(f)
    def inner(self, e, m, q, n, t):
        return f(self, e)
    return inner
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @short
    def forward(self, logits):
        return logits.softmax(-1)
""",
    ),
    "a wrapper of anything": (
        "scope",
        """
def short(f):
    @functools.wraps(f)
    def inner(self, *given):
        return f(self, given[0])
    return inner
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @short
    def forward(self, logits):
        return logits.softmax(-1)
""",
    ),
    "a __call__ of its own": (
        "scope",
        """
@attnbench.scope('mine')
class Mine:
    def __call__(self, e, m, q, n, t):
        return masked_softmax(e, m)
""",
    ),
    "a module's own __call__": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def __call__(self, e, m, q, n, t):
        return super().__call__(e)
    def forward(self, e):
        return e.softmax(-1)
""",
    ),
    "no objective": (
        "scope",
        """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    objective = None
    def forward(self, *given):
        return given[0].softmax(-1)
""",
    ),
    "a score without forward": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    def prepare(self, keys):
        return keys
    def compare(self, query, prepared):
        return query @ prepared.mT
""",
    ),
    "a score from Score": (
        "score",
        """
from attnbench.scores.base import Score
@attnbench.score('mine')
class Mine(Score):
    pass
""",
    ),
    "compare that is a layer": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module('compare', torch.nn.CosineSimilarity())
""",
    ),
    "forward that is not called": (
        "score",
        """
@attnbench.score('mine')
class Mine(torch.nn.Module):
    def forward(self, query):
        return query
    def compare(self, query, keys):
        return query @ keys.mT
""",
    ),
    "any attribute": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]
    def __getattr__(self, name):
        if name == 'check':
            return lambda length: None
        if name == 'generate':
            return lambda random, length, count: self.draw(random, length, count)
        raise AttributeError(name)

    def draw(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
""",
    ),
    "generate assigned in the constructor": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]
        self.generate = self.draw

    def check(self, length):
        return None

    def draw(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
""",
    ),
    "generate_unseen that is never called": (
        "task",
        """
@attnbench.task('mine')
class Mine:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]

    def check(self, length):
        return None

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
    def generate_unseen(self):
        return None
""",
    ),
    "a dataclass": (
        "task",
        """
import dataclasses
@attnbench.task('mine')
@dataclasses.dataclass
class Mine:
    vocabulary: int
    def __post_init__(self):
        self.source_words = self.target_words = list(range(3 + self.vocabulary))

    def check(self, length):
        return None

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
""",
    ),
    "a factory": (
        "task",
        """
class Made:
    def __init__(self, vocabulary: int):
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", *map(str, range(vocabulary))]

    def check(self, length):
        return None

    def generate(self, random, length, count):
        source = random.integers(3, len(self.source_words), size=(count, length))
        return attnbench.Examples(source, source.copy(), None)
@attnbench.task('mine')
def make():
    return Made(9)
""",
    ),
    "a model": (
        "model",
        """
@attnbench.model('mine')
class Mine(attnbench.Seq2Seq):
    def encode(self, source, lengths):
        return source, source
    def step(self, memory, state, previous, index):
        return state, memory, memory
""",
    ),
    "a model of a built-in": (
        "model",
        """
from attnbench.models.rnn import Recurrent
@attnbench.model('mine')
class Mine(Recurrent):
    pass
""",
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
    kind, code, expected = WRONG[case]
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
def test_what_can_be_called_is_left_alone(case, tmp_path):
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
    told = "\n".join(map(str, found))
    assert len(found) == 5, told
    assert "unused" not in told
    narrow = next(problem for problem in found if "'narrow'" in problem.what)
    assert narrow.source == "def forward(self, logits):"
    assert {problem.where for problem in found if "'odd'" in problem.what} == {
        f"{tmp_path / 'mine.py'}:{n}" for n in (17, 19)
    }


def test_a_class_that_only_an_include_names_is_checked_too(complaints, tmp_path):
    (tmp_path / "mine.py").write_text(HEAD + WRONG["scope, too few"][1])
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
