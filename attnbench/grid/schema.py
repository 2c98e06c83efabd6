"""The grid file: its keys and their types, and its JSON Schema for completion and checks in editors."""

import re
from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic_core import PydanticCustomError

from attnbench import registry
from attnbench.cell import Data, Section, Train
from attnbench.grid.claims_schema import claims_schema
from attnbench.grid.decide import RANGE, Decide, SeedRange
from attnbench.grid.parse import IGNORED
from attnbench.grid.tune import Tune, is_tunable
from attnbench.messages import show
from attnbench.registered.entry import PROVIDED_UNLESS_SET, REQUIRED, Entry

COMPONENTS = ("score", "scope", "normaliser", "task")
DEFAULT_MODEL = "rnn"
DEFAULT_SCOPE = "global"
DEFAULT_NORMALISER = "softmax"
MAX_CELLS = 100_000
MOST_CELLS = 10_000_000  # upper limit of max_cells


def _read_seeds(value: Any) -> int | list[int] | SeedRange:
    """Reads `seeds`: a count of at least 1, a list of distinct non-negative whole numbers, or a range of counts."""
    if isinstance(value, dict):
        return _read_range(value)
    # type() instead of isinstance(): True is an int in Python, but not a count.
    if type(value) is int and value >= 1:
        return value
    if isinstance(value, list) and value:
        wrong = [seed for seed in value if type(seed) is not int or seed < 0]
        if wrong:
            raise PydanticCustomError("grid", f"a seed should be a whole number of at least 0, found {show(wrong[0])}")
        seed, times = Counter(value).most_common(1)[0]
        if times > 1:
            raise PydanticCustomError("grid", f"the seed {seed} is listed {times} times")
        return value
    raise PydanticCustomError("grid", f"should be a count of at least 1, or a list of seeds, found {show(value)}")


def _read_range(value: dict[str, Any]) -> SeedRange:
    """Reads `{at_least: 8, at_most: 30}`."""
    if unknown := value.keys() - SeedRange.model_fields.keys():
        raise PydanticCustomError("grid", f"unknown key {min(unknown)!r}: write {RANGE.removeprefix('seeds: ')}")
    if "at_most" not in value:
        raise PydanticCustomError("grid", f"at_most is missing: write {RANGE.removeprefix('seeds: ')}")
    for name, number in value.items():
        if type(number) is not int or number < 2:
            raise PydanticCustomError("grid", f"{name} should be a whole number of at least 2, found {show(number)}")
    found = SeedRange(**value)
    if found.at_least > found.at_most:
        raise PydanticCustomError("grid", f"at_least {found.at_least} is above at_most {found.at_most}")
    return found


Seeds = Annotated[int | list[int] | SeedRange, PlainValidator(_read_seeds)]
AxisLists = dict[str, list[Any]]
# Other names in the results folder (SQLite adds suffixes to its file), and MLflow's default experiment.
RESERVED = re.compile(r"(?i:mlflow\.db(-(journal|wal|shm))?|mlartifacts|baselines|pictures|tables)|Default")
DEVICES = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # reserved by Windows in every folder
NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
LONGEST_NAME = 100


def run_name_problem(name: str) -> str | None:
    """Returns why a run cannot have a name; None if it can."""
    if not re.fullmatch(NAME, name) or len(name) > LONGEST_NAME:
        return f"name {name!r} is not a valid folder name"
    if RESERVED.fullmatch(name):
        return f"the name {name} is reserved: the results folder uses it for something else"
    if DEVICES.fullmatch(name):
        return f"the name {name} is reserved: it is a device on Windows"
    return None


def _refuse_reserved(name: str) -> str:
    if problem := run_name_problem(name):
        raise PydanticCustomError("grid", problem)
    return name


