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
    (node,) = form.model.graph.node
    assert {attribute.name: attribute.s.decode() for attribute in node.attribute if attribute.s}["mode"] == mode
    form.check(inputs(), atol=1e-5)
    form.check(inputs(batch=3, space=(9, 4), out=(2, 5)), atol=1e-5)


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
