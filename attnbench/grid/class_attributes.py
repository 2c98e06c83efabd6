"""Reads the attributes of a user's class as they are written.

All but `get` and `is_torchs` do so without running the user's code: `cls.__mro__` and the like can be redefined by a
metaclass, those of `type` cannot.
"""

from typing import Any

MISSING = object()


def find(cls: type, name: str) -> Any:
    """The attribute as it is written in the class or the nearest base, without binding it; MISSING if there is none."""
    return next((members_of(base)[name] for base in bases_of(cls) if name in members_of(base)), MISSING)


def overrides(cls: type, method: str, other: str) -> bool:
    """Whether the class defines a method in a subclass of the base that defines the other one."""
    first, second = (
        next((base for base in bases_of(cls) if name in members_of(base)), None) for name in (method, other)
    )
    return first is not None and second is not None and first is not second and second in bases_of(first)


def bases_of(cls: type) -> tuple[type, ...]:
    """The class and its bases in the order of look-up, even if the metaclass defines another `__mro__`."""
    bases: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return bases


def members_of(cls: type) -> Any:
    """The attributes in the body of the class, by name."""
    return type.__dict__["__dict__"].__get__(cls)


def name_of(cls: type) -> str:
    """The name of the class."""
    return str(type.__dict__["__name__"].__get__(cls))


def get(value: Any, name: str) -> Any:
    """An attribute of a user's object; MISSING if there is none or reading it raises."""
    try:
        return getattr(value, name, MISSING)
    except Exception:
        return MISSING


def is_torchs(found: Any) -> bool:
    """Whether this is torch.nn.Module's own forward, which only raises, or its __call__, which calls forward."""
    return bool(get(found, "__module__") == "torch.nn.modules.module")
