"""Grid files as nobody should write them, for hypothesis: mutated grids, broken texts, wrong encodings, bombs."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

from grid.snippets import FIELDS, KEYS, MILD, SECTIONS, SNIPPETS

ROOT = Path(__file__).parents[2]
CORPUS = [
    path.read_text(encoding="utf-8")
    for path in (*sorted((ROOT / "experiments").glob("*.yaml")), ROOT / "attnbench" / "cli" / "starter.yaml")
]


@dataclass(frozen=True)
class Case:
    """The bytes of a grid file, and the values of --set beside it."""

    content: bytes
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mapping:
    """A YAML mapping whose keys are raw YAML and may stand twice."""

    pairs: list[tuple[str, "Node"]] = field(default_factory=list)


# A leaf is raw YAML.
Node: TypeAlias = "Mapping | list[Node] | str"

# Grids that are right, to be spoilt: every section of one model; several models; a user's own pairs and plugin.
BASES: list[dict[str, Any]] = [
    {
        "name": "g",
        "seeds": "2",
        "grid": {"score": ["dot", "additive"], "task": ["copy", "sort"], "model.width": ["8", "16"]},
        "zip": {"data.max_length": ["6", "8"], "train.steps": ["10", "20"]},
        "exclude": [{"score": "dot", "task": "sort"}],
        "include": [{"score": "cosine", "task": "copy", "model.width": "8"}],
        "model": {"kind": "rnn", "embedding": "8", "cell": "gru"},
        "data": {"vocabulary": "20", "min_length": "3", "test_lengths": ["6"]},
        "train": {"batch_size": "4", "stop_at": {"exact_match": "0.9"}},
        "plugins": [],
        "max_cells": "100",
    },
    {
        "name": "g",
        "seeds": ["0", "5"],
        "grid": {
            "model.kind": ["rnn", "transformer", "ntm", "pointer", "lstmn"],
            "score": ["general", {"name": "additive", "hidden": "8"}],
            "scope": ["global", "none", "self", {"name": "local-p", "window": "3"}],
            "task": ["copy", "translate", {"name": "sort", "distinct": "false"}],
        },
        "model": {"width": "16", "heads": "2", "slots": "8"},
        "data": {"unseen_symbols": "2", "min_length": "2", "max_length": "5"},
    },
    {
        "name": "g",
        "grid": {"score": ["mine", "location"], "task": ["translate"], "data.path": ["pairs.tsv"]},
        "include": [{"score": "dot", "task": "translate", "data.path": "pairs.tsv"}],
        "data": {"validation_path": "pairs.tsv", "test_path": "pairs.tsv"},
        "train": {"steps": "10"},
        "plugins": ["good.py"],
    },
]


def _tree(data: Any) -> Node:
    """A copy of plain data that can be changed."""
    if isinstance(data, dict):
        return Mapping([(key, _tree(value)) for key, value in data.items()])
    return [_tree(item) for item in data] if isinstance(data, list) else str(data)


snippets = st.sampled_from(SNIPPETS)
mild = st.sampled_from(MILD)
keys = st.sampled_from(KEYS) | st.sampled_from(KEYS) | st.sampled_from(KEYS) | snippets
small: st.SearchStrategy[Node] = st.recursive(
    mild | mild | snippets,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=3).map(Mapping),
    max_leaves=4,
)


def _containers(node: Node) -> list[Mapping | list[Node]]:
    """The node and all within it that hold others."""
    if isinstance(node, str):
        return []
    inner = [value for _, value in node.pairs] if isinstance(node, Mapping) else node
    return [node, *(found for value in inner for found in _containers(value))]


def _mutate(draw: st.DrawFn, tree: Mapping) -> None:
    """Changes one place of the tree."""
    holder = draw(st.sampled_from(_containers(tree)))
    items = holder.pairs if isinstance(holder, Mapping) else holder
    how = draw(st.sampled_from(["value", "value", "value", "key", "add", "drop", "twice"]))
    if how == "add" or not items:
        new = draw(small)
        items.append((draw(keys), new) if isinstance(holder, Mapping) else new)  # type: ignore[arg-type]
        return
    index = draw(st.integers(0, len(items) - 1))
    if how == "drop":
        del items[index]
    elif how == "twice":
        items.append(items[index])  # type: ignore[arg-type]
    elif isinstance(holder, list):
        holder[index] = draw(small)
    else:
        key, value = holder.pairs[index]
        holder.pairs[index] = (draw(keys), value) if how == "key" else (key, draw(small))


def _flow(node: Node) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(value)}" for key, value in node.pairs) + "}"
    return "[" + ", ".join(map(_flow, node)) + "]"


def _block(node: Node, indent: str = "") -> str:
    if isinstance(node, Mapping) and node.pairs:
        return "".join(f"\n{indent}{key}: {_block(value, indent + '  ')}" for key, value in node.pairs)
    if isinstance(node, list) and node:
        return "".join(f"\n{indent}- {_flow(value)}" for value in node)
    return _flow(node)


@st.composite
def mutated_grids(draw: st.DrawFn) -> str:
    """A right grid with one to four places changed, in flow or in block style."""
    tree = _tree(draw(st.sampled_from(BASES)))
    assert isinstance(tree, Mapping)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, tree)
    if draw(st.booleans()):
        return _block(tree).lstrip("\n") + "\n"
    return "".join(f"{key}: {_flow(value)}\n" for key, value in tree.pairs)


TOKENS = sorted({token for text in CORPUS for token in re.findall(r"[\w.-]+|[^\w\s]", text)})
WASTE = [
    "\t",
    "\0",
    "\x07",
    "\x1b[2J",
    "\x85",
    "\u2028",
    "\ufeff",
    "\r",
    "\r\n",
    "\n",
    "  ",
    "---\n",
    "...\n",
    "%YAML 9.9\n",
]


def _break_line(draw: st.DrawFn, lines: list[str]) -> None:
    """Deletes, doubles, moves or indents a line, or puts something else in it."""
    at = draw(st.integers(0, len(lines) - 1))
    how = draw(
        st.sampled_from(["delete", "double", "swap", "indent", "token", "token", "token", "insert", "cut", "tail"])
    )
    line = lines[at]
    if how == "delete" and len(lines) > 1:
        del lines[at]
    elif how == "double":
        lines.insert(draw(st.integers(0, len(lines))), line)
    elif how == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], line
    elif how == "indent":
        lines[at] = draw(st.sampled_from(["", " ", "  ", "    ", "\t", "- ", "? "])) + line.lstrip()
    elif how == "token":
        found = list(re.finditer(r"[\w.-]+|[^\w\s]", line))
        if found:
            token = draw(st.sampled_from(found))
            lines[at] = line[: token.start()] + draw(st.sampled_from(TOKENS) | mild | snippets) + line[token.end() :]
    elif how == "insert":
        column = draw(st.integers(0, len(line)))
        lines[at] = line[:column] + draw(st.sampled_from(WASTE) | snippets) + line[column:]
    elif how == "cut":
        lines[at] = line[: draw(st.integers(0, len(line)))]
    else:
        del lines[at + 1 :]


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """The text of a real grid, its lines and words disarranged."""
    lines = draw(st.sampled_from(CORPUS)).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        _break_line(draw, lines)
    return "\n".join(lines)


@st.composite
def bombs(draw: st.DrawFn) -> str:
    """What is small to write and large to read: nesting, aliases, long lines, many keys, axes that multiply."""
    count = draw(st.sampled_from([5, 40, 500, 3000]))
    return draw(st.sampled_from(_bombs(count)))


def _bombs(count: int) -> list[str]:
    start = "name: g\ngrid: {score: [dot], task: [copy]"
    numbers = ",".join(map(str, range(1, count)))
    doubled = [f"a{n}: &a{n} [{f'*a{n - 1},' * min(count, 12)}]\n" for n in range(1, 13)]
    return [
        "grid: " + "[" * count,
        "grid: " + "{a: " * count + "1" + "}" * count,
        "- " * count + "x",
        "? " * count + "x",
        "\n".join(" " * n + "a:" for n in range(count)),
        "a0: &a0 [1, 1]\n" + "".join(doubled),
        "model: &a {b: *a}\nname: *a",
        f"name: g\ngrid: {{score: [{'dot,' * count}], task: [copy]}}",
        f"{start}}}\nmax_cells: 50\nseeds: [{numbers}]",
        f"{start}, model.width: [{numbers}], train.steps: [{numbers}]}}",
        f"{start}}}\nzip: {{model.width: [{numbers}], train.steps: [{numbers}]}}",
        f"{start}}}\nexclude:\n" + "- {score: nix}\n" * count,
        f"{start}}}\ninclude:\n" + "- {score: dot, task: copy, train.steps: x}\n" * count,
        "name: g\ninclude:\n" + "- {score: dot, task: copy, train.stps: 1}\n" * count,
        "name: g\n" + "".join(f"k{n}: {n}\n" for n in range(count)),
        "name: g\ngrid:\n" + "".join(f"  model.k{n}: [{n}]\n" for n in range(count)),
        "%TAG ! x\n" + "%FOO bar\n" * count + "---\nname: g\n",
        "name: " + "x" * 100 * count,
        "name: g\n" + "x" * 100 * count + ": 1",
        "#" * 100 * count + "\nname: g",
        "\n" * count + "name: g",
        "name: g\n---\n" * count,
    ]


ALPHABET = st.sampled_from(
    [*"-?:,[]{}#&*!|>'\"%@`~ \n\t\r\\/.=<", *"aé0\x00\x85\ufeff\ud800😀", *SECTIONS, *FIELDS, "dot", ": "]
)
soup = st.lists(ALPHABET | snippets, max_size=40).map("".join)
texts = st.sampled_from([mutated_grids()] * 10 + [broken_texts()] * 6 + [bombs(), soup]).flatmap(lambda texts: texts)

ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "cp500", "utf-7")


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A text as a file may have it: mostly UTF-8, else another encoding, other line ends, bytes flipped or cut off."""
    text = draw(texts)
    how = draw(st.sampled_from(["as it is"] * 16 + ["encoding", "ends", "flip", "cut"]))
    if how == "encoding":
        return text.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    if how == "ends":
        text = text.replace("\n", draw(st.sampled_from(["\r\n", "\r", "\n\r", "\x85", "\u2028"])))
    content = text.encode("utf-8", "surrogatepass")
    if how == "flip" and content:
        at = draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    return content[: draw(st.integers(0, len(content)))] if how == "cut" else content


paths = st.sampled_from([*FIELDS, *SECTIONS]) | st.builds("{}.{}".format, st.sampled_from(SECTIONS), keys)
overrides = st.builds("{}{}{}".format, paths, st.sampled_from(["="] * 8 + ["==", ""]), small.map(_flow))
cases = st.builds(
    Case, contents(), st.just(()) | st.just(()) | st.just(()) | st.lists(overrides, min_size=1, max_size=3).map(tuple)
)
