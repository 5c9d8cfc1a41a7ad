"""The manifest survives its JSON, and every wrong field is named."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.stage import Stage


def test_every_section_survives_the_round_trip(full: Manifest) -> None:
    assert Manifest.loads(full.dumps()) == full
    whole = replace(full, parts={"encoder": "encoder", "step": "step"})
    assert Manifest.loads(whole.dumps()) == whole


def test_a_manifest_of_the_previous_schema_is_read_in_the_current_form() -> None:
    """``manifest_v4.json`` is of a bundle that the previous schema wrote, shortened by hand."""
    text = (Path(__file__).parent / "data" / "manifest_v4.json").read_text()
    manifest = Manifest.loads(text)
    names = [stage.name for stage in manifest.stages]
    assert names == ["source", "capture", "recognise", "lower", "fp16", "verify", "rebuild"]
    assert manifest.stages[4].stage is Stage.TYPED
    assert manifest.stages[3].text == "251 standard nodes, 3 rewrites"
    assert manifest.captured["Im2Col"] == 6
    assert [entry.replaced for entry in manifest.rewrites] == [12]
    assert [entry.module for entry in manifest.modules] == ["features.0.1", "features.1"]
    steps = manifest.attribution[1].steps
    assert [step.stage for step in steps] == [Stage.CAPTURE, Stage.RECOGNISE, Stage.LOWER, Stage.TYPED]
    assert manifest.selections == ()
    gate, figures = manifest.parity[0].gate, manifest.parity[0].figures
    assert (gate.rms, gate.relative, gate.cosine) == (figures.rms, figures.relative, figures.cosine)
    assert gate.torch_relative == pytest.approx(gate.torch_rms / figures.reference_rms)
    assert (gate.unstable, gate.verdict) == (False, "pass")
    assert Manifest.loads(manifest.dumps()) == manifest
    assert json.loads(manifest.dumps())["schema"] == 6


def test_parts_of_a_stage_name_in_the_previous_schema_are_split() -> None:
    value = json.loads((Path(__file__).parent / "data" / "manifest_v4.json").read_text())
    value["stages"] = [{"name": f"encoder: {name}", "seconds": 1.0, "detail": {}} for name in ("lower", "fp16")]
    lower, typed = Manifest.from_json(value).stages
    assert (lower.stage, lower.part, lower.name) == (Stage.LOWER, "encoder", "encoder: lower")
    assert (typed.stage, typed.model_type, typed.name) == (Stage.TYPED, "fp16", "encoder: fp16")


def test_the_text_is_strict_json_with_format_and_schema_first(full: Manifest) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    value = json.loads(full.dumps(), parse_constant=refuse)
    assert list(value)[:2] == ["format", "schema"]
    assert (value["format"], value["schema"]) == ("attnexport-bundle", 6)


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
    "captured",
    "errors",
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
        (lambda v: v.update(schema=1), "the manifest has schema version 1 and this attnexport reads versions 4 and 5"),
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
        (lambda v: v["parity"][0].update(torch_rms="big"), "field 'parity[0].torch_rms' must be a number, not 'big'"),
        (lambda v: v["inputs"][0].pop("dtype"), "field 'inputs[0]' is wrong: a tensor needs name, dtype and axes"),
        (lambda v: v["inputs"][0].update(dtype="float8"), "dtype 'float8' of 'x' is not known"),
        (lambda v: v["gpu"].pop("name"), "field 'gpu.name' is missing"),
        (lambda v: v["operators"]["model.onnx"].update(Conv="3"), "must be an integer, not '3'"),
    ],
)
def test_a_wrong_field_is_reported(full: Manifest, change: Any, problem: str) -> None:
    value = full.to_json()
    change(value)
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(value)
    assert problem in caught.value.problem


@pytest.mark.parametrize("text", ["", "{", '{"format": "attnexport-bundle", "sch', "[" * 100_000, "[]", "null", '"x"'])
def test_invalid_text_is_reported_in_one_line(text: str) -> None:
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
