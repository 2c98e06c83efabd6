"""Classes that decide at run time what they are: never refused by mistake, never a traceback; and wrong defaults."""

import importlib
from pathlib import Path

import pytest

import attnbench
from attnbench import registry
from attnbench.cli import main
from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.plugins import load_plugin

HEAD = "import functools\nimport math\nimport torch\nimport attnbench\n\n"
SCOPE = "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], scope: [global, mine], task: [copy]}\n"
SCORE = "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot, mine], task: [copy]}\n"
WORK = "def work(e, m, q, n, t):\n    return e\n"


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))


def of_scope(constructor: str, before: str = WORK, bases: str = "torch.nn.Module") -> str:
    """A scope without a visible forward, whose constructor has these lines."""
    lines = "".join(f"        {line}\n" for line in constructor.splitlines())
    return f"{before}@attnbench.scope('mine')\nclass Mine({bases}):\n    def __init__(self):\n{lines}"


RIGHT = {
    "setattr in a loop": of_scope("super().__init__()\nfor n in ('for' + 'ward', 'x'):\n    setattr(self, n, work)"),
    "vars": of_scope("super().__init__()\nvars(self).update(**{'for' 'ward': work})"),
    "vars with computed names": of_scope("super().__init__()\nvars(self).update({'for' + 'ward'[0:]: work})"),
    "__dict__": of_scope("super().__init__()\nself.__dict__['FORWARD'.lower()] = work"),
    "a helper": of_scope(
        "super().__init__()\nequip(self)", WORK + "def equip(part):\n    setattr(part, 'FORWARD'.lower(), work)\n"
    ),
    "a helper of the class": of_scope(
        "super().__init__()\nself.equip()",
        WORK + "class Base(torch.nn.Module):\n    def equip(self):\n        setattr(self, 'FORWARD'.lower(), work)\n",
        "Base",
    ),
    "a wrapped constructor": WORK
    + """
def logged(init):
    @functools.wraps(init)
    def inner(*given, **named):
        return init(*given, **named)
    return inner
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @logged
    def __init__(self, sharp: float = 1.0):
        super().__init__()
        self.forward = work
""",
    "a wrapper that assigns": WORK
    + """
def equipped(init):
    @functools.wraps(init)
    def inner(self, *given, **named):
        init(self, *given, **named)
        self.forward = work
    return inner
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @equipped
    def __init__(self):
        super().__init__()
""",
    "a hook that drops arguments": """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_forward_pre_hook(lambda _, given: given[0])
    def forward(self, e):
        return e.softmax(-1)
""",
    "a metaclass that equips": WORK
    + """
class Meta(type):
    def __call__(cls, *given, **named):
        made = super().__call__(*given, **named)
        setattr(made, 'FORWARD'.lower(), work)
        return made
@attnbench.scope('mine')
class Mine(torch.nn.Module, metaclass=Meta):
    pass
""",
    "a descriptor that raises": """
class Odd:
    def __getattr__(self, name):
        raise KeyError(name)
    def __call__(self, e, m, q, n, t):
        return e
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    forward = Odd()
""",
    "an odd __func__": """
class Odd:
    @property
    def __func__(self):
        raise ZeroDivisionError
    __call__ = lambda self, e, m, q, n, t: e
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    forward = Odd()
""",
    "odd attributes": """
class Odd:
    __module__ = 5
    __signature__ = 'none'
    __isabstractmethod__ = property(lambda self: 1 / 0)
    __call__ = lambda self, e, m, q, n, t: e
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    forward = Odd()
    other = Odd()
""",
    "an odd metaclass": """
class Meta(type):
    __mro__ = property(lambda cls: 1 / 0)
    __bases__ = __name__ = __module__ = property(lambda cls: 1 / 0)
@attnbench.scope('mine')
class Mine(torch.nn.Module, metaclass=Meta):
    def forward(self, e, m, q, n, t):
        return e
""",
    "an odd __module__ and __doc__": """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    __module__ = 5
    __doc__ = 5
    def forward(self, e, m, q, n, t):
        return e
""",
    "own names in an order that only looks wrong": """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def forward(self, e, m, q, n, t, logits=None):
        return e
""",
}
WRONG_ORDER = {
    "scope": (
        SCOPE,
        "@attnbench.scope('mine')\nclass Mine(torch.nn.Module):\n"
        "    def forward(self, logits, query, mask, lengths, step):\n        return logits\n",
        "found forward(self, logits, query, mask, lengths, step): query would get the mask, mask would get the query",
    ),
    "score": (
        SCORE,
        "@attnbench.score('mine')\nclass Mine(torch.nn.Module):\n"
        "    def forward(self, keys, query):\n        return 0\n",
        "expected forward(self, query, keys), found forward(self, keys, query): keys would get the query",
    ),
    "model": (
        SCORE.replace("[dot, mine]", "[dot]") + "model: {kind: mine}\n",
        "@attnbench.model('mine')\nclass Mine(attnbench.Seq2Seq):\n"
        "    def encode(self, source, lengths):\n        return 0, 0\n"
        "    def step(self, state, memory, previous, index):\n        return 0, 0, 0\n",
        "state would get the memory",
    ),
}
# An option and what is wrong with its default.
DEFAULTS = {
    "a: float = math.nan": "is nan, which cannot be the value of an option",
    "a: float = -math.inf": "is -inf, which cannot",
    "a: int = 'x'": "should be a whole number, found 'x'",
    "a: int = 2.5": "should be a whole number, found 2.5",
    "a=frozenset('x')": "is frozenset({'x'}), which cannot",
    "a=[{1}]": "is [{1}], which cannot",
    "a=torch.ones(2)": "is tensor([1., 1.]), which cannot",
    "a=max": "is <built-in function max>, which cannot",
    "a: int = ...": "is Ellipsis, which cannot",
}


