"""A page of HTML as a tree that a test can ask."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

NEVER_CLOSED = ("meta", "img", "br", "input")


@dataclass
class Node:
    """An element: its name, its attributes, and what it holds in order, texts and elements."""

    name: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    content: list["Node | str"] = field(default_factory=list)

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute] or ""

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.content)

    def all(self, name: str = "", **attributes: str) -> list["Node"]:
        """The elements in it of that name, if given, with these attributes (class_: one of its classes)."""
        return [node for node in self._within() if _fits(node, name, attributes)]

    def one(self, name: str = "", **attributes: str) -> "Node":
        """The only such element."""
        found = self.all(name, **attributes)
        assert len(found) == 1, f"{len(found)} of {name} {attributes}"
        return found[0]

    def rows(self) -> list[list[str]]:
        """The texts of a table's rows, without the cells that only narrow screens show."""
        return [
            [cell.text.strip() for cell in row._within() if cell.name in ("td", "th") and "whole" not in _classes(cell)]
            for row in self.all("tr")
        ]

    def _within(self) -> Iterator["Node"]:
        for part in self.content:
            if isinstance(part, Node):
                yield part
                yield from part._within()


def _classes(node: Node) -> list[str]:
    return (node.attributes.get("class") or "").split()


def _fits(node: Node, name: str, attributes: dict[str, str]) -> bool:
    if name and node.name != name:
        return False
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    wanted = given.pop("class", None)
    return (wanted is None or wanted in _classes(node)) and given.items() <= node.attributes.items()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].content.append(node)
        if tag not in NEVER_CLOSED:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def parse(page: str) -> Any:
    """The page's tree; every element must be closed, and in its turn."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert len(parser.open) == 1, f"never closed: {[node.name for node in parser.open[1:]]}"
    return parser.open[0]
