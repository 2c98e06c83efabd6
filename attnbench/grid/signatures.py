"""Compares the methods of a plugin's class with the calls that attnbench makes, before anything trains.

A method counts as wrong if Python itself would refuse the call, or if its arguments have the names that attnbench uses
in another order. Where a class decides at run time what is called (`__getattr__`, a callable assigned in the
constructor, a property), nothing is reported: the trial in training/trial/ calls the part before it is trained. A
model must also be a subclass of Seq2Seq, and a class that is called as a whole but has no `__call__` a subclass of
torch.nn.Module.
"""

import inspect
import linecache
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from attnbench.errors import Problem
from attnbench.grid.calls import (
    CHECK,
    COMPARE,
    GENERATE,
    MODEL,
    NORMALISER,
    OBJECTIVE,
    PENALTY,
    PREPARE,
    SCOPE,
    SCORE,
    START_SCOPE,
    START_SCORE,
    UNSEEN,
    UPDATE,
    Call,
    with_state,
)
from attnbench.grid.class_attributes import MISSING, bases_of, find, get, is_torchs, name_of, overrides
from attnbench.grid.set_later import is_set_later
from attnbench.registered.entry import Entry


def wrong_signatures(entry: Entry) -> list[Problem]:
    """The methods of a registered class that attnbench cannot call; empty for a class whose methods are made later."""
    try:
        return _wrong_signatures(entry)
    # Reading an attribute of a user's object can run the user's code, which can raise anything. The trial before the
    # training then finds what is wrong.
    except KeyboardInterrupt:
        raise
    except BaseException:
        return []


def _wrong_signatures(entry: Entry) -> list[Problem]:
    cls: Any = entry.load()
    if not isinstance(cls, type) or find(cls, "__new__") is not object.__new__:
        return []  # a function that builds the part, or a class that returns something else
    if find(type(cls), "__call__") is not find(type, "__call__"):
        return []  # a metaclass that makes the instances
    calls = list(_calls(entry, cls))
    base = _missing_base(entry, cls, calls)
    if base:
        bases = type.__dict__["__bases__"].__get__(cls)
        found = f"{name_of(cls)}({', '.join(name_of(each) for each in bases if each is not object)})"
        what = f"expected a subclass of {base}, found {found.removesuffix('()')}"
        return [_problem(entry, what, f"begin it with: class {name_of(cls)}({base}):", entry.origin)]
    problems = (_check(entry, cls, call) for call in calls)
    return [problem for problem in problems if problem is not None]


def _missing_base(entry: Entry, cls: type, calls: list[Call]) -> str | None:
    """The class that this one has to build on, if it does not."""
    if entry.kind == "model" and not _is_seq2seq(cls):
        return "attnbench.Seq2Seq"
    # Python looks a __call__ up on the class alone, so that nothing can supply it later.
    if any(call.method == "__call__" for call in calls) and find(cls, "__call__") is MISSING:
        return "torch.nn.Module"
    return None


def _calls(entry: Entry, cls: type) -> Iterator[Call]:
    stateful = find(cls, START_SCORE.method) is not MISSING
    if entry.kind == "score":
        yield PREPARE
        # As in scores/base.py: a score with compare is called as a whole only if it overrides forward further down.
        has_compare = find(cls, COMPARE.method) is not MISSING or is_set_later(cls, COMPARE.method)
        has_compare = has_compare and not overrides(cls, SCORE.method, COMPARE.method)
        compare = COMPARE if has_compare else _called_as_a_whole(cls, SCORE)
        yield with_state(compare) if stateful else compare
        yield from (START_SCORE, UPDATE) if stateful else ()
        yield PENALTY
    elif entry.kind == "scope":
        scope = _called_as_a_whole(cls, SCOPE)
        yield with_state(scope) if stateful else scope
        yield from (START_SCOPE,) if stateful else ()
        yield OBJECTIVE
    elif entry.kind == "normaliser":
        yield _called_as_a_whole(cls, NORMALISER)
    elif entry.kind == "task":
        yield CHECK
        yield GENERATE
        if entry.takes("unseen_symbols"):
            yield UNSEEN
    elif entry.kind == "model":
        yield from MODEL


def _called_as_a_whole(cls: type, call: Call) -> Call:
    """The method that `part(...)` reaches: forward by way of torch.nn.Module, else the class's own __call__."""
    return call if is_torchs(find(cls, "__call__")) else call._replace(method="__call__")


def _check(entry: Entry, cls: type, call: Call) -> Problem | None:
    found = find(cls, call.method)
    is_there = not (found is MISSING or is_torchs(found) or get(found, "__isabstractmethod__") is True)
    if (not is_there or found is None) and not call.required:
        return None
    if is_set_later(cls, call.method):
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
    except Exception:  # written in C, no function at all, or a user's object with an odd __signature__
        return None
    try:
        given = signature.bind(*bound, *call.arguments)
    except TypeError as error:
        reason = str(error)
    else:
        reason = _wrong_order(given, call)
    if not reason:
        return None
    shown = f"{call.method}{_without_annotations(signature)}"
    expected = expected if bound else expected.replace("self, ", "")
    what = f"expected {expected}, found {shown}: {reason}"
    return _problem(entry, what, _hint(entry, call), _place(callable_) or entry.origin)


def _wrong_order(given: inspect.BoundArguments, call: Call) -> str:
    """Which argument gets the value of another one; "" if the method uses other names, or the right order."""
    wrong = [
        f"{name} would get the {value}"
        for name, value in given.arguments.items()
        if name != value and name in call.arguments and isinstance(value, str)
    ]
    return ", ".join(wrong)


def _is_seq2seq(cls: type) -> bool:
    return any(
        (get(base, "__module__"), name_of(base)) == ("attnbench.models.base", "Seq2Seq") for base in bases_of(cls)
    )


def _unwrap(found: Any) -> tuple[Any, tuple[str, ...]]:
    """What is called, and the arguments that binding adds; None where only an instance could tell."""
    # type() and not isinstance(): an instance of a subclass may do something else when it is bound.
    if type(found) is staticmethod:
        return found.__func__, ()
    if type(found) is classmethod:
        return found.__func__, ("cls",)
    if type(found) is FunctionType:
        return found, ("self",)
    if callable(found) and find(type(found), "__get__") is MISSING:
        return found, ()
    return None, ()


def _without_annotations(signature: inspect.Signature) -> inspect.Signature:
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _place(callable_: Any) -> str | None:
    """The file and line of a function; None for a callable that is none."""
    code = get(callable_.func if type(callable_) is partial else callable_, "__code__")
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
