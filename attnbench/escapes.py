"""Makes text of any origin safe to show: on a terminal, in Markdown, in a spreadsheet.

Names, words and messages come from files, from plugins and from other programs. A terminal would act on their control
characters, a Markdown renderer on their HTML, and a spreadsheet on a formula.
"""

import re
from typing import Any

REPLACED = "\ufffd"
# Control characters except tab and newline, with the escape that starts a terminal's commands; lone surrogates, which
# UTF-8 cannot encode; the line ends of Unicode; and the marks that change the direction of writing, which can make a
# text look like another one (CVE-2021-42574).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_LINE_BREAKS = re.compile("[\t\n\r\x0b\x0c\x85\u2028\u2029]")
# A bracket is only escaped where it would end the text of a link or an image: most are those of intervals.
_MARKDOWN = re.compile(r"[\\`*|~#$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
# XML 1.0 has no way to write these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMULA = re.compile(r"'*[=+\-@]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def harmless(text: str) -> str:
    """Replaces what a terminal would act on by �; keeps line breaks and tabs."""
    return _UNSAFE.sub(REPLACED, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """As `harmless`, with a space for line breaks and tabs, so that a text cannot begin a line of its own."""
    return harmless(_LINE_BREAKS.sub(" ", text))


def markdown(text: str) -> str:
    """The text on one line, as GitHub's and other Markdown renderers show it literally, in tables too.

    HTML is written as entities, because some renderers do not know a backslash before "<".
    """
    escaped = _MARKDOWN.sub(r"\\\g<0>", one_line(text))
    return "".join(_HTML.get(character, character) for character in escaped)


def spreadsheet(value: Any) -> Any:
    """A value for a CSV file: text that a spreadsheet would compute as a formula gets a ' before it.

    Numbers are left as they are, also those written as text. `from_spreadsheet` is the inverse.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def from_spreadsheet(text: str) -> str:
    """The text that `spreadsheet` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def xml(text: str) -> str:
    """The text with a � for each character that XML does not allow; ElementTree escapes the others."""
    return _NOT_IN_XML.sub(REPLACED, text)


def github_data(text: str) -> str:
    """The text as the message of a workflow command, as in GitHub's actions/toolkit, packages/core/src/command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def github_property(text: str) -> str:
    """The text as a property of a workflow command, which ends at a colon or a comma."""
    return github_data(text).replace(":", "%3A").replace(",", "%2C")
