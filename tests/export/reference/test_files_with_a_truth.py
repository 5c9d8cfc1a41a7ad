"""Small ONNX files through the whole pipeline: the golden values are right and the verdict is a pass.

onnx's reference evaluator has other values for three of them, and refuses the others. The right values are PyTorch's in FP64,
or a loop's, from the weights written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from attnexport.errors import StageError
from attnexport.export.options import ExportOptions, SourceOptions
from attnexport.export.pipeline import run
from attnexport.export.progress import Silent
from attnexport.runtime.bundle.golden import read_golden

RNG = np.random.default_rng(5)
node = helper.make_node


def drawn(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.3).astype(np.float32)


@dataclass(frozen=True)
class File:
    """``truth``: the output from the inputs and weights, all in FP64."""

    shape: tuple[int, ...]
    nodes: list[onnx.NodeProto]
    weights: Mapping[str, np.ndarray]
    truth: Callable[..., Tensor]
    rank: int
    more: tuple[str, ...] = ()
    further: list[onnx.ValueInfoProto] = field(default_factory=list)


def lstm(x: Tensor, lens: Tensor, W: Tensor, R: Tensor, B: Tensor, **_: Tensor) -> Tensor:
    """Sequence by sequence, gate by gate; zeros after a sequence's end."""
    y = torch.zeros(x.shape[0], x.shape[1], 5, dtype=torch.float64)
    for n in range(x.shape[0]):
        h, c = torch.zeros(2, 5, dtype=torch.float64)
        for t in range(int(lens[n])):
            i, o, f, g = (W[0] @ x[n, t] + R[0] @ h + B[0, :20] + B[0, 20:]).reshape(4, 5)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            y[n, t] = h
    return y


def nearest(x: Tensor, w: Tensor, **_: Tensor) -> Tensor:
    """0.6 in FP32 is a little more than 0.6: these are the floors of FP32 quotients."""
    index = [int(np.floor(np.float32(i) / np.float32(0.6))) for i in range(12)]
    return F.conv2d(x, w, padding=1)[:, :, index][:, :, :, index]


CONV = node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])
CONV_1D = node("Conv", ["x", "w"], ["c"], pads=[1, 1])
RESIZE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
FILES = {
    "global_max_pool_1d": File(
        (4, 32),
        [
            CONV_1D,
            node("GlobalMaxPool", ["c"], ["p"]),
            node("Squeeze", ["p", "ax"], ["s"]),
            node("Gemm", ["s", "g"], ["y"]),
        ],
        {"w": drawn(6, 4, 3), "ax": np.array([2]), "g": drawn(6, 5)},
        lambda x, w, g, **_: F.conv1d(x, w, padding=1).amax(2) @ g,
        2,
    ),
    "max_pool_1d": File(
        (4, 32),
        [CONV_1D, node("MaxPool", ["c"], ["y"], kernel_shape=[3], strides=[1], pads=[1, 1])],
        {"w": drawn(6, 4, 3)},
        lambda x, w: F.max_pool1d(F.conv1d(x, w, padding=1), 3, 1, 1),
        3,
    ),
    "grouped_conv_transpose": File(
        (4, 8, 8),
        [CONV, node("ConvTranspose", ["c", "u"], ["y"], group=2, strides=[2, 2], pads=[1] * 4)],
        {"w": drawn(6, 4, 3, 3), "u": drawn(6, 3, 4, 4)},
        lambda x, w, u: F.conv_transpose2d(F.conv2d(x, w, padding=1), u, stride=2, padding=1, groups=2),
        4,
    ),
    "pad_that_crops": File(
        (4, 8, 8),
        [CONV, node("Pad", ["c", "pp"], ["y"])],
        {"w": drawn(6, 4, 3, 3), "pp": np.array([0, 0, -1, -1, 0, 0, -1, -1])},
        lambda x, w, **_: F.conv2d(x, w, padding=1)[:, :, 1:-1, 1:-1],
        4,
    ),
    "nearest_by_0.6": File(
        (4, 20, 20),
        [CONV, node("Resize", ["c", "", "s"], ["y"], **RESIZE)],
        {"w": drawn(6, 4, 3, 3), "s": np.array([1, 1, 0.6, 0.6], np.float32)},
        nearest,
        4,
    ),
    "lstm_with_lengths": File(
        (12, 4),
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            node("LSTM", ["t", "W", "R", "B", "lens"], ["l"], hidden_size=5),
            node("Squeeze", ["l", "ax"], ["q"]),
            node("Transpose", ["q"], ["y"], perm=[1, 0, 2]),
        ],
        {"W": drawn(1, 20, 4), "R": drawn(1, 20, 5), "B": drawn(1, 40), "ax": np.array([1])},
        lstm,
        3,
        ("lens=2:int32:4..13",),
        [helper.make_tensor_value_info("lens", TensorProto.INT32, ["batch"])],
    ),
    "l1_norm": File(
        (4, 8),
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("LpNormalization", ["t"], ["y"], p=1, axis=-1)],
        {},
        lambda x: x.mT / x.mT.abs().sum(-1, keepdim=True),
        3,
    ),
}


