"""unfold_blocks: windows made of whole blocks of gcd(size, step) values."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import UnsupportedModelError


def values(*shape: int, dtype=np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 997).astype(dtype)


@pytest.mark.pairwise
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("size", "step"), [(2, 2), (4, 2), (6, 4), (3, 6), (5, 5)])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_axis(axis, size, step, dynamic, lowered) -> None:
    x = values(7, 12, 10)
    form = lowered(
        "Unfold", {"x": x}, {"axis": axis, "size": size, "step": step}, dynamic=dynamic, only="unfold_blocks"
    )
    form.check({"x": x})
    if dynamic:
        form.check({"x": values(13, 6, 8)})


def test_windows_that_do_not_overlap_take_one_transpose(lowered) -> None:
    x = values(2, 12, 10)
    form = lowered("Unfold", {"x": x}, {"axis": 1, "size": 4, "step": 4}, dynamic={"x0"})
    assert form.applied.lowering == "unfold_blocks"
    assert [node.op_type for node in form.model.graph.node].count("Transpose") == 1
    assert "Concat" not in form.op_types()


def test_the_cheaper_form_is_taken(lowered) -> None:
    x = values(2, 256)
    assert lowered("Unfold", {"x": x}, {"axis": 1, "size": 64, "step": 32}).applied.lowering == "unfold_blocks"
    assert lowered("Unfold", {"x": x}, {"axis": 1, "size": 4, "step": 2}).applied.lowering == "unfold_slices"


def test_refusal(lowered) -> None:
    attrs = {"axis": 1, "size": 3, "step": 2}
    with pytest.raises(UnsupportedModelError, match="windows of 3 with step 2 share no block longer than 1"):
        lowered("Unfold", {"x": values(2, 9)}, attrs, only="unfold_blocks")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt(dtype, lowered, builds) -> None:
    x = values(2, 3, 8, 9, dtype=dtype)
    attrs = {"axis": 2, "size": 4, "step": 2}
    builds(lowered("Unfold", {"x": x}, attrs, dynamic={"x0", "x2", "x3"}, only="unfold_blocks"), {"x": x})
