"""grid_sample_native: the standard operator, in the spelling that every TensorRT reads rightly."""

from __future__ import annotations

import numpy as np
import pytest


def inputs(batch=2, space=(5, 7), out=(6, 4), dtype=np.float32, grid_dtype=None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    grid = 1.4 * rng.standard_normal((batch, *out, 2))
    return {"x": rng.standard_normal((batch, 3, *space)).astype(dtype), "grid": grid.astype(grid_dtype or dtype)}


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [0, 1])
def test_every_rule_and_many_sizes(mode, padding_mode, align_corners, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    form = lowered("GridSample", inputs(), attrs)
    assert form.applied.lowering == "grid_sample_native"
    assert "costlier" in form.applied.refused["grid_sample_gather"]
    *clip, node = form.model.graph.node
    assert [entry.op_type for entry in clip] == ([] if padding_mode == "reflection" else ["Clip"])
    assert node.op_type == "GridSample"
    assert {attribute.name: attribute.s.decode() for attribute in node.attribute if attribute.s}["mode"] == mode
    form.check(inputs(), atol=1e-5)
    form.check(inputs(batch=3, space=(9, 4), out=(2, 5)), atol=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("space", [(4, 6), (1, 300)])
def test_far_positions_read_what_the_padding_says(mode, padding_mode, align_corners, space, lowered) -> None:
    line = np.array([-1e30, -1e10, -1e6, -1001.5, 0.25, 1001.5, 1e6, 1e10, 1e30], np.float32)
    given = inputs(batch=1, space=space) | {"grid": np.stack(np.meshgrid(line, line), axis=-1)[None]}
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    form = lowered("GridSample", given, attrs)
    assert form.applied.lowering == "grid_sample_native"
    form.check(given, atol=3e-5)


@pytest.mark.parametrize(("mode", "spelled"), [("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")])
def test_opset_20_spells_the_modes_anew(mode, spelled, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", inputs(), attrs, targets=["ort"], opset=20)
    assert form.applied.lowering == "grid_sample_native"
    assert [value.s.decode() for value in form.model.graph.node[-1].attribute if value.name == "mode"] == [spelled]
    form.check(inputs(), atol=1e-5)


def test_refuses_the_spelling_that_tensorrt_misreads(lowered) -> None:
    attrs = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", inputs(), attrs, opset=20)
    assert form.applied.lowering == "grid_sample_gather"
    assert form.applied.refused == {
        "grid_sample_native": "opset 20 spells bilinear as linear, which TensorRT 10.13 to 11.1 reads as nearest"
    }
    form.check(inputs(), atol=1e-5)


def test_refuses_two_types(lowered) -> None:
    attrs = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}
    form = lowered("GridSample", inputs(dtype=np.float16, grid_dtype=np.float32), attrs)
    assert form.applied.lowering == "grid_sample_gather"
    assert form.applied.refused == {
        "grid_sample_native": "the image is float16 and the grid float32: the standard operator takes one type"
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_tensorrt(dtype, mode, lowered, builds) -> None:
    attrs = {"mode": mode, "padding_mode": "reflection", "align_corners": 0}
    given = inputs(dtype=dtype)
    builds(lowered("GridSample", given, attrs, dynamic={"x0", "x2", "x3", "grid0", "grid1", "grid2"}), given)
