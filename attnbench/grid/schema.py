"""The grid file: its keys and their types, and the JSON Schema by which editors complete it."""

import re
from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic_core import PydanticCustomError

from attnbench import registry
from attnbench.cell import Data, Section, Train
from attnbench.messages import show
from attnbench.registry import PROVIDED_UNLESS_SET, REQUIRED, Entry

COMPONENTS = ("score", "scope", "task")
DEFAULT_MODEL = "rnn"
DEFAULT_SCOPE = "global"
MAX_CELLS = 100_000
MOST_CELLS = 10_000_000  # that max_cells may allow


def _read_seeds(value: Any) -> int | list[int]:
    """A count of at least 1, or a list of distinct non-negative whole numbers."""
    if type(value) is int and value >= 1:
        return value
    if isinstance(value, list) and value:
        wrong = [seed for seed in value if type(seed) is not int or seed < 0]
        if wrong:
            raise PydanticCustomError("grid", f"a seed should be a whole number of at least 0, found {show(wrong[0])}")
        seed, times = Counter(value).most_common(1)[0]
        if times > 1:
            raise PydanticCustomError("grid", f"the seed {seed} stands {times} times")
        return value
    raise PydanticCustomError("grid", f"should be a count of at least 1, or a list of seeds, found {show(value)}")


Seeds = Annotated[int | list[int], PlainValidator(_read_seeds)]
Axes = dict[str, list[Any]]
# These stand beside the grids' folders in the results folder (SQLite adds to its file's name), or are MLflow's own.
RESERVED = re.compile(r"(?i:mlflow\.db(-(journal|wal|shm))?|mlartifacts|baselines|pictures|tables)|Default")
DEVICES = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # whatever folder they are in
NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"


def _refuse_reserved(name: str) -> str:
    if RESERVED.fullmatch(name):
        raise PydanticCustomError("grid", f"the name {name} is taken: the results folder has its own use for it")
    if DEVICES.fullmatch(name):
        raise PydanticCustomError("grid", f"the name {name} is taken: Windows calls a device so")
    return name


class GridFile(Section):
    """The keys of a grid file. What the values may be depends on the registries and is checked by `load_grid`."""

    name: Annotated[str, AfterValidator(_refuse_reserved)] = Field(
        pattern=NAME, max_length=100, description="folder and MLflow experiment: letters, digits, . _ -"
    )
    seeds: Seeds = Field(3, description="how many trainings of each combination, or a list of their seeds")
    grid: Axes = Field({}, description="axes whose values are all combined")
    zip: Axes = Field({}, description="axes that advance together")
    exclude: list[dict[str, Any]] = Field([], description="combinations to leave out, by some of their axes")
    include: list[dict[str, Any]] = Field([], description="combinations to add")
    model: dict[str, Any] = Field({}, description="kind and options of the model")
    data: dict[str, Any] = Field({}, description="what is trained on and tested on")
    train: dict[str, Any] = Field({}, description="how a model is trained")
    plugins: list[str] = Field([], description="files or modules with scores, scopes, tasks, models of your own")
    max_cells: Annotated[int, Field(gt=0, le=MOST_CELLS)] = Field(MAX_CELLS, description="a larger grid is refused")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the grid file, with every registered name and its options."""
    fields = _field_schemas()
    axes = {path: {"type": "array", "minItems": 1, "items": schema} for path, schema in fields.items()}
    match = {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1}
    properties = {
        name: {"description": field.description} | ({} if field.is_required() else {"default": field.default})
        for name, field in GridFile.model_fields.items()
    }
    axes_schema = {"type": "object", "properties": axes, "additionalProperties": False}
    shapes: dict[str, dict[str, Any]] = {
        "name": {"type": "string", "pattern": NAME, "maxLength": 100},
        "seeds": {"anyOf": [_WHOLE | {"minimum": 1}, _seed_list()]},
        "grid": axes_schema,
        "zip": axes_schema,
        "exclude": {"type": "array", "items": {"$ref": "#/$defs/combination"}},
        "include": {"type": "array", "items": {"$ref": "#/$defs/combination"}},
        "model": _model_schema(),
        "data": _section_schema(Data),
        "train": _section_schema(Train),
        "plugins": {"type": "array", "items": {"type": "string"}},
        "max_cells": _WHOLE | {"minimum": 1, "maximum": MOST_CELLS},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "attnbench grid",
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {name: properties[name] | shape for name, shape in shapes.items()},
        "$defs": {"combination": match} | {kind: _component_schema(kind) for kind in COMPONENTS},
    }


_WHOLE = {"type": "integer"}


def _seed_list() -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": _WHOLE | {"minimum": 0}}


def _field_schemas() -> dict[str, Any]:
    """Every axis by its dotted path: the components, the sections' fields, the options of everything registered."""
    schemas: dict[str, Any] = {kind: {"$ref": f"#/$defs/{kind}"} for kind in COMPONENTS}
    schemas["model.kind"] = {"enum": registry.model.names()}
    for kind in ("model", *COMPONENTS):
        options: dict[str, list[Any]] = {}
        for entry in _entries(kind):
            for name, schema in _option_schemas(entry).items():
                options.setdefault(f"{kind}.{name}", []).append(schema)
        schemas |= {path: _any_of(alternatives) for path, alternatives in options.items()}
    for head, section in (("data", Data), ("train", Train)):
        schemas |= {f"{head}.{name}": schema for name, schema in _section_schema(section)["properties"].items()}
    schemas["train.stop_at.exact_match"] = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    return schemas


