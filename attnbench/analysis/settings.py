"""The settings of a cell as text by dotted path: what must be equal for numbers to be comparable."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from attnbench.cell import KINDS
from attnbench.errors import fail
from attnbench.grid.identity import DIGITS, PATHS

_PLAIN = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w.-]*")


def settings_of(config: dict[str, Any]) -> dict[str, str]:
    """The fields of a cell except its seed, by dotted path, as text.

    A component is two kinds of entries: its name (`score`) and its options (`score.scale`).

    Raises:
        AttnbenchError: when a data file cannot be read.
    """
    settings: dict[str, str] = {}
    for section, value in config.items():
        fields = value if isinstance(value, dict) else {}  # skips the seed, the only field that is not a mapping
        if section in KINDS:
            settings[section] = _setting(fields.get("name"))
            fields = fields.get("options", {})
        for name, item in fields.items():
            if (section, name) == ("train", "timeout"):
                continue  # it does not affect the results
            is_file = section == "data" and name in PATHS and item is not None
            settings[f"{section}.{name}"] = _content_hash(item) if is_file else _setting(item)
    return settings


def _setting(value: Any) -> str:
    """A plain word as it is, any other value as JSON on one line, without the semicolon that separates settings."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, sort_keys=True).replace(";", "\\u003b")


def _content_hash(path: str) -> str:
    """The hash of a data file: a copy with the same content elsewhere belongs to the same configuration."""
    try:
        with open(path, "rb") as file:
            return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:DIGITS]}"
    except OSError as error:
        hint = "the run was trained on this file, and a baseline identifies it by its content: restore it"
        raise fail(f"cannot be read: {error.strerror}", path, hint) from None


def key_of(settings: dict[str, str]) -> str:
    """The hash that identifies a configuration."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The settings that are not the same, each as "train.steps: 800 → 20"."""
    names = [name for name in (*old, *(n for n in new if n not in old)) if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name, 'not set')} → {new.get(name, 'not set')}" for name in names]
