"""Compares the methods of a plugin's class with the calls that attnbench makes, before anything trains.

A method counts as wrong only if Python itself would refuse the call. Where a class decides at run time what is called
(`__getattr__`, a callable assigned in the constructor, a property), nothing is reported. A model must also be a
subclass of Seq2Seq, and a class that is called as a whole but has no `__call__` a subclass of torch.nn.Module.
"""

import dis
import inspect
import linecache
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from attnbench.errors import Problem
from attnbench.registry import Entry

MISSING = object()


class Call(NamedTuple):
    """A call that attnbench makes: the method, its arguments, all by position, and what they are."""

    method: str
    arguments: tuple[str, ...]
    meaning: str
    required: bool = True


# The callers: attention.py for scores and scopes, tasks/streams.py and tasks/draw.py, training/stack.py for models.
SCORE = Call("forward", ("query", "keys"), "query (B,T,D) and keys (B,S,D); it returns logits (B,T,S)")
PREPARE = Call("prepare", ("keys",), "keys (B,S,D); compare gets what it returns", required=False)
COMPARE = Call("compare", ("query", "prepared"), "query (B,T,D) and what prepare returned; it returns logits (B,T,S)")
SCOPE = Call(
    "forward",
    ("logits", "mask", "query", "lengths", "step"),
    "logits (B,T,S), mask (B,1,S) or None, query (B,T,D), lengths (B,) and the number of the first step; "
    "it returns weights (B,T,S)",
)
OBJECTIVE = Call(
    "objective",
    ("log_likelihood", "logits", "weights", "mask", "target_mask"),
    "log_likelihood (B,T), logits (B,T,S), weights (B,T,S), mask (B,1,S) or None and target_mask (B,T); "
    "it returns the loss ()",
    required=False,
)
CHECK = Call(
    "check", ("length",), "a source length; it returns None, or the reason why there are no sources of this length"
)
EXAMPLES = "a NumPy generator, the source length and the number of examples; it returns attnbench.Examples"
GENERATE = Call("generate", ("random", "length", "count"), EXAMPLES)
# That it is missing is reported where the task is built.
UNSEEN = Call("generate_unseen", ("random", "length", "count"), EXAMPLES, required=False)
MODEL = (
    Call("encode", ("source", "lengths"), "source (B,S) and lengths (B,) or None; it returns memory and first state"),
    Call(
        "step",
        ("memory", "state", "previous", "index"),
        "memory, state, previous words (B,) and the number of the step; "
        "it returns the new state, logits (B,V) and weights (B,S)",
    ),
    Call(
        "forward",
        ("source", "lengths", "previous"),
        "source (B,S), lengths (B,) or None and previous words (B,T); it returns attnbench.Output",
    ),
    Call(
        "objective",
        ("output", "log_likelihood", "lengths", "target_mask"),
        "the Output of forward, log_likelihood (B,T), lengths (B,) or None and target_mask (B,T); "
        "it returns the loss ()",
    ),
)


def wrong_signatures(entry: Entry) -> list[Problem]:
    """The methods of a registered class that attnbench cannot call; empty for a class whose methods are made later."""
    cls: Any = entry.load()
    if not isinstance(cls, type) or _find(cls, "__new__") is not object.__new__:
        return []  # a function that builds the part, or a class that returns something else
    calls = list(_calls(entry, cls))
    base = _missing_base(entry, cls, calls)
    if base:
        found = f"{cls.__name__}({', '.join(each.__name__ for each in cls.__bases__ if each is not object)})"
        what = f"expected a subclass of {base}, found {found.removesuffix('()')}"
        return [_problem(entry, what, f"begin it with: class {cls.__name__}({base}):", entry.origin)]
    problems = (_check(entry, cls, call) for call in calls)
    return [problem for problem in problems if problem is not None]


def _missing_base(entry: Entry, cls: type, calls: list[Call]) -> str | None:
    """The class that this one has to build on, if it does not."""
    if entry.kind == "model" and not _is_seq2seq(cls):
        return "attnbench.Seq2Seq"
    # Python looks a __call__ up on the class alone, so that nothing can supply it later.
    if any(call.method == "__call__" for call in calls) and _find(cls, "__call__") is MISSING:
        return "torch.nn.Module"
    return None


