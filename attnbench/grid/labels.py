"""The labels of values and components in tables and lists."""

import json
from typing import Any

Label = str | int | float | bool | None


def label(value: Any) -> Label:
    """Returns the label of a value: a plain value unchanged, a list or mapping as JSON text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def component_label(name: str, options: dict[str, Any]) -> str:
    """Returns the label of a component: its name and the options that the user wrote, e.g. "local-p window=3"."""
    written = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items())
    return " ".join([name, *written])
