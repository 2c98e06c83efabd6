"""Finds out from a class's code whether its instances may have attributes that the class does not show."""

import dis
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from types import CellType, CodeType, FunctionType
from typing import Any

from attnbench.grid.class_attributes import MISSING, bases_of, get, members_of

# Called or read in a constructor, these can give an instance any attribute, or change how its methods are called.
CAN_SET_ANY = frozenset(
    {"setattr", "vars", "exec", "eval", "__dict__", "__class__", "__setattr__", "register_forward_pre_hook"}
)
CONSTRUCTORS = ("__init__", "__post_init__")


def is_set_later(cls: type, name: str) -> bool:
    """Whether an instance may have an attribute of this name that its class does not show."""
    own = [base for base in bases_of(cls) if base is not object and not _is_library(base)]
    for base in own:
        for key, value in members_of(base).items():
            if key in ("__getattr__", "__getattribute__"):
                return True
            if any(_sets(code, name) for code in _codes(value)):
                return True
    return any(_may_set_any(code) for code in _run_by_constructor(own))


def _is_library(cls: type) -> bool:
    """Whether torch or attnbench defines the class: they set no method at run time."""
    module = get(cls, "__module__")
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
        for key, value in members_of(base).items():
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
