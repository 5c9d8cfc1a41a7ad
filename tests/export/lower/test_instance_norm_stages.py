"""Instance norms of large maps: the definition in FP64, as exact as PyTorch, and left alone where the kernel is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.lower import EXACT, lower
from attnexport.export.options import read_options
from attnexport.export.pipeline import run
from attnexport.export.progress import Silent
from attnexport.export.recognise import Recognised
from attnexport.export.stages.rewrite import Plan, lower_for
from attnexport.export.verify.graphs import run_once
from attnexport.runtime.spec import Axis, TensorSpec

EPSILON = 1e-3


def norm(shape: tuple[int | str, ...]) -> onnx.ModelProto:
    """x -> InstanceNormalization with scales and biases, as the node ``net/norm``."""
    channels = int(shape[1])
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(rng.normal(1, 0.2, channels).astype(np.float32), name) for name in ("s", "b")]
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], name="net/norm", epsilon=EPSILON)
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y"))
    graph = helper.make_graph([node], "norm", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def in_stages(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> tuple[onnx.ModelProto, list[str]]:
    result = lower(model, ["ort-cpu", "tensorrt"], EXACT, shapes=shapes)
    return result.model, [applied.node for applied in result.applied]


def truth(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    scale, bias = (numpy_helper.to_array(w).reshape(1, -1, *[1] * (x.ndim - 2)) for w in model.graph.initializer)
    wide, axes = x.astype(np.float64), tuple(range(2, x.ndim))
    centred = wide - wide.mean(axes, keepdims=True)
    return centred * scale / np.sqrt((centred**2).mean(axes, keepdims=True) + EPSILON) + bias


def error(got: np.ndarray, true: np.ndarray) -> float:
    assert got.shape == true.shape
    return float(np.sqrt(np.mean((got - true) ** 2) / np.mean(true**2)))


SHAPES = [(2, 3, 128, 160), (1, 2, 64, 64, 64), (2, 3, 4096 * 10), (1, 2, 262144), (1, 1, 2**24)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_definition_to_pytorchs_exactness(shape: tuple[int, ...]) -> None:
    given = norm(shape)
    x = np.random.default_rng(0).normal(1, 1, shape).astype(np.float32)
    true = truth(given, x)
    before = given.SerializeToString()
    made, names = in_stages(given, {"x": shape})
    assert given.SerializeToString() == before
    assert names == ["net/norm"]
    onnx.checker.check_model(made, full_check=True)
    assert all(node.name.startswith("net/norm") for node in made.graph.node)
    weights = [torch.from_numpy(numpy_helper.to_array(w).copy()) for w in given.graph.initializer]
    theirs = torch.nn.functional.instance_norm(torch.from_numpy(x), weight=weights[0], bias=weights[1], eps=EPSILON)
    ours = error(run_once(made, {"x": x})["y"], true)
    assert ours < 2 * max(error(theirs.numpy(), true), 2.0**-24)
    assert ours < 2e-7


def test_the_kernel_is_what_the_file_says() -> None:
    """Where this fails, ONNX Runtime has a better kernel, and the file can go."""
    shape = (1, 1, 64, 64, 64)
    given = norm(shape)
    x = np.random.default_rng(0).normal(1, 1, shape).astype(np.float32)
    assert error(run_once(given, {"x": x})["y"], truth(given, x)) > 5e-7


def test_free_axes_stay_free() -> None:
    given = norm(("n", 2, "h", "w"))
    made, names = in_stages(given, {"x": (2, 2, 128, 128)})
    assert names
    for shape in ((1, 2, 128, 130), (3, 2, 5, 7)):
        x = np.random.default_rng(0).normal(1, 1, shape).astype(np.float32)
        assert error(run_once(made, {"x": x})["y"], truth(given, x)) < 2e-7


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        pytest.param((1, 2, 127, 128), (1, 2, 127, 128), id="small"),
        pytest.param(("n", 2, "l"), (1, 2, 65536), id="one free axis"),
        pytest.param((1, 2, 65537), (1, 2, 65537), id="prime"),
        pytest.param((1, 2, "h", "w"), None, id="unknown"),
    ],
)
def test_what_is_left_as_it_is(declared: tuple[int | str, ...], shape: tuple[int, ...] | None) -> None:
    given = norm(declared)
    made, names = in_stages(given, {} if shape is None else {"x": shape})
    assert [node.op_type for node in made.graph.node] == ["InstanceNormalization"]
    assert names == []


def test_the_fp32_model_alone_has_the_stages_and_says_so() -> None:
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "n"), *map(Axis.fixed, (2, 128, 128))))
    found = Recognised(norm(("n", 2, 128, 128)))
    full, half = lower_for(found, Plan.of(None, None, "fp16"), (spec,), False, Silent())
    assert half is not None
    kinds = [Counter(node.op_type for node in made.model.graph.node) for made in (full, half)]
    assert (kinds[0]["InstanceNormalization"], kinds[0]["ReduceMean"]) == (0, 4)
    assert (kinds[1]["InstanceNormalization"], kinds[1]["ReduceMean"]) == (1, 0)
    assert [(a.node, a.op, a.lowering) for a in full.applied] == [
        ("net/norm", "InstanceNormalization", "instance_norm_stages")
    ]
    assert half.applied == []


def test_tensorrt_builds_them(tmp_path: Path) -> None:
    made, _ = in_stages(norm(("n", 2, 48, 24, 24)), {"x": (2, 2, 48, 24, 24)})
    onnx.save(made, tmp_path / "norm.onnx")
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "n"), *map(Axis.fixed, (2, 48, 24, 24))))
    assert build_engine(tmp_path / "norm.onnx", (spec,), find_flavour("rtx"), EngineOptions(), {}, Silent()).plan


@pytest.mark.parametrize(
    ("factory", "kwargs", "shape"),
    [
        ("torch.nn:InstanceNorm3d", '{"num_features": 2, "affine": true}', "1x2x64x64x64"),
        ("torch.nn:GroupNorm", '{"num_groups": 2, "num_channels": 4}', "1x4x256x256"),
    ],
)
def test_a_norm_of_pytorch_passes_its_gate(tmp_path: Path, factory: str, kwargs: str, shape: str) -> None:
    result = run(
        read_options(
            model=None, factory=factory, kwargs=kwargs, random_weights=True, workspace=None, trt=None,
            inputs=[f"input={shape}"], dynamic=["input:0=1:1:2"], out=tmp_path / "net.attn", precision="fp32", keep_failed=True, gate=2.0,
        )
    )  # fmt: skip
    assert result.passed, result.failures
    (rewrite,) = result.manifest.rewrites
    assert (rewrite.op, rewrite.lowering) == ("InstanceNormalization", "instance_norm_stages")
