"""affine_grid_matmul and affine_grid_axes: planes and volumes, with the size constant or computed; which of the two is chosen."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

RULES = ["affine_grid_axes", "affine_grid_matmul"]
SIZES = [(2, 1, 4, 5), (2, 3, 1, 6), (2, 1, 3, 4, 5), (2, 1, 1, 3, 1)]


def inputs(size, dtype=np.float32) -> dict[str, np.ndarray]:
    axes = len(size) - 2
    theta = np.random.default_rng(0).standard_normal((size[0], axes, axes + 1))
    return {"theta": theta.astype(dtype), "size": np.array(size)}


@pytest.mark.pairwise
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("constants", [(), ("size",)], ids=["given", "constant"])
@pytest.mark.parametrize("dynamic", [False, True, {"theta0"}])
def test_every_size_and_corner(rule, size, align_corners, constants, dynamic, lowered) -> None:
    form = lowered(
        "AffineGrid",
        inputs(size),
        {"align_corners": align_corners},
        dynamic=dynamic,
        constants=constants,
        only=rule,
    )
    form.check(inputs(size), atol=2e-6)
    if constants:
        assert not form.op_types() & {"Range", "Shape"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("align_corners", [0, 1])
def test_one_model_for_many_sizes(rule, align_corners, lowered) -> None:
    form = lowered("AffineGrid", inputs(SIZES[0]), {"align_corners": align_corners}, dynamic={"theta0"}, only=rule)
    for size in ((2, 1, 4, 5), (1, 3, 7, 1), (5, 1, 224, 3)):
        form.check(inputs(size), atol=3e-6)


@pytest.mark.parametrize("rule", RULES)
def test_half_precision_keeps_positions_exact_until_they_are_stored(rule, lowered) -> None:
    size = (1, 1, 1, 40000)  # FP16 counts to 2048, and twice the last index is beyond its range
    form = lowered("AffineGrid", inputs(size, np.float16), {"align_corners": 0}, dynamic={"theta0"}, only=rule)
    form.check(inputs(size, np.float16), atol=4e-3)
    # ONNX Runtime's CPU provider computes FP16 in FP32 anyway, so the types are looked at too.
    kinds = {value.name: value.type.tensor_type.elem_type for value in form.model.graph.value_info}
    divided = [kinds[node.output[0]] for node in form.model.graph.node if node.op_type == "Div"]
    assert divided == [onnx.TensorProto.FLOAT] * 2


@pytest.mark.pairwise
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("constants", [(), ("size",)], ids=["given", "constant"])
@pytest.mark.parametrize("size", [SIZES[0], SIZES[2]])
def test_tensorrt(rule, dtype, constants, size, lowered, builds) -> None:
    given = inputs(size, dtype)
    dynamic = {"theta0"}
    builds(
        lowered("AffineGrid", given, {"align_corners": 1}, dynamic=dynamic, constants=constants, only=rule),
        given,
    )


def test_the_product_of_matrices_is_chosen(lowered) -> None:
    form = lowered("AffineGrid", inputs(SIZES[0]), {"align_corners": 0}, dynamic={"theta0"})
    assert form.applied.lowering == "affine_grid_matmul"
    assert "slower" in form.applied.refused["affine_grid_axes"]
