"""im2col_rows: rows first, then columns; chosen for large windows; exact for every window and every type."""

from __future__ import annotations

import numpy as np
import pytest

WINDOWS = [
    {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]},
    {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]},
    {"kernel": [7, 7], "dilation": [1, 1], "pads": [3, 3, 3, 3], "stride": [1, 1]},
    {"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]},
    {"kernel": [2, 4], "dilation": [1, 2], "pads": [0, 1, 0, 2], "stride": [3, 2]},
    {"kernel": [6, 6], "dilation": [1, 1], "pads": [2, 2, 2, 2], "stride": [4, 4]},
]


def image(*shape: int, dtype=np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 97).astype(dtype)


@pytest.mark.parametrize("attrs", WINDOWS)
@pytest.mark.parametrize("dynamic", [False, True, {"x0"}, {"x2", "x3"}, {"x0", "x2", "x3"}])
def test_every_window_static_and_dynamic(attrs, dynamic, lowered) -> None:
    x = image(2, 3, 8, 9)
    form = lowered("Im2Col", {"x": x}, attrs, dynamic=dynamic, only="im2col_rows")
    form.check({"x": x})
    assert not form.op_types() & {"Gather", "GatherND", "GatherElements"}


@pytest.mark.parametrize("attrs", WINDOWS)
def test_one_model_for_many_sizes(attrs, lowered) -> None:
    form = lowered("Im2Col", {"x": image(1, 2, 8, 8)}, attrs, only="im2col_rows")
    for shape in ((1, 2, 8, 8), (3, 2, 11, 7), (7, 5, 9, 16)):
        form.check({"x": image(*shape)})


@pytest.mark.parametrize(("kernel", "chosen"), [(3, "im2col_slices"), (7, "im2col_rows"), (14, "im2col_rows")])
def test_large_windows_get_it(kernel, chosen, lowered) -> None:
    attrs = {"kernel": [kernel] * 2, "dilation": [1, 1], "pads": [3] * 4, "stride": [2, 2]}
    form = lowered("Im2Col", {"x": image(1, 2, 16, 16)}, attrs, dynamic={"x0", "x2", "x3"})
    assert form.applied.lowering == chosen
    if chosen == "im2col_rows":
        slices = [node for node in form.model.graph.node if node.op_type == "Slice"]
        assert len(slices) == 2 * kernel
        assert form.op_types() == {"Unsqueeze", "Pad", "Slice", "Concat", "Reshape"}


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.bool_])
def test_any_type(dtype, lowered) -> None:
    x = image(2, 3, 8, 9, dtype=dtype)
    lowered("Im2Col", {"x": x}, WINDOWS[3], only="im2col_rows").check({"x": x})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("attrs", [WINDOWS[1], WINDOWS[3]])
def test_tensorrt(dtype, attrs, lowered, builds) -> None:
    x = image(2, 3, 8, 9, dtype=dtype)
    builds(lowered("Im2Col", {"x": x}, attrs, dynamic={"x0", "x2", "x3"}, only="im2col_rows"), {"x": x})
