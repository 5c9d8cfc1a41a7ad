"""DeformConv, against the kernel that ONNX Runtime has for the standard operator of opset 19."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from attnexport.export.domain import deform_conv

PLAIN = {"group": 1, "offset_group": 1, "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]}
GEOMETRIES = [
    PLAIN,
    PLAIN | {"dilation": [2, 1], "pads": [2, 0, 1, 3], "stride": [2, 1]},
    PLAIN | {"group": 2, "offset_group": 4},
    PLAIN | {"group": 4, "offset_group": 2, "stride": [1, 3]},
    PLAIN | {"group": 8},
]


def inputs(attrs, dtype=np.float64, kernel=(3, 2), extra=("mask", "bias")) -> dict[str, np.ndarray]:
    """Offsets of up to a few pixels, some beyond the image."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8, 7, 6))
    top, left, bottom, right = attrs["pads"]
    out = [
        (size + pad - step * (taps - 1) - 1) // stride + 1
        for size, pad, step, taps, stride in zip(
            (7, 6), (top + bottom, left + right), attrs["dilation"], kernel, attrs["stride"], strict=True
        )
    ]
    taps = attrs["offset_group"] * kernel[0] * kernel[1]
    found = {
        "x": x,
        "weight": rng.standard_normal((16, 8 // attrs["group"], *kernel)),
        "offset": 2.5 * rng.standard_normal((2, 2 * taps, *out)),
        "mask": rng.random((2, taps, *out)),
        "bias": rng.standard_normal(16),
    }
    return {name: value.astype(dtype) for name, value in found.items() if name in ("x", "weight", "offset", *extra)}


def standard(given: dict[str, np.ndarray], attrs) -> np.ndarray:
    """ONNX Runtime's own DeformConv, whose inputs end with bias, mask."""
    names = ["x", "weight", "offset", "bias", "mask"]
    node = helper.make_node(
        "DeformConv", [name if name in given else "" for name in names], ["y"], group=attrs["group"],
        offset_group=attrs["offset_group"], dilations=attrs["dilation"], pads=attrs["pads"], strides=attrs["stride"],
        kernel_shape=given["weight"].shape[2:],
    )  # fmt: skip
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in given.items()]
    graph = helper.make_graph([node], "g", declared, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {name: value.astype(np.float32) for name, value in given.items()})
    return y


@pytest.mark.parametrize("attrs", GEOMETRIES)
@pytest.mark.parametrize("extra", [(), ("mask",), ("bias",), ("mask", "bias")], ids=str)
def test_reference_is_the_standard_operator(attrs, extra) -> None:
    given = inputs(attrs, extra=extra)
    y = deform_conv.reference(**given, **attrs)
    np.testing.assert_allclose(y, standard(given, attrs), rtol=0, atol=2e-5)


def test_without_offsets_it_is_a_convolution() -> None:
    torch = pytest.importorskip("torch")
    given = inputs(PLAIN, kernel=(3, 3), extra=("bias",))
    given["offset"] *= 0
    x, weight, bias = (torch.from_numpy(given[name]) for name in ("x", "weight", "bias"))
    expected = torch.nn.functional.conv2d(x, weight, bias, padding=1).numpy()
    np.testing.assert_allclose(deform_conv.reference(**given, **PLAIN), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attrs", GEOMETRIES)
@pytest.mark.parametrize("extra", [(), ("mask",), ("mask", "bias")], ids=str)
def test_body_is_the_reference(attrs, extra, run_body) -> None:
    given = inputs(attrs, np.float32, extra=extra)
    wide = {name: value.astype(np.float64) for name, value in given.items()}
    y = run_body("DeformConv", given, attrs, 4)
    np.testing.assert_allclose(y, deform_conv.reference(**wide, **attrs), rtol=0, atol=5e-5)


def test_inference(inferred_shape) -> None:
    shapes = {"x": ["n", 8, "h", "w"], "weight": [16, 8, 3, 3], "offset": ["n", 18, "p", 5]}
    assert inferred_shape("DeformConv", shapes, PLAIN) == ["n", 16, "p", 5]
