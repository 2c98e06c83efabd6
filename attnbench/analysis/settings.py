"""The settings of a cell as text by dotted path: what must be equal for numbers to be comparable."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from attnbench.cell import KINDS, SOFTMAX
from attnbench.errors import AttnbenchError, Problem
from attnbench.grid.identity import DIGITS, PATHS, pairs_digest

_NOT_SET = {"normaliser": SOFTMAX.name}  # what a setting is that is left out; any other is "not set"
_PLAIN = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w.-]*")


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a cell except its seed, by dotted path, as text.

    A component is two kinds of entries: its name (`score`) and its options (`score.scale`). The normaliser is left out
    where it is the softmax or not used, as in the id of a cell: earlier versions did not record it, and the keys of
    baselines stay the same. A data file is represented by its digest at training: the file may have been edited or
    moved since.

    Args:
        record: of the cell, with `config` and `digests`.

    Raises:
        AttnbenchError: when the record has no digest of a data file, and the file cannot be read.
    """
    config, digests = record["config"], record.get("digests", {})
    settings: dict[str, str] = {}
    for section, value in config.items():
        fields = value if isinstance(value, dict) else {}  # skips the seed, the only field that is not a mapping
        if section == "normaliser" and value in (None, SOFTMAX.model_dump()):
            continue
        if section in KINDS:
            settings[section] = _setting(fields.get("name"))
            fields = fields.get("options", {})
        for name, item in fields.items():
            if (section, name) == ("train", "timeout"):
                continue  # it does not affect the results
            path = f"{section}.{name}"
            # Also without a path, where the data come from an installed package.
            is_file = section == "data" and name in PATHS and (item is not None or path in digests)
            settings[path] = _content_hash(item, digests.get(path)) if is_file else _setting(item)
    return settings


def _setting(value: Any) -> str:
    """A plain word as it is, any other value as JSON on one line, without the semicolon that separates settings."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, sort_keys=True).replace(";", "\\u003b")


def _content_hash(path: str, digest: str | None) -> str:
    """The digest of a data file. Earlier versions did not record it: then that of the file as it is now."""
    try:
        return f"sha256-{(digest or pairs_digest(path))[:DIGITS]}"
    except AttnbenchError as error:
        hint = (
            "the results of an earlier version of attnbench do not have the digest of their data: restore this file, "
            "or train again with attnbench run --fresh"
        )
        raise AttnbenchError(*(Problem(p.what, p.where, hint) for p in error.problems)) from None


def key_of(settings: dict[str, str]) -> str:
    """The hash that identifies a configuration."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The settings that are not the same, each as "train.steps: 800 → 20"."""
    names = [name for name in (*old, *(n for n in new if n not in old)) if old.get(name) != new.get(name)]

    def shown(settings: Mapping[str, str], name: str) -> str:
        return settings.get(name, _NOT_SET.get(name, "not set"))

    return [f"{name}: {shown(old, name)} → {shown(new, name)}" for name in names]
