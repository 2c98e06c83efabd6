"""Imports an attention by its name, and builds it."""

import ast
import copy
import importlib
import importlib.util
import inspect
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.contained import contained
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.messages import message_of

PASSED = "# the attention that was passed to attnbench.guard"
DEFAULT_BUILDS = {nn.MultiheadAttention: "MultiheadAttention(embed_dim=32, num_heads=4, batch_first=True)"}
_HINT = "name it as MODULE:NAME, such as my_package.attention:Attention, or as FILE.py:NAME"


@dataclass(frozen=True)
class Loaded:
    """An attention, and how to get it again.

    Attributes:
        attention: the module or function.
        name: for headings.
        imports: the lines that import it.
        expression: what gives it, after these lines.
        module: whose names the expression uses, if it builds the attention; None if the attention exists once.
    """

    attention: Any
    name: str
    imports: tuple[str, ...]
    expression: str
    module: ModuleType | None = None

    @property
    def is_module(self) -> bool:
        """Whether it is a torch module, with parameters and modes."""
        return isinstance(self.attention, nn.Module)


def passed(attention: Any) -> Loaded:
    """An attention that a caller has built.

    Raises:
        AttnbenchError: if it cannot be called, or is a class.
    """
    if inspect.isclass(attention):
        raise fail(f"expected an attention, found the class {attention.__name__}", hint="build it first")
    if not callable(attention):
        raise fail(f"expected a module or function, found {attention!r}")
    name = getattr(attention, "__name__", type(attention).__name__)
    return Loaded(attention, name, (), f"...  {PASSED}")


def load(name: str, build: str | None = None) -> Loaded:
    """Imports an attention, and builds it if it is a class.

    Args:
        name: MODULE:NAME, FILE.py:NAME, or a dotted name.
        build: the expression that builds it, such as "Attention(embed_dim=64, num_heads=4)". It may use every name of
            the module, and torch. Without it a class is called without arguments, and a function is taken as it is.

    Raises:
        AttnbenchError: if it cannot be imported or built, with what was called and what it raised.
    """
    with suppress(FileNotFoundError):  # the working folder was deleted
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
    place, attribute = _split(name)
    module = _import(place, name)
    found = _attribute(module, attribute, name)
    top = attribute.partition(".")[0]
    if build is not None or inspect.isclass(found):
        text = _default_build(found, attribute) if build is None else build.strip()
        made = _built(text, module, name)
        return Loaded(made, name, _imports(place, module, _names_in(text, module) or [top]), text, module)
    if not callable(found):
        raise fail(f"{name} is {found!r}, which cannot be called", hint="name a class, a module or a function")
    if found is sys.modules.get("torch.nn.attention.flex_attention", ModuleType("")).__dict__.get("flex_attention"):
        return Loaded(found, name, ("import torch.nn.attention.flex_attention",), f"{place}.{attribute}")
    return Loaded(found, name, _imports(place, module, [top]), attribute)


def load_again(loaded: Loaded) -> Any:
    """A new attention, from initial weights that depend on torch's seed; a copy if it cannot be built again."""
    if loaded.module is not None:
        with contained():
            return eval(loaded.expression, {"torch": torch, **vars(loaded.module)})
    return copied(loaded.attention) if loaded.is_module else loaded.attention


def copied(module: nn.Module) -> nn.Module:
    """A copy of a module; tensors that it keeps from a call, such as its weights, are copied without their graph.

    copy.deepcopy refuses tensors that have a graph, and many attentions keep their weights: `self.attn = weights`.
    """
    memo: dict[int, Any] = {}
    waiting: list[Any] = [vars(each) for each in module.modules()]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Tensor) and not each.is_leaf:
            memo[id(each)] = each.detach().clone()
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, tuple | list):
            waiting += each
    return copy.deepcopy(module, memo)


def _split(name: str) -> tuple[str, str]:
    """The module or file, and the name in it."""
    place, colon, attribute = name.rpartition(":")
    if place and attribute:
        return place, attribute
    if colon:
        raise fail(f"{name!r} does not name an attention", hint=_HINT)
    # A dotted name: as many of its parts as possible are a module.
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if _exists(".".join(parts[:end])):
            return ".".join(parts[:end]), ".".join(parts[end:])
    raise fail(f"{name!r} does not name an attention", hint=_HINT)


def _exists(module: str) -> bool:
    try:
        with contained():
            return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _import(place: str, name: str) -> ModuleType:
    """Imports a module, from the working folder too, or a file, as `python FILE.py` would with its neighbours."""
    module = place
    if place.endswith(".py"):
        if not os.path.isfile(place):
            raise fail(f"there is no file {place}", hint=_HINT)
        folder, file = os.path.split(os.path.realpath(place))
        module = file.removesuffix(".py")
        if not module.isidentifier():
            raise fail(f"a file of the name {file} cannot be imported", name, "letters, digits and _ can be imported")
        sys.path.insert(0, folder)
    try:
        with contained():
            imported = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        what = f"there is no module {module!r}" if missing else f"importing {module} {_raised(error)}"
        raise fail(what, name, _HINT if missing else "import it in Python to see the whole traceback") from error
    found = getattr(imported, "__file__", None) or "a module of Python"
    if place.endswith(".py") and os.path.realpath(found) != os.path.realpath(place):
        raise fail(f"import {module} gives {found}, not this file", name, "give the file another name")
    return imported


def _attribute(module: ModuleType, attribute: str, name: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [known for known in dir(found) if not known.startswith("_")]
            raise fail(f"{getattr(found, '__name__', found)} has no {part!r}", name, did_you_mean(part, known))
        found = getattr(found, part)
    return found


def _default_build(found: type, attribute: str) -> str:
    """The expression that builds a class without arguments."""
    for known, text in DEFAULT_BUILDS.items():
        if found is known:
            return text
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    needed = [
        each.name for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]  # fmt: skip
    if needed:
        arguments = ", ".join(f"{each}=…" for each in needed)
        raise fail(
            f"{attribute} needs {', '.join(needed)}", hint=f"say how to build it: --build '{attribute}({arguments})'"
        )
    return f"{attribute}()"


def _built(text: str, module: ModuleType, name: str) -> Any:
    try:
        with contained(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = eval(text, {"torch": torch, **vars(module)})  # as the user wrote it
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, AttnbenchError):
            raise
        hint = "correct the expression of --build, which may use every name of the module, and torch"
        raise fail(f"{text} {_raised(error)}", name, hint) from error
    if not callable(made):
        raise fail(f"{text} returned {made!r}, which cannot be called", name, "it should build a module or a function")
    return made


def _raised(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {message_of(error)}"


def _names_in(text: str, module: ModuleType) -> list[str]:
    """The names of the module that an expression uses, in their order."""
    used = (node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name))
    return [name for name in dict.fromkeys(used) if hasattr(module, name) and name != "torch"]


def _imports(place: str, module: ModuleType, names: list[str]) -> tuple[str, ...]:
    """The lines of a script that import these names, beside `import torch`."""
    line = f"from {module.__name__} import {', '.join(names)}"
    if not place.endswith(".py"):
        return (line,)
    folder = os.path.dirname(place) or "."
    return (f"import sys; sys.path.insert(0, {folder!r})", line)