def grid_of(folder: Path, grid: str, code: str) -> Path:
    (folder / "mine.py").write_text(HEAD + code)
    path = folder / "grid.yaml"
    path.write_text(grid)
    return path


def errors_of(path: Path, capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["expand", str(path)])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("case", RIGHT)
def test_what_only_an_instance_shows_is_not_refused(case, tmp_path):
    assert len(expand(load_grid(grid_of(tmp_path, SCOPE, RIGHT[case]))).cells) == 2


@pytest.mark.parametrize("case", WRONG_ORDER)
def test_arguments_in_another_order_are_found_by_their_names(case, tmp_path, capsys):
    grid, code, expected = WRONG_ORDER[case]
    errors = errors_of(grid_of(tmp_path, grid, code), capsys)
    assert f"{tmp_path / 'mine.py'}:" in errors
    assert expected in errors


def test_a_wrong_method_is_found_although_the_constructor_is_ordinary(tmp_path, capsys):
    code = """
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    def __init__(self, sharp: float = 1.0):
        super().__init__()
        self.sharp = sharp
        self.layers = [self.make(n) for n in range(2)]
    def make(self, n):
        return torch.nn.Linear(n + 1, n + 1)
    def forward(self, e):
        return helper(self, e)
"""
    assert "found forward(self, e)" in errors_of(grid_of(tmp_path, SCOPE, code), capsys)


@pytest.mark.parametrize("option", DEFAULTS)
def test_a_wrong_default_is_found_before_training(option, tmp_path, capsys):
    code = f"@attnbench.score('mine')\nclass Mine(torch.nn.Module):\n    def __init__(self, {option}):\n        pass\n"
    path = grid_of(tmp_path, SCORE, code + "    def forward(self, query, keys):\n        return 0\n")
    errors = errors_of(path, capsys)
    assert f"score 'mine', option 'a': the default in {tmp_path / 'mine.py'}:6 {DEFAULTS[option]}" in errors
    assert f"{path}:4:" in errors


