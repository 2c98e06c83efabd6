"""The JSON Schema of a claim in a grid file."""

from typing import Any

from attnbench.grid.claims import AT_LEAST, AT_MOST, BETTER, EQUIVALENT, VARIES_MORE
from attnbench.grid.claims_reader import NEEDED, OPTIONAL, SETTINGS
from attnbench.metrics import METRICS

_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "number", "minimum": 0}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_SETTING = {"$ref": "#/$defs/combination"}
_DESCRIPTIONS = {
    BETTER: "the first configuration is better than the second, paired over seeds",
    EQUIVALENT: "their difference is smaller than a margin",
    AT_LEAST: "the mean of a configuration, or a share of its seeds, reaches a bound",
    AT_MOST: "the mean of a configuration, or a share of its seeds, does not exceed a bound",
    VARIES_MORE: "the first configuration varies more between seeds than the second",
}


def claims_schema() -> dict[str, Any]:
    """Returns the schema of one claim; it refers to `combination` in the schema of the grid file."""
    return {
        "type": "object",
        "properties": {
            "says": _TEXT | {"description": "the sentence"},
            "source": _TEXT | {"description": "who says it, e.g. a paper and its table"},
            "parts": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [_part(kind) for kind in NEEDED]},
                "description": "comparisons and bounds that all have to hold",
            },
        },
        "required": ["says", "parts"],
        "additionalProperties": False,
    }


def _part(kind: str) -> dict[str, Any]:
    known = (kind, *NEEDED[kind], *OPTIONAL[kind])
    return {
        "type": "object",
        "description": _DESCRIPTIONS[kind],
        "properties": {key: _value(key) for key in known},
        "required": [kind, *NEEDED[kind]],
        "additionalProperties": False,
    }


def _value(key: str) -> dict[str, Any]:
    if key in SETTINGS:
        return _SETTING
    if key == "metric":
        lengths = {"type": "string", "pattern": "@[0-9]+$"}
        return {"anyOf": [{"enum": list(METRICS)}, lengths], "description": "default: exact_match"}
    return _POSITIVE if key in ("within", "in_share") else _NUMBER
