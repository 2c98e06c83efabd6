"""HTML elements that escape every text, except the results of `element` and `joined`, which are HTML already.

Names and error messages come from users and other programs. With this, forgetting to escape one is impossible.
"""

import html

from attnbench.escapes import harmless


class Html(str):
    """Text that is HTML and is not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Html:
    """An element with its children and attributes.

    Args:
        name: the element's name.
        children: Html is inserted as it is, any other text is escaped.
        attributes: their values are escaped. A trailing "_" of a name is dropped, other "_" become "-" (class_,
            data_sort). None and False leave the attribute out; True writes it without a value.
    """
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()]
    opened = "".join(_attribute(key, value) for key, value in given if value is not None and value is not False)
    if name in ("meta", "img", "input"):  # HTML's void elements have no end tag
        return Html(f"<{name}{opened}>")
    return Html(f"<{name}{opened}>{joined(*children)}</{name}>")


def joined(*parts: str) -> Html:
    """The concatenated parts; those that are not Html are escaped."""
    return Html("".join(part if isinstance(part, Html) else html.escape(harmless(part)) for part in parts))


def number(value: float) -> str:
    """A coordinate with at most one decimal: a tenth of a pixel is precise enough, and the file stays small."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(key: str, value: str | float | bool) -> str:
    if value is True:
        return f" {key}"
    shown = number(value) if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(harmless(shown))}"'
