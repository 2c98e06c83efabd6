"""The faults that benchmarks/gate_power.py plants can be planted in the package as it is now."""

import ast
import sys
from pathlib import Path

import pytest

import attnbench

PACKAGE = Path(attnbench.__file__).parent
sys.path.insert(0, str(PACKAGE.parent / "benchmarks"))
from faults import FAULTS, HELD_OUT, Fault  # noqa: E402

EXAMPLE = """
import math

class Score:
    def scale(self, keys, query):
        return keys / math.sqrt(keys.shape[-1]) * query

    def other(self, keys, query):
        return keys / math.sqrt(keys.shape[-1]) * query
"""
# Other names, another layout, another place; a character of two bytes stands before the code.
MOVED = """
import math

class Score:
    def other(self, keys, query):
        return keys / math.sqrt(keys.shape[-1]) * query

    def scale(self, values: "§", q):
        unused = 1
        return "§" and values / math.sqrt(
            values.shape[-1],  # the width
        ) * q
"""


def fault(old: str, new: str, function: str = "Score.scale") -> Fault:
    return Fault("example", "example.py", function, old, new, {})


@pytest.mark.parametrize("fault", [*FAULTS, *HELD_OUT], ids=lambda fault: fault.name)
def test_it_is_found_once_and_still_compiles_when_planted(fault):
    text = (PACKAGE / fault.file).read_text()
    planted = fault.plant(text)
    compile(planted, fault.file, "exec")
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text))


def test_there_are_enough_and_none_twice():
    assert len({fault.name for fault in [*FAULTS, *HELD_OUT]}) == len(FAULTS) + len(HELD_OUT) >= 40


def test_only_the_code_named_is_replaced():
    planted = fault("keys / math.sqrt(keys.shape[-1])", "keys + math.sqrt(keys.shape[0])").plant(EXAMPLE)
    expected = EXAMPLE.replace("keys / math.sqrt(keys.shape[-1])", "(keys + math.sqrt(keys.shape[0]))", 1)
    assert planted == expected


def test_a_statement_is_replaced():
    planted = fault("return keys / math.sqrt(keys.shape[-1]) * query", "return keys").plant(EXAMPLE)
    assert planted == EXAMPLE.replace("return keys / math.sqrt(keys.shape[-1]) * query", "return keys", 1)


def test_it_is_found_after_renaming_formatting_and_moving():
    planted = fault("keys / math.sqrt(keys.shape[-1])", "keys - query").plant(EXAMPLE)
    assert "return (keys - query) * query\n" in planted
    planted = fault("keys / math.sqrt(keys.shape[-1]) * query", "query * (query - keys)").plant(MOVED)
    assert 'return "§" and (q * (q - values))\n' in planted
    assert planted.count("keys / math.sqrt(keys.shape[-1]) * query") == 1


@pytest.mark.parametrize(("changed", "message"), [
    (fault("keys", "query"), "found 3 times, not once: keys"),
    (fault("keys * query", "query"), r"found 0 times, not once: keys \* query"),
    (fault("query / math.sqrt(keys.shape[-1])", "keys"), "found 0 times, not once"),
    (fault("keys / torch.sqrt(keys.shape[-1])", "keys"), "found 0 times, not once"),
    (fault("math.sqrt(keys.shape[-1])", "values"), "has no variable values, used in: values"),
    (fault("keys", "query", "Score.missing"), "Score.missing in attnbench/example.py does not exist"),
])  # fmt: skip
def test_a_fault_without_its_place_is_an_error(changed, message):
    with pytest.raises(LookupError, match=f"fault 'example': .*{message}"):
        changed.plant(EXAMPLE)
