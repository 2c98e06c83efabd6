"""The JSON Schema, by which editors complete a grid file, says what `load_grid` takes."""

import json
import re
from pathlib import Path
from typing import Any

from attnbench import registry
from attnbench.cell import Data, Train
from attnbench.grid.parse import parse
from attnbench.grid.schema import json_schema
from attnbench.plugins import load_plugin
from grid.test_load import CONTRACT


def conforms(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """A validator of the few keywords that the schema uses."""
    if "$ref" in schema:
        return conforms(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and not any(conforms(value, one, root) for one in schema["anyOf"]):
        return False
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return False
    types = {"object": dict, "array": list, "string": str, "number": (int, float), "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        return False
    if kind in types and not isinstance(value, types[kind]):  # type: ignore[arg-type]
        return False
    if kind in ("integer", "number") and not (
        value >= schema.get("minimum", value) and value > schema.get("exclusiveMinimum", value - 1)
    ):
        return False
    if kind == "array":
        return len(value) >= schema.get("minItems", 0) and all(
            conforms(v, schema.get("items", {}), root) for v in value
        )
    if kind == "object" and "properties" in schema:
        known = schema["properties"]
        return (
            set(schema.get("required", [])) <= value.keys()
            and (schema.get("additionalProperties", True) or value.keys() <= known.keys())
            and all(conforms(v, known[k], root) for k, v in value.items() if k in known)
        )
    return True


def accepts(text: str) -> bool:
    schema = json_schema()
    return conforms(parse(text, "g.yaml").data, schema, schema)


def test_the_contracts_example_conforms() -> None:
    assert accepts(CONTRACT)


def test_keys_for_anchors_conform() -> None:
    """`parse` leaves them out, but an editor sees them."""
    assert any(re.search(pattern, "x-base") for pattern in json_schema()["patternProperties"])


def test_mistakes_do_not_conform() -> None:
    sound = "name: g\ngrid: {score: [dot], task: [copy]}\n"
    assert accepts(sound)
    for wrong in (
        "grid: {score: [dto]}", "grid: {scope: [{name: local-p, windo: 3}]}",
        "grid: {scope: [{name: local-p, window: 0}]}",
        "grid: {score: dot}", "grid: {score: []}", "grid: {model.widht: [3]}", "grid: {model.width: [x]}", "gird: {}",
        "seeds: 0", "seeds: [-1]", "model: {widht: 3}", "model: {kind: rrn}", "data: {max_lenght: 3}",
        "data: {vocabulary: 0}",
        "train: {stop_at: {exact_mach: 1}}", "exclude: [{foo: 3}]", "include: [{score: [dot]}]",
    ):  # fmt: skip
        assert not accepts(f"name: g\n{wrong}\n"), wrong


def test_it_is_a_schema_of_2020_12_and_plain_json() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema["required"] == ["name"]


def test_every_name_and_every_field_is_offered() -> None:
    schema = json_schema()
    for kind in ("score", "scope", "task"):
        assert schema["$defs"][kind]["anyOf"][0]["enum"] == registry.REGISTRIES[kind].names()
    axes = schema["properties"]["grid"]["properties"]
    expected = {f"data.{name}" for name in Data.model_fields} | {f"train.{name}" for name in Train.model_fields}
    assert expected | {"score", "scope", "task", "model.kind", "model.width", "scope.window"} <= axes.keys()
    assert schema["properties"]["data"]["properties"]["vocabulary"]["description"]
    assert schema["properties"]["train"]["properties"]["steps"]["default"] == 800


def test_options_have_types_defaults_and_the_components_own_words() -> None:
    scopes = {one["title"]: one for one in json_schema()["$defs"]["scope"]["anyOf"] if "title" in one}
    window = scopes["local-p"]["properties"]["window"]
    assert (window["type"], window["exclusiveMinimum"], window["default"]) == ("integer", 0, 10)
    assert scopes["hard"]["properties"]["estimator"]["enum"] == ["reinforce", "straight_through", "gumbel", "exact"]
    assert scopes["local-p"]["description"] == registry.scope.entry("local-p").doc.split("\n")[0]


def test_a_plugins_class_is_described_too(tmp_path: Path) -> None:
    plugin = tmp_path / "p.py"
    plugin.write_text(
        "from pathlib import Path\nfrom attnbench.registry import score\nclass Odd: pass\n"
        "@score('described')\nclass Mine:\n    'Mine.'\n    def __init__(self, t: float, odd: Odd = Odd()): pass\n"
    )
    load_plugin(plugin)
    score = json_schema()["$defs"]["score"]["anyOf"][-1]
    assert score["required"] == ["name", "t"]
    assert score["properties"]["odd"] == {}
