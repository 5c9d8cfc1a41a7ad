"""The manifest survives its JSON, and every wrong field is named."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.manifest import Manifest


def test_every_section_survives_the_round_trip(full: Manifest) -> None:
    assert Manifest.loads(full.dumps()) == full
    whole = replace(full, parts={"encoder": "encoder", "step": "step"})
    assert Manifest.loads(whole.dumps()) == whole


def test_the_text_is_strict_json_with_format_and_schema_first(full: Manifest) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    value = json.loads(full.dumps(), parse_constant=refuse)
    assert list(value)[:2] == ["format", "schema"]
    assert (value["format"], value["schema"]) == ("attnexport-bundle", 4)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_numbers_that_are_not_finite_survive(full: Manifest, number: float) -> None:
    gate = replace(full.parity[0].gate, ratio=number)
    changed = replace(full, parity=(replace(full.parity[0], gate=gate),))
    read = Manifest.loads(changed.dumps()).parity[0].gate.ratio
    assert read == number or (math.isnan(read) and math.isnan(number))


def test_what_has_no_json_form_is_refused_when_written(plain: Manifest) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        replace(plain, tools={"a": object()}).dumps()  # type: ignore[dict-item]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every object field of the JSON, at any depth."""
    found = []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(key, str):
            found.append((*path, key))
        found += _paths(inner, (*path, key))
    return found


FREE = (
    "detail",
    "tools",
    "counts",
    "profiles",
    "layers",
    "refused",
    "files",
    "operators",
    "inputs",
    "outputs",
    "parts",
    "state",
)


def _strict_paths(value: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The fields that the schema fixes: no keys of mappings, nothing free-form, no tensor spec's own."""
    return [p for p in _paths(value) if not any(part in FREE for part in p[:-1])]


def test_each_missing_field_is_named(full: Manifest) -> None:
    whole = full.to_json()
    paths = _strict_paths(whole)
    assert len(paths) > 50
    for path in paths:
        value = copy.deepcopy(whole)
        inner: Any = value
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        with pytest.raises(BundleError) as caught:
            Manifest.from_json(value)
        assert str(path[-1]) in caught.value.problem, path


def test_each_field_of_a_wrong_kind_is_named(full: Manifest) -> None:
    whole = full.to_json()
    for path in _strict_paths(whole):
        value = copy.deepcopy(whole)
        inner: Any = value
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = [object] if not isinstance(inner[path[-1]], list) else 7
        with pytest.raises(BundleError) as caught:
            Manifest.from_json(value)
        assert str(path[-1]) in caught.value.problem, path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda v: v.update(schema=1), "the manifest has schema version 1 and this attnexport reads version 4"),
        (lambda v: v.update(schema=True), "schema version True"),
        (lambda v: v.update(schema=4.0), "schema version 4.0"),
        (lambda v: v.pop("schema"), "schema version None"),
        (lambda v: v.update(format="zip"), "has format 'zip' and not 'attnexport-bundle'"),
        (lambda v: v.update(surprise=1), "field 'surprise' is not known"),
        (
            lambda v: v["files"]["model.onnx"].update(bytes=True),
            "field \"files['model.onnx'].bytes\" must be an integer",
        ),
        (lambda v: v["files"]["model.onnx"].update(bytes=1.5), "must be an integer, not 1.5"),
        (lambda v: v["parity"][0]["gate"].update(passed=1), "field 'parity[0].gate.passed' must be true or false"),
        (lambda v: v["parity"][0].update(own_rms="big"), "field 'parity[0].own_rms' must be a number, not 'big'"),
        (lambda v: v["inputs"][0].pop("dtype"), "field 'inputs[0]' is wrong: a tensor needs name, dtype and axes"),
        (lambda v: v["inputs"][0].update(dtype="float8"), "dtype 'float8' of 'x' is not known"),
        (lambda v: v["gpu"].pop("name"), "field 'gpu.name' is missing"),
        (lambda v: v["operators"]["model.onnx"].update(Conv="3"), "must be an integer, not '3'"),
    ],
)
def test_what_is_wrong_is_said(full: Manifest, change: Any, problem: str) -> None:
    value = full.to_json()
    change(value)
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(value)
    assert problem in caught.value.problem


@pytest.mark.parametrize("text", ["", "{", '{"format": "attnexport-bundle", "sch', "[" * 100_000, "[]", "null", '"x"'])
def test_text_that_is_no_manifest_is_one_line(text: str) -> None:
    with pytest.raises(BundleError) as caught:
        Manifest.loads(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_long_wrong_value_is_cut_in_the_message(full: Manifest) -> None:
    value = full.to_json()
    value["name"] = ["x" * 10_000]
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(value)
    assert len(str(caught.value)) < 200
