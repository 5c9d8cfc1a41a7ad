"""grid_sample_3d_gather: volumes, both modes, every padding and corner rule."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import UnsupportedModelError


def inputs(batch=2, space=(3, 4, 5), out=(2, 3, 4), dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((batch, 3, *space)), 1.4 * rng.standard_normal((batch, *out, 3))
    return {"x": x.astype(dtype), "grid": grid.astype(dtype)}


@pytest.mark.pairwise
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [0, 1])
def test_every_rule_and_many_sizes(mode, padding_mode, align_corners, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    lowered("GridSample3d", inputs(), attrs, dynamic=False).check(inputs(), atol=1e-5)
    form = lowered("GridSample3d", inputs(), attrs)
    for given in (inputs(), inputs(batch=3, space=(4, 6, 3), out=(3, 1, 5))):
        form.check(given, atol=1e-5)


def test_refusals(lowered) -> None:
    import onnx_graphsurgeon as gs

    from attnexport.export.lower import Where, grid_sample_3d_gather

    x, grid = gs.Variable("x", np.float32, (1, 2, 3, 4)), gs.Variable("grid", np.float32, (1, 2, 2, 2, 3))
    node = gs.Node("GridSample3d", attrs={"mode": "nearest"}, inputs=[x, grid])
    assert grid_sample_3d_gather.LOWERING.refuse(node, Where(("ort",), 18)) == "x has 4 axes, not 5"
    attrs = {"mode": "bicubic", "padding_mode": "zeros", "align_corners": 0}
    with pytest.raises(UnsupportedModelError, match="bicubic interpolation is not defined for volumes"):
        lowered("GridSample3d", inputs(), attrs)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("mode", "padding_mode"), [("bilinear", "zeros"), ("nearest", "reflection")])
def test_tensorrt(dtype, mode, padding_mode, lowered, builds) -> None:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": 0}
    given = inputs(dtype=dtype)
    builds(lowered("GridSample3d", given, attrs, dynamic={"x0", "x2", "x3", "x4", "grid0", "grid3"}), given)
