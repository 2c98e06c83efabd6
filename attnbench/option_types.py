"""Types of options of built-in parts, beside those of pydantic. They are read without importing torch."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt, WithJsonSchema
from pydantic_core import PydanticCustomError


def _refuse_even(value: int) -> int:
    if value < 1 or value % 2 == 0:
        raise PydanticCustomError("grid", f"should be an odd number of at least 1, found {value}")
    return value


_ODD: dict[str, Any] = {"type": "integer", "minimum": 1, "not": {"multipleOf": 2}}
OddInt = Annotated[int, Field(title="odd int > 0"), AfterValidator(_refuse_even), WithJsonSchema(_ODD)]


def _refuse_descending(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise PydanticCustomError("grid", f"should be the smaller number and the larger one, found {list(value)}")
    return value


FromTo = Annotated[
    tuple[PositiveInt, PositiveInt], Field(title="[int > 0, int > 0]"), AfterValidator(_refuse_descending)
]