def _calls(entry: Entry, cls: type) -> Iterator[Call]:
    if entry.kind == "score":
        yield PREPARE
        # A score with compare is never called as a whole.
        has_compare = _find(cls, COMPARE.method) is not MISSING or _is_set_later(cls, COMPARE.method)
        yield COMPARE if has_compare else _called_as_a_whole(cls, SCORE)
    elif entry.kind == "scope":
        yield _called_as_a_whole(cls, SCOPE)
        yield OBJECTIVE
    elif entry.kind == "task":
        yield CHECK
        yield GENERATE
        if entry.takes("unseen_symbols"):
            yield UNSEEN
    elif entry.kind == "model":
        yield from MODEL


def _called_as_a_whole(cls: type, call: Call) -> Call:
    """The method that `part(...)` reaches: forward by way of torch.nn.Module, else the class's own __call__."""
    return call if _is_torchs(_find(cls, "__call__")) else call._replace(method="__call__")


def _check(entry: Entry, cls: type, call: Call) -> Problem | None:
    found = _find(cls, call.method)
    is_there = not (found is MISSING or _is_torchs(found) or getattr(found, "__isabstractmethod__", False))
    if (not is_there or found is None) and not call.required:
        return None
    if _is_set_later(cls, call.method):
        return None
    expected = f"{call.method}({', '.join(('self', *call.arguments))})"
    if not is_there:
        return _problem(entry, f"expected {expected}, found no {call.method}", _hint(entry, call), entry.origin)
    callable_, bound = _unwrap(found)
    if callable_ is None:
        return None
    try:
        # The wrapper is called, not what it wraps.
        signature = inspect.signature(callable_, follow_wrapped=False)
    except (TypeError, ValueError):
        return None  # written in C, or no function at all
    try:
        signature.bind(*bound, *call.arguments)
    except TypeError as error:
        shown = f"{call.method}{_without_annotations(signature)}"
        expected = expected if bound else expected.replace("self, ", "")
        what = f"expected {expected}, found {shown}: {error}"
        return _problem(entry, what, _hint(entry, call), _place(callable_) or entry.origin)
    return None


def _find(cls: type, name: str) -> Any:
    """The attribute as it is written in the class or the nearest base, without binding it; MISSING if there is none."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), MISSING)


def _is_torchs(found: Any) -> bool:
    """Whether this is torch.nn.Module's own forward, which only raises, or its __call__, which calls forward."""
    return getattr(found, "__module__", None) == "torch.nn.modules.module"


def _is_seq2seq(cls: type) -> bool:
    return any((base.__module__, base.__name__) == ("attnbench.models.base", "Seq2Seq") for base in cls.__mro__)


def _unwrap(found: Any) -> tuple[Any, tuple[str, ...]]:
    """What is called, and the arguments that binding adds; None where only an instance could tell."""
    if isinstance(found, staticmethod):
        return found.__func__, ()
    if isinstance(found, classmethod):
        return found.__func__, ("cls",)
    if isinstance(found, FunctionType):
        return found, ("self",)
    if callable(found) and not hasattr(type(found), "__get__"):
        return found, ()
    return None, ()


def _is_set_later(cls: type, name: str) -> bool:
    """Whether an instance may have an attribute of this name that its class does not show."""
    for base in cls.__mro__:
        for key, value in vars(base).items():
            if key in ("__getattr__", "__getattribute__") and base is not object and not _is_torchs(value):
                return True
            code = getattr(getattr(value, "__func__", value), "__code__", None)
            if isinstance(code, CodeType) and not _is_torchs(value) and _sets(code, name):
                return True
    return False


def _sets(code: CodeType, name: str) -> bool:
    """Whether code assigns an attribute of this name, or has the name as a text, as setattr and add_module need it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    stores = any(i.opname == "STORE_ATTR" and i.argval == name for i in dis.get_instructions(code))
    return stores or name in code.co_consts or any(_sets(each, name) for each in inner)


def _without_annotations(signature: inspect.Signature) -> inspect.Signature:
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _place(callable_: Any) -> str | None:
    """The file and line of a function; None for a callable that is none."""
    code = getattr(callable_.func if isinstance(callable_, partial) else callable_, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else None


def _hint(entry: Entry, call: Call) -> str:
    return (
        f"attnbench passes, by position: {call.meaning}. "
        f"`attnbench init --{entry.kind} NAME` writes an example that works"
    )


def _problem(entry: Entry, what: str, hint: str, place: str) -> Problem:
    file, _, line = place.rpartition(":")
    source = linecache.getline(file, int(line)).strip()
    return Problem(f"the {entry.kind} {entry.name!r}: {what}", place, hint, source)