def written(file: File, path: Path) -> Path:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *file.shape]), *file.further]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *[None] * (file.rank - 1)])
    weights = [numpy_helper.from_array(array, name) for name, array in file.weights.items()]
    graph = helper.make_graph(file.nodes, "net", inputs, [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("name", FILES)
def test_golden_values_are_right_and_the_file_passes(tmp_path: Path, name: str) -> None:
    file = FILES[name]
    dims = "x".join(map(str, (2, *file.shape)))
    dynamic = ("x:0=batch=1:2:4", *(["lens:0=batch"] if file.more else []))
    source = SourceOptions(inputs=(f"x={dims}", *file.more), dynamic=dynamic)
    path = written(file, tmp_path / "net.onnx")
    result = run(ExportOptions(path, out=tmp_path / "net.attn", precision="fp32", source=source))
    assert result.passed
    assert result.bundle is not None
    assert result.manifest.notes == ()
    assert all(record.gate.passed and record.figures.relative < 1e-6 for record in result.manifest.parity)
    weights = {key: torch.from_numpy(array).double() for key, array in file.weights.items()}
    cases = read_golden(result.bundle / "golden.npz")
    assert len({case.feeds["x"].shape[0] for case in cases}) > 1
    for case in cases:
        feeds = {key: torch.from_numpy(array).double() for key, array in case.feeds.items()}
        truth = file.truth(**feeds, **weights).numpy()
        np.testing.assert_allclose(case.reference["y"], truth, rtol=1e-10, atol=1e-12)


def test_a_kernel_that_differs_from_the_standard_is_named_before_the_verdict(tmp_path: Path) -> None:
    """ONNX Runtime leaves the dilation out of the padding of SAME and returns fewer windows."""
    pool = node(
        "MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[2], dilations=[2], auto_pad="SAME_UPPER", name="pool"
    )
    file = File((2, 9), [pool], {}, lambda x: x, 3)
    reporter = Silent()
    source = SourceOptions(inputs=("x=2x2x9",), dynamic=("x:0=batch=1:2:4",))
    with pytest.raises(StageError, match=r"verify: shapes .* cannot be compared"):
        run(
            ExportOptions(
                written(file, tmp_path / "net.onnx"), out=tmp_path / "net.attn", precision="fp32", source=source
            ),
            reporter,
        )
    assert [note for note in reporter.notes if "MaxPool" in note] == [
        "node 'pool' (MaxPool, opset 18): with auto_pad SAME, ONNX Runtime leaves the dilation out of the padding and returns fewer "
        "windows than the ceil(size / stride) of the standard"
    ]


def test_an_older_file_passes(tmp_path: Path) -> None:
    """Opset 8: Upsample has asymmetric coordinates, Softmax covers all axes from ``axis`` on."""
    weight = drawn(6, 4, 3, 3)
    nodes = [
        CONV,
        node("Upsample", ["c"], ["u"], mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]),
        node("Softmax", ["u"], ["y"], axis=1),
    ]
    file = File((4, 5, 6), nodes, {"w": weight}, lambda x: x, 4)
    path = written(file, tmp_path / "net.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 8
    model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [3, 3]))
    onnx.save(model, path)
    source = SourceOptions(inputs=("x=2x4x5x6",), dynamic=("x:0=batch=1:2:4",))
    result = run(ExportOptions(path, out=tmp_path / "net.attn", precision="fp16", source=source))
    assert result.passed
    assert result.bundle is not None
    for case in read_golden(result.bundle / "golden.npz"):
        image = F.conv2d(torch.from_numpy(case.feeds["x"]).double(), torch.from_numpy(weight).double(), padding=1)
        large = image.repeat_interleave(2, 2).repeat_interleave(3, 3)
        truth = large.flatten(1).softmax(1).reshape(large.shape).numpy()
        np.testing.assert_allclose(case.reference["y"], truth, rtol=1e-10, atol=1e-14)