class GridFile(Section):
    """The keys of a grid file. The allowed values depend on the registries and are checked by `load_grid`."""

    name: Annotated[str, AfterValidator(_refuse_reserved)] = Field(
        pattern=NAME,
        max_length=LONGEST_NAME,
        description="name of the folder and MLflow experiment: letters, digits, . _ -",
    )
    seeds: Seeds = Field(3, description="number of seeds per combination, a list of seeds, or with decide a range")
    grid: AxisLists = Field({}, description="axes of which all combinations are trained")
    zip: AxisLists = Field({}, description="axes whose values are paired: all first values, all second values, ...")
    exclude: list[dict[str, Any]] = Field([], description="combinations to leave out, given by some of their values")
    include: list[dict[str, Any]] = Field([], description="combinations to add")
    model: dict[str, Any] = Field({}, description="kind and options of the model")
    data: dict[str, Any] = Field({}, description="training, validation and test data")
    train: dict[str, Any] = Field({}, description="training settings")
    plugins: list[str] = Field([], description="files or modules with custom scores, scopes, tasks and models")
    max_cells: Annotated[int, Field(gt=0, le=MOST_CELLS)] = Field(MAX_CELLS, description="maximum number of cells")
    tune: Tune | None = Field(None, description="settings that are chosen for each combination on the validation set")
    decide: Decide | None = Field(None, description="how to decide which seeds are needed, instead of a fixed number")
    claims: list[Any] = Field([], description="sentences with a rule each, which attnbench verify decides")

    @property
    def seed_count(self) -> int:
        """The number of seeds; counted without listing them, since the count may be absurdly large."""
        if isinstance(self.seeds, SeedRange):
            return self.seeds.at_most
        return self.seeds if isinstance(self.seeds, int) else len(self.seeds)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(self.seeds) if isinstance(self.seeds, list) else tuple(range(self.seed_count))


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of the grid file, with every registered name and its options."""
    fields = _field_schemas()
    axes = {path: {"type": "array", "minItems": 1, "items": schema} for path, schema in fields.items()}
    match = {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1}
    properties = {
        name: {"description": field.description} | ({} if field.is_required() else {"default": field.default})
        for name, field in GridFile.model_fields.items()
    }
    axes_schema = {"type": "object", "properties": axes, "additionalProperties": False}
    shapes: dict[str, dict[str, Any]] = {
        "name": {"type": "string", "pattern": NAME, "maxLength": LONGEST_NAME},
        "seeds": {"anyOf": [_WHOLE | {"minimum": 1}, _seed_list(), _section_schema(SeedRange)]},
        "grid": axes_schema,
        "zip": axes_schema,
        "exclude": {"type": "array", "items": {"$ref": "#/$defs/combination"}},
        "include": {"type": "array", "items": {"$ref": "#/$defs/combination"}},
        "model": _model_schema(),
        "data": _section_schema(Data),
        "train": _section_schema(Train),
        "plugins": {"type": "array", "items": {"type": "string"}},
        "max_cells": _WHOLE | {"minimum": 1, "maximum": MOST_CELLS},
        "tune": _tune_schema(axes),
        "decide": _section_schema(Decide),
        "claims": {"type": "array", "items": {"$ref": "#/$defs/claim"}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "attnbench grid",
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "patternProperties": {f"^{IGNORED}": {}},
        "properties": {name: properties[name] | shape for name, shape in shapes.items()},
        "$defs": {"combination": match, "claim": claims_schema()}
        | {kind: _component_schema(kind) for kind in COMPONENTS},
    }


_WHOLE = {"type": "integer"}


def _tune_schema(axes: dict[str, Any]) -> dict[str, Any]:
    schema = _section_schema(Tune)
    fields = {path: values | {"minItems": 2} for path, values in axes.items() if is_tunable(path)}
    schema["properties"]["grid"] |= {"properties": fields, "additionalProperties": False, "minProperties": 1}
    return schema


def _seed_list() -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": _WHOLE | {"minimum": 0}}


def _field_schemas() -> dict[str, Any]:
    """Returns the schema of every axis by dotted path: components, fields of sections, options of components."""
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
    """Returns the schema of a section with all references expanded, so that it can be part of another schema."""
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
        return {}  # a class defined by a plugin: any value is allowed
    return dict(_inline(schema, schema.get("$defs", {})))


def _component_schema(kind: str) -> dict[str, Any]:
    """Returns the schema of a component: its name, or a mapping with its name and options."""
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
    """Returns the schema of the model section: the options of each kind; `kind` is optional for the default model."""
    alternatives = [_options_schema(entry, "kind") for entry in _entries("model")]
    for schema in alternatives:
        if schema["title"] == DEFAULT_MODEL:
            schema["required"] = []
    return {"type": "object", "anyOf": alternatives}


def _any_of(alternatives: list[Any]) -> Any:
    distinct = [schema for index, schema in enumerate(alternatives) if schema not in alternatives[:index]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
