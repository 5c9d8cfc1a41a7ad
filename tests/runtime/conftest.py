"""What the runtime's tests share: a manifest with every section filled, and a real ONNX model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnexport.runtime.figures import Figures, Gate, ParityRecord
from attnexport.runtime.golden import GoldenCase, write_golden
from attnexport.runtime.manifest import Manifest
from attnexport.runtime.sections import (
    AttentionRecord,
    DecodeAgreement,
    DecodeRecord,
    EngineRecord,
    Gpu,
    KeptNode,
    Precision,
    RewriteRecord,
    Source,
    StageRecord,
)
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.writer import BundleWriter

BATCH = Axis(1, 2, 4, "batch")


@pytest.fixture
def plain() -> Manifest:
    """A manifest with nothing optional in it."""
    return Manifest(
        name="net",
        created="2026-11-05T10:00:00+00:00",
        source=Source("checkpoint", "net.pt", "0" * 64),
        tools={"attnexport": "0.1.0"},
        gpu=None,
        inputs=(TensorSpec("x", "float32", (BATCH, Axis.fixed(3))),),
        outputs=(TensorSpec("y", "float32", (BATCH, Axis.fixed(3))),),
        task=None,
    )


@pytest.fixture
def full(plain: Manifest) -> Manifest:
    """A manifest with every section filled; its files are ``model.onnx`` and ``engines/net.plan``."""
    from dataclasses import replace

    from attnexport.runtime.sections import FileRecord

    figures = Figures(1e-7, 3e-7, 2e-7, 1.0, 0.5, 24)
    return replace(
        plain,
        source=Source("state-dict", "net.pth", "a" * 64, "digits_sasa", ("prefix module. stripped",)),
        gpu=Gpu("NVIDIA L4", "8.9"),
        task="classification",
        files={
            "model.onnx": FileRecord("b" * 64, 10, "model-fp32"),
            "engines/net.plan": FileRecord("c" * 64, 20, "engine"),
        },
        stages=(StageRecord("capture", 1.5, {"nodes": 12}),),
        rewrites=(
            RewriteRecord("attn/Im2Col", "Im2Col", "one-hot", ("ort", "tensorrt"), {"slices": "k > 7"}, "attn", "a:3"),
        ),
        operators={"model.onnx": {"Conv": 3, "Softmax": 1}},
        precision=Precision((KeptNode("attn/Softmax", "attn", "softmax over 65536 keys"),), {"float16": 4}),
        engines=(
            EngineRecord(
                "engines/net.plan", "rtx", "1.7.1", "float16", None, ({"x": {"min": [1, 3]}},), ({"Name": "l"},), 2.0, 9
            ),
        ),
        parity=(
            ParityRecord(
                "onnx-fp32", "model.onnx", "float32", "y", figures,
                Gate.judge(figures, own_rms=1e-7, precision="float32", factor=2.0), 1e-7, {"top1": {"agreement": 1.0}},
            ),
        ),
        attention=(AttentionRecord("attention.mixer", "mixer", "LocalRelation", "window", {"stride": 2}),),
        decode=DecodeRecord(
            1, 2, 0, 30, ("memory",), {"hidden": "next_hidden"}, "samples",
            (
                DecodeAgreement(
                    "onnx-fp16", {"step": "parts/step/model.fp16.onnx"}, "float16", 1, 8, 7, 90, 88, 1, 1e-3, 2.0, True
                ),
            ),
        ),
        notes=("no GPU",),
    )  # fmt: skip


@pytest.fixture
def make_bundle(tmp_path: Path, plain: Manifest) -> Callable[[], Path]:
    """Writes ``net.attn`` with a model (any bytes), a file in a folder, and golden cases; returns its path."""

    def make() -> Path:
        destination = tmp_path / "net.attn"
        with BundleWriter(destination) as writer:
            (writer.path / "model.onnx").write_bytes(b"model")
            (writer.path / "engines").mkdir()
            (writer.path / "engines" / "net.plan").write_bytes(b"plan")
            x = np.arange(6, dtype=np.float32).reshape(2, 3)
            write_golden(writer.path / "golden.npz", [GoldenCase("opt", {"x": x}, {"y": x.astype(np.float64) / 3})])
            writer.add("model.onnx", "model-fp32")
            writer.add("engines/net.plan", "engine")
            writer.commit(plain, roles={"golden.npz": "golden"})
        return destination

    return make


@pytest.fixture
def affine_model() -> Callable[..., bytes]:
    """``affine_model(scale)`` is the ONNX model y = scale * x + 1 on (batch, 3), float32 at its border."""
    onnx = pytest.importorskip("onnx")
    h = onnx.helper

    def build(scale: float, half: bool = False) -> bytes:
        inner = np.float16 if half else np.float32
        constants = [onnx.numpy_helper.from_array(np.array([v], inner), n) for n, v in (("scale", scale), ("one", 1.0))]
        nodes = [
            h.make_node("Cast", ["x"], ["xi"], to=h.np_dtype_to_tensor_dtype(np.dtype(inner))),
            h.make_node("Mul", ["xi", "scale"], ["m"]),
            h.make_node("Add", ["m", "one"], ["yi"]),
            h.make_node("Cast", ["yi"], ["y"], to=onnx.TensorProto.FLOAT),
        ]
        values = [h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 3]) for n in "xy"]
        graph = h.make_graph(nodes, "affine", values[:1], values[1:], constants)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
        return bytes(model.SerializeToString())

    return build
