"""What an output is, by its task and shape, as plain JSON; against NumPy."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle.sections import AttentionRecord
from attnexport.runtime.inputs.picture import Picture, Scale
from attnexport.runtime.serve.demo.findings import findings
from attnexport.runtime.serve.demo.image_models import ImageModel
from attnexport.runtime.spec import Axis, TensorSpec

SPEC = TensorSpec("x", "float32", (Axis(1, 1, 1, "batch"), *map(Axis.fixed, (3, 4, 6))))
SEEN = np.random.default_rng(0).random((4, 6, 3))
PICTURE = Picture(SEEN, SEEN.transpose(2, 0, 1)[None].astype(np.float32))
MODEL = ImageModel("net", 1, SPEC, Scale(), True, None, (), (), np.empty((0, 3, 4, 6), np.float32))


def found(value: Any, model: ImageModel = MODEL, name: str = "y") -> dict[str, Any]:
    told = json.loads(json.dumps(findings(model, PICTURE, {name: value}), allow_nan=False))
    (output,) = told["outputs"]
    assert output["name"] == name
    return dict(output)


def unpacked(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def test_the_image_is_what_the_model_sees() -> None:
    image = findings(MODEL, PICTURE, {})["image"]
    np.testing.assert_array_equal(unpacked(image["rgb"], 4, 6, 3), np.rint(SEEN * 255))
    assert (image["width"], image["height"]) == (6, 4)


def test_scores_become_probabilities_and_the_best_five(demo_tools: Any) -> None:
    scores = np.array([[1.0, -2.0, 3.5, 0.0, 2.0, 1.5, -1.0]], np.float32)
    told = found(scores)
    true = demo_tools.softmax(scores[0].astype(np.float64))
    assert (told["kind"], told["of"], told["softmax"]) == ("classes", 7, True)
    assert [row["index"] for row in told["top"]] == [2, 4, 5, 0, 3]
    assert [row["score"] for row in told["top"]] == pytest.approx([true[i] for i in (2, 4, 5, 0, 3)])
    assert [row["label"] for row in told["top"]] == ["2", "4", "5", "0", "3"]


def test_large_scores_do_not_overflow() -> None:
    assert found(np.array([[3e4, 0.0]], np.float32))["top"][0]["score"] == 1.0


def test_what_is_a_probability_already_is_shown_as_it_is() -> None:
    told = found(np.array([[0.2, 0.7, 0.1]], np.float32), replace(MODEL, classes=("a", "b", "c")))
    assert told["softmax"] is False
    assert [(row["label"], round(row["score"], 6)) for row in told["top"]] == [("b", 0.7), ("a", 0.2), ("c", 0.1)]


@pytest.mark.parametrize("scores", [[0.2, 0.7, 0.3], [-0.1, 1.0, 0.1]], ids=["sums to more than 1", "below 0"])
def test_what_only_looks_like_one_is_not(scores: list[float]) -> None:
    assert found(np.array([scores], np.float32))["softmax"] is True


def test_names_of_another_number_of_classes_are_not_used() -> None:
    assert found(np.array([[0.0, 1.0]], np.float32), replace(MODEL, classes=("a", "b", "c")))["top"][0]["label"] == "1"


def test_a_mask_has_the_best_class_of_each_pixel_and_their_shares() -> None:
    scores = np.random.default_rng(1).normal(size=(1, 5, 4, 6)).astype(np.float32)
    scores[0, 3] = -9
    told = found(scores, replace(MODEL, classes=tuple("abcde")))
    best = scores[0].argmax(0)
    np.testing.assert_array_equal(unpacked(told["pixels"], 4, 6), best)
    assert (told["kind"], told["of"], told["width"], told["height"]) == ("mask", 5, 6, 4)
    counts = {"abcde"[i]: (best == i).mean() for i in range(5) if (best == i).any()}
    assert {row["label"]: row["share"] for row in told["classes"]} == pytest.approx(counts)
    assert [row["share"] for row in told["classes"]] == sorted(counts.values(), reverse=True)


@pytest.mark.parametrize(
    ("task", "channels", "kind"),
    [("segmentation", 3, "mask"), (None, 3, "picture"), (None, 1, "picture"), ("segmentation", 1, "picture"),
     (None, 2, "mask"), (None, 300, "numbers")],
)  # fmt: skip
def test_three_channels_are_colours_unless_the_task_is_segmentation(task: str | None, channels: int, kind: str) -> None:
    value = np.random.default_rng(2).random((1, channels, 4, 6), np.float32)
    assert found(value, replace(MODEL, task=task))["kind"] == kind


def test_a_picture_goes_from_its_least_value_to_its_greatest() -> None:
    value = np.array([-1, 0, 1, 3], np.float32).reshape(1, 1, 2, 2)
    told = found(value)
    assert (told["low"], told["high"]) == (-1.0, 3.0)
    np.testing.assert_array_equal(unpacked(told["image"]["rgb"], 4, 3)[:, 0], [0, 64, 128, 255])


def test_numbers_that_are_not_finite_are_counted_and_nothing_is_made_of_them() -> None:
    told = found(np.array([[1.0, np.nan, -np.inf, 2.0]], np.float32))
    assert told == {
        "name": "y", "kind": "numbers", "shape": [1, 4], "dtype": "float32", "low": 1.0, "high": 2.0, "not_finite": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [np.array([[3, 5]]), np.array([[True]]), np.zeros((1, 2, 3, 4, 5), np.float32), np.float32(2.0).reshape(())],
)
def test_anything_else_is_numbers(value: np.ndarray) -> None:
    told = found(value)
    assert (told["kind"], told["shape"], told["dtype"]) == ("numbers", list(value.shape), value.dtype.name)


def test_an_attention_map_is_a_panel_and_no_output() -> None:
    heat = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)
    gate = np.array([0.0, 0.25, 1.0], np.float32).reshape(1, 3, 1, 1)
    records = (
        AttentionRecord("attention.a", "a", "SpatialGate", "gate"),
        AttentionRecord("attention.b", "b", "ChannelGate", "gate"),
    )
    told = findings(replace(MODEL, attention=records), PICTURE, {"attention.a": heat, "attention.b": gate})
    assert told["outputs"] == []
    first, second = told["attention"]
    assert (first["title"], first["extent"], first["bars"]) == ("a · SpatialGate", [0.0, 1.0, 1.0, 0.0], None)
    np.testing.assert_array_equal(unpacked(first["heat"]["bytes"], 4, 6), np.rint(heat[0, 0].astype(np.float64) * 255))
    np.testing.assert_array_equal(unpacked(second["bars"], 3), [0, 64, 255])
    assert second["heat"] is None


def test_a_map_that_hardly_varies_stays_even() -> None:
    heat = np.full((1, 1, 4, 6), 0.9, np.float32)
    heat[0, 0, 0, 0] = 0.9001
    record = AttentionRecord("attention.a", "a", "SpatialGate", "gate")
    (panel,) = findings(replace(MODEL, attention=(record,)), PICTURE, {"attention.a": heat})["attention"]
    shades = unpacked(panel["heat"]["bytes"], 24)
    assert shades.min() > 120 and shades.max() < 136


def test_a_map_that_is_none_is_refused() -> None:
    record = AttentionRecord("attention.a", "a", "SpatialGate", "gate")
    with pytest.raises(InputError, match="is not a map of kind 'gate'"):
        findings(replace(MODEL, attention=(record,)), PICTURE, {"attention.a": np.zeros((1, 4), np.float32)})
