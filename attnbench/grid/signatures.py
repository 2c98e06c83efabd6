"""Compares the methods of a plugin's class with the calls that attnbench makes, before anything trains.

A method counts as wrong if Python itself would refuse the call, or if its arguments have the names that attnbench uses
in another order. Where a class decides at run time what is called (`__getattr__`, a callable assigned in the
constructor, a property), nothing is reported: the trial in training/trial/ calls the part before it is trained. A
model must also be a subclass of Seq2Seq, and a class that is called as a whole but has no `__call__` a subclass of
torch.nn.Module.
"""

import dis
import inspect
import linecache
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from attnbench.errors import Problem
from attnbench.registered.entry import Entry

MISSING = object()
# Called or read in a constructor, these can give an instance any attribute, or change how its methods are called.
CAN_SET_ANY = frozenset(
    {"setattr", "vars", "exec", "eval", "__dict__", "__class__", "__setattr__", "register_forward_pre_hook"}
)
CONSTRUCTORS = ("__init__", "__post_init__")


class Call(NamedTuple):
    """A call that attnbench makes: the method, its arguments, all by position, and what they are."""

    method: str
    arguments: tuple[str, ...]
    meaning: str
    required: bool = True


# The callers: attention.py for scores, scopes and normalisers, tasks/build.py and tasks/draw.py for tasks, and
# training/stack.py for models.
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
# A score or a scope with a method start carries a state from one step to the next: the state is its last argument.
START_SCORE = Call("start", ("keys",), "keys (B,S,D), or what prepare returned; it returns the first state")
START_SCOPE = Call("start", ("values",), "values (B,S,D); it returns the first state")
UPDATE = Call("update", ("state", "weights"), "the state and the weights (B,1,S); it returns the state", required=False)
PENALTY = Call("penalty", ("weights",), "weights (B,T,S); it returns what the loss grows by, (B,T)", required=False)
NORMALISER = Call(
    "forward", ("logits", "mask"), "logits (B,T,S) and a mask (B,1,S), (B,T,S) or None; it returns weights (B,T,S)"
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
    if not isinstance(cls, type) or _find(cls, "__new__") is not object.__new__:
        return []  # a function that builds the part, or a class that returns something else
    if _find(type(cls), "__call__") is not _find(type, "__call__"):
        return []  # a metaclass that makes the instances
    calls = list(_calls(entry, cls))
    base = _missing_base(entry, cls, calls)
    if base:
        bases = type.__dict__["__bases__"].__get__(cls)
        found = f"{_name(cls)}({', '.join(_name(each) for each in bases if each is not object)})"
        what = f"expected a subclass of {base}, found {found.removesuffix('()')}"
        return [_problem(entry, what, f"begin it with: class {_name(cls)}({base}):", entry.origin)]
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
    stateful = _find(cls, START_SCORE.method) is not MISSING
    if entry.kind == "score":
        yield PREPARE
        # As in scores/base.py: a score with compare is called as a whole only if it overrides forward further down.
        has_compare = _find(cls, COMPARE.method) is not MISSING or _is_set_later(cls, COMPARE.method)
        has_compare = has_compare and not _overrides(cls, SCORE.method, COMPARE.method)
        compare = COMPARE if has_compare else _called_as_a_whole(cls, SCORE)
        yield _with_state(compare) if stateful else compare
        yield from (START_SCORE, UPDATE) if stateful else ()
        yield PENALTY
    elif entry.kind == "scope":
        scope = _called_as_a_whole(cls, SCOPE)
        yield _with_state(scope) if stateful else scope
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


def _with_state(call: Call) -> Call:
    meaning = f"{call.meaning.replace('; it returns', ', and the state; it returns')} and the state"
    return call._replace(arguments=(*call.arguments, "state"), meaning=meaning)


def _called_as_a_whole(cls: type, call: Call) -> Call:
    """The method that `part(...)` reaches: forward by way of torch.nn.Module, else the class's own __call__."""
    return call if _is_torchs(_find(cls, "__call__")) else call._replace(method="__call__")


def _check(entry: Entry, cls: type, call: Call) -> Problem | None:
    found = _find(cls, call.method)
    is_there = not (found is MISSING or _is_torchs(found) or _get(found, "__isabstractmethod__") is True)
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


def _find(cls: type, name: str) -> Any:
    """The attribute as it is written in the class or the nearest base, without binding it; MISSING if there is none."""
    return next((_vars(base)[name] for base in _bases(cls) if name in _vars(base)), MISSING)


def _overrides(cls: type, method: str, other: str) -> bool:
    """Whether the class defines a method in a subclass of the base that defines the other one."""
    first, second = (next((base for base in _bases(cls) if name in _vars(base)), None) for name in (method, other))
    return first is not None and second is not None and first is not second and second in _bases(first)


def _bases(cls: type) -> tuple[type, ...]:
    """The class and its bases in the order of look-up, even if the metaclass defines another `__mro__`."""
    bases: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return bases


def _vars(cls: type) -> Any:
    return type.__dict__["__dict__"].__get__(cls)


def _name(cls: type) -> str:
    return str(type.__dict__["__name__"].__get__(cls))


def _get(value: Any, name: str) -> Any:
    """An attribute of a user's object; MISSING if there is none or reading it raises."""
    try:
        return getattr(value, name, MISSING)
    except Exception:
        return MISSING


def _is_torchs(found: Any) -> bool:
    """Whether this is torch.nn.Module's own forward, which only raises, or its __call__, which calls forward."""
    return bool(_get(found, "__module__") == "torch.nn.modules.module")


def _is_seq2seq(cls: type) -> bool:
    return any((_get(base, "__module__"), _name(base)) == ("attnbench.models.base", "Seq2Seq") for base in _bases(cls))


def _unwrap(found: Any) -> tuple[Any, tuple[str, ...]]:
    """What is called, and the arguments that binding adds; None where only an instance could tell."""
    # type() and not isinstance(): an instance of a subclass may do something else when it is bound.
    if type(found) is staticmethod:
        return found.__func__, ()
    if type(found) is classmethod:
        return found.__func__, ("cls",)
    if type(found) is FunctionType:
        return found, ("self",)
    if callable(found) and _find(type(found), "__get__") is MISSING:
        return found, ()
    return None, ()


def _is_set_later(cls: type, name: str) -> bool:
    """Whether an instance may have an attribute of this name that its class does not show."""
    own = [base for base in _bases(cls) if base is not object and not _is_library(base)]
    for base in own:
        for key, value in _vars(base).items():
            if key in ("__getattr__", "__getattribute__"):
                return True
            if any(_sets(code, name) for code in _codes(value)):
                return True
    return any(_may_set_any(code) for code in _run_by_constructor(own))


def _is_library(cls: type) -> bool:
    """Whether torch or attnbench defines the class: they set no method at run time."""
    module = _get(cls, "__module__")
    return isinstance(module, str) and module.partition(".")[0] in ("torch", "attnbench")


def _codes(value: Any) -> list[CodeType]:
    """The code of a function or method, and of the functions that it wraps."""
    found: list[CodeType] = []
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if type(each) in (staticmethod, classmethod):
            waiting.append(each.__func__)
        elif type(each) is property:
            waiting.append(each.fget)
        elif type(each) is partial:
            waiting.append(each.func)
        elif type(each) is FunctionType:
            found.append(each.__code__)
            waiting += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
            waiting.append(vars(each).get("__wrapped__"))
    return found


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not MISSING
    except ValueError:
        return False


def _run_by_constructor(own: Iterable[type]) -> list[CodeType]:
    """The code of the constructors and of the methods that they mention, directly or indirectly."""
    methods: dict[str, list[CodeType]] = {}
    for base in own:
        for key, value in _vars(base).items():
            methods.setdefault(key, []).extend(_codes(value))
    found: dict[str, list[CodeType]] = {}
    waiting = list(CONSTRUCTORS)
    while waiting:
        key = waiting.pop()
        if key in methods and key not in found:
            found[key] = methods[key]
            waiting += [name for code in methods[key] for each in _nested(code) for name in each.co_names]
    return [code for codes in found.values() for code in codes]


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code itself and the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _sets(code: CodeType, name: str) -> bool:
    """Whether code assigns an attribute of this name, or has the name as a text, as setattr and add_module need it."""
    return any(
        name in each.co_consts or any(i.opname == "STORE_ATTR" and i.argval == name for i in dis.get_instructions(each))
        for each in _nested(code)
    )


def _may_set_any(code: CodeType) -> bool:
    """Whether code could set an attribute whose name it does not show, or passes its instance to other code."""
    instance = code.co_varnames[0] if code.co_argcount else None
    return any(not CAN_SET_ANY.isdisjoint(each.co_names) or _passes_on(each, instance) for each in _nested(code))


def _passes_on(code: CodeType, name: str | None) -> bool:
    """Whether code uses a variable for anything but its attributes."""
    instructions = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
    for this, following in pairwise(instructions):
        if not this.opname.startswith(("LOAD_FAST", "LOAD_DEREF")):
            continue
        # Newer versions of Python load two variables with one instruction; the next one uses the second of them.
        *others, last = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        uses_attribute = "_ATTR" in following.opname or "_METHOD" in following.opname
        if name in others or (name == last and not uses_attribute):
            return True
    return False


def _without_annotations(signature: inspect.Signature) -> inspect.Signature:
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _place(callable_: Any) -> str | None:
    """The file and line of a function; None for a callable that is none."""
    code = _get(callable_.func if type(callable_) is partial else callable_, "__code__")
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
