"""HTML that cannot be forgotten to be escaped: every text is, unless an element made it."""

import html

from attnbench.messages import harmless


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Html:
    """An element with its children and attributes; what is not Html is text, and escaped.

    Args:
        name: of the element.
        children: Html as it is, any other text escaped.
        attributes: a trailing "_" is dropped and "_" becomes "-" (class_, data_sort); None and False are left out,
            True stands without a value.
    """
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()]
    opened = "".join(_attribute(key, value) for key, value in given if value is not None and value is not False)
    if name in ("meta", "img"):  # these are never closed
        return Html(f"<{name}{opened}>")
    return Html(f"<{name}{opened}>{joined(*children)}</{name}>")


def joined(*parts: str) -> Html:
    """The parts one after the other, escaped where they are not Html."""
    return Html("".join(part if isinstance(part, Html) else html.escape(harmless(part)) for part in parts))


def number(value: float) -> str:
    """A coordinate: at most one decimal, which is a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(key: str, value: str | float | bool) -> str:
    if value is True:
        return f" {key}"
    shown = number(value) if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(harmless(shown))}"'
