"""grid_sample_gather: the exact decomposition, up to ties, far coordinates, NaN and mixed types."""

from __future__ import annotations

import numpy as np
import pytest

MODES = ["bilinear", "nearest", "bicubic"]
PADDINGS = ["zeros", "border", "reflection"]


def inputs(batch=2, space=(5, 7), out=(6, 4), dtype=np.float32, grid_dtype=None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    grid = 1.4 * rng.standard_normal((batch, *out, 2))
    return {"x": rng.standard_normal((batch, 3, *space)).astype(dtype), "grid": grid.astype(grid_dtype or dtype)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("align_corners", [0, 1])
class TestAllRules:
    @pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
    def test_every_rule(self, mode, padding_mode, align_corners, dynamic, lowered) -> None:
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        form = lowered("GridSample", inputs(), attrs, dynamic=dynamic, only="grid_sample_gather")
        form.check(inputs(), atol=1e-5)
        if dynamic:
            form.check(inputs(batch=3, space=(9, 4), out=(2, 5)), atol=1e-5)
            form.check(inputs(batch=1, space=(1, 6), out=(3, 3)), atol=1e-5)

    def test_ties_far_and_undefined_coordinates(self, mode, padding_mode, align_corners, lowered) -> None:
        values = [*np.arange(-32, 33) / 16, 100.25, -1000.5, np.nan]
        values += [] if padding_mode == "reflection" else [1e30, -1e30, np.inf, -np.inf]
        line = np.array(values, np.float32)
        grid = np.stack(np.meshgrid(line, line), axis=-1)[None]
        x = np.random.default_rng(0).standard_normal((1, 2, 4, 6)).astype(np.float32)
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        given = {"x": x, "grid": grid}
        lowered("GridSample", given, attrs, only="grid_sample_gather").check(given, atol=1e-4)


@pytest.mark.parametrize("dtypes", [(np.float16, np.float32), (np.float32, np.float16), (np.float16, np.float16)])
def test_half_precision_costs_no_coordinate(dtypes, lowered) -> None:
    given = inputs(dtype=dtypes[0], grid_dtype=dtypes[1])
    attrs = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", given, attrs, only="grid_sample_gather")
    form.check(given, atol=1e-5 if dtypes[0] == np.float32 else 2e-3)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float16, np.float32), (np.float16, np.float16)])
@pytest.mark.parametrize("mode", MODES)
def test_tensorrt(dtypes, mode, lowered, builds) -> None:
    given = inputs(dtype=dtypes[0], grid_dtype=dtypes[1])
    attrs = {"mode": mode, "padding_mode": "zeros" if mode == "bilinear" else "reflection", "align_corners": 0}
    dynamic = {"x0", "x2", "x3", "grid0", "grid1", "grid2"}
    builds(lowered("GridSample", given, attrs, dynamic=dynamic, only="grid_sample_gather"), given)
