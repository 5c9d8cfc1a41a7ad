"""unfold_slices: exact along every axis, for every size and step, with any axis dynamic."""

from __future__ import annotations

import numpy as np
import pytest


def values(*shape: int, dtype=np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 97).astype(dtype)


@pytest.mark.pairwise
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize(("size", "step"), [(1, 1), (3, 1), (3, 2), (2, 2), (2, 3)])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_axis(axis, size, step, dynamic, lowered) -> None:
    x = values(3, 7, 5, 8)
    attrs = {"axis": axis, "size": size, "step": step}
    form = lowered("Unfold", {"x": x}, attrs, dynamic=dynamic, only="unfold_slices")
    form.check({"x": x})
    assert form.op_types() <= {"Unsqueeze", "Slice", "Concat"}
    if dynamic:
        form.check({"x": values(5, 6, 9, 4)})


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_])
def test_any_type(dtype, lowered) -> None:
    x = values(2, 9, dtype=dtype)
    lowered("Unfold", {"x": x}, {"axis": 1, "size": 4, "step": 3}, only="unfold_slices").check({"x": x})


@pytest.mark.parametrize(
    ("shape", "axis", "reason"), [((2, 9), 2, "axis 2 is not one of the 2 of x"), ((2, 9), -1, "axis -1 is not one")]
)
def test_refusals(shape, axis, reason) -> None:
    import onnx_graphsurgeon as gs

    from attnexport.export.lower import Where, unfold_slices

    node = gs.Node("Unfold", attrs={"axis": axis, "size": 3, "step": 1}, inputs=[gs.Variable("x", np.float32, shape)])
    assert unfold_slices.LOWERING.refuse(node, Where(("ort",), 18)).startswith(reason)
    node.inputs[0].shape = None
    assert unfold_slices.LOWERING.refuse(node, Where(("ort",), 18)) == "the rank of x is not known"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt(dtype, lowered, builds) -> None:
    x = values(2, 3, 8, 9, dtype=dtype)
    attrs = {"axis": 2, "size": 3, "step": 2}
    builds(lowered("Unfold", {"x": x}, attrs, dynamic={"x0", "x2", "x3"}, only="unfold_slices"), {"x": x})