@pytest.mark.parametrize(
    ("annotation", "default"),
    [("int", None), ("float", 1), ("list[int]", (1, 2)), ("tuple[int, int]", [1, 2]), ("dict", {"x": [1, None]})],
)
def test_common_defaults_are_accepted_unchanged(annotation, default):
    scope = {}
    exec(f"class Mine:\n    def __init__(self, a: {annotation} = {default!r}): pass", scope)
    attnbench.score("mine")(scope["Mine"])
    assert registry.score.entry("mine").resolve({}) == {"a": default}


def test_a_wrong_default_does_not_matter_where_the_option_is_set(tmp_path):
    code = (
        "@attnbench.score('mine')\nclass Mine(torch.nn.Module):\n    def __init__(self, a: int = 'x'):\n        pass\n"
    )
    path = grid_of(tmp_path, SCORE.replace("[dot, mine]", "[dot, {name: mine, a: 3}]"), code)
    (tmp_path / "mine.py").write_text(HEAD + code + "    def forward(self, query, keys):\n        return 0\n")
    assert len(expand(load_grid(path)).cells) == 2


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ("@attnbench.score(5)", "@attnbench.score needs a name, found 5"),
        ("@attnbench.score(None)", "@attnbench.score needs a name, found None"),
        ("@attnbench.score('')", "@attnbench.score needs a name, found ''"),
        ("@attnbench.score", "@attnbench.score needs a name in parentheses"),
    ],
)
def test_a_decorator_without_a_name_is_an_error_at_import(decorator, message, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"{HEAD}{decorator}\nclass Mine(torch.nn.Module):\n    pass\n")
    with pytest.raises(AttnbenchError) as raised:
        load_plugin(file)
    assert f"{file}:6: {message}" in str(raised.value)
    assert '@attnbench.score("my_score")' in str(raised.value)


def test_a_wrapper_of_the_constructor_that_names_its_options(tmp_path):
    code = """
def sharpened(init):
    @functools.wraps(init)
    def inner(self, sharp: float = 2.0):
        init(self, sharp, 'fixed')
    return inner
@attnbench.scope('mine')
class Mine(torch.nn.Module):
    @sharpened
    def __init__(self, sharp, kind):
        super().__init__()
    def forward(self, e, m, q, n, t):
        return e
"""
    expand(load_grid(grid_of(tmp_path, SCOPE, code)))
    assert registry.scope.entry("mine").resolve({}) == {"sharp": 2.0}


def test_a_wrapper_that_passes_everything_on_has_the_options_of_what_it_wraps(tmp_path):
    expand(load_grid(grid_of(tmp_path, SCOPE, RIGHT["a wrapped constructor"])))
    assert registry.scope.entry("mine").resolve({}) == {"sharp": 1.0}


def test_a_renamed_class_of_a_reloaded_file_replaces_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "renamed_part.py"
    file.write_text("import attnbench\n@attnbench.score('mine')\nclass Old:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("renamed_part")
    file.write_text("import attnbench\n\n\n@attnbench.score('mine')\nclass Newer:\n    pass\n")
    importlib.reload(module)
    assert registry.score.entry("mine").load() is module.Newer
    assert registry.score.origin("mine") == f"{file}:4"


def test_two_classes_of_a_file_with_one_name_are_still_an_error(tmp_path):
    file = tmp_path / "two.py"
    file.write_text("import attnbench\n" + "".join(f"@attnbench.score('mine')\nclass {c}:\n    pass\n" for c in "AB"))
    with pytest.raises(AttnbenchError, match="defined twice"):
        load_plugin(file)


def test_a_renamed_class_of_a_notebook_replaces_the_old_one():
    for name in ("Old", "Newer"):
        cell = {"attnbench": attnbench, "__name__": "__notebook__"}
        exec(f"@attnbench.score('mine')\nclass {name}:\n    pass\n", cell)
    assert registry.score.entry("mine").load().__name__ == "Newer"