def _entries(kind: str) -> list[Entry]:
    return [registry.REGISTRIES[kind].entry(name) for name in registry.REGISTRIES[kind].names()]


def _section_schema(section: type[Section]) -> dict[str, Any]:
    """A section's schema with what it refers to written out, so that it can stand anywhere."""
    schema = section.model_json_schema()
    return dict(_inline(schema, schema.get("$defs", {})))


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]] | {k: v for k, v in schema.items() if k != "$ref"}
    return {key: _inline(value, definitions) for key, value in schema.items() if key != "$defs"}


def _option_schemas(entry: Entry) -> dict[str, Any]:
    schemas = {}
    for option in entry.options:
        default = {"default": option.default} if isinstance(option.default, str | int | float) else {}
        schemas[option.name] = _type_schema(option.type) | default
    return schemas


def _type_schema(annotation: Any) -> dict[str, Any]:
    try:
        schema = TypeAdapter(annotation).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return {}  # a plugin's own class: any value may stand there
    return dict(_inline(schema, schema.get("$defs", {})))


def _component_schema(kind: str) -> dict[str, Any]:
    """A component: its name alone, or a mapping of its name and its options."""
    names: dict[str, Any] = {"enum": registry.REGISTRIES[kind].names()}
    return {"anyOf": [names, *(_options_schema(entry, "name") for entry in _entries(kind))]}


def _options_schema(entry: Entry, key: str) -> dict[str, Any]:
    required = [o.name for o in entry.options if o.default is REQUIRED and o.name not in PROVIDED_UNLESS_SET]
    return {
        "type": "object",
        "title": entry.name,
        "description": entry.doc.partition("\n")[0],
        "properties": {key: {"const": entry.name}} | _option_schemas(entry),
        "required": [key, *required],
        "additionalProperties": False,
    }


def _model_schema() -> dict[str, Any]:
    """The model section: the options of any kind, `kind` being rnn unless it is given."""
    alternatives = [_options_schema(entry, "kind") for entry in _entries("model")]
    for schema in alternatives:
        if schema["title"] == DEFAULT_MODEL:
            schema["required"] = []
    return {"type": "object", "anyOf": alternatives}


def _any_of(alternatives: list[Any]) -> Any:
    distinct = [schema for index, schema in enumerate(alternatives) if schema not in alternatives[:index]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
