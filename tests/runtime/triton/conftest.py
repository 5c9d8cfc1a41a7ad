"""Bundles of one affine model, y = 2 x + 1 on rows of three, and repositories of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import DecodeRecord
from attnexport.runtime.bundle.writer import BundleFolder, BundleWriter
from attnexport.runtime.spec import Axis, TensorSpec

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient, which reads and writes Triton's configurations")

BundleMaker = Callable[..., Path]


@pytest.fixture
def affine_bundle(tmp_path: Path, plain: Manifest, affine_model: Callable[..., bytes]) -> BundleMaker:
    """``affine_bundle(name, scale, half, files, feeds, shift, **changes)``: y = scale x + 1 in batches of 1 to 4."""

    def make(
        name: str = "net",
        scale: float = 2.0,
        half: bool = False,
        files: dict[str, tuple[bytes, str]] | None = None,
        feeds: dict[str, np.ndarray] | None = None,
        shift: float = 0.0,
        **changes: Any,
    ) -> Path:
        destination = tmp_path / f"{name}.attn"
        with BundleWriter(destination, replace=True) as writer:
            (writer.path / "model.onnx").write_bytes(affine_model(scale))
            writer.add("model.onnx", "model-fp32")
            if half:
                (writer.path / "model.fp16.onnx").write_bytes(affine_model(scale, True))
                writer.add("model.fp16.onnx", "model-fp16")
            for file, (content, role) in (files or {}).items():
                (writer.path / file).parent.mkdir(exist_ok=True)
                (writer.path / file).write_bytes(content)
                writer.add(file, role)
            x = np.arange(12, dtype=np.float32).reshape(4, 3) / 7 + np.float32(shift)
            cases = [
                GoldenCase(n, {"x": rows}, {"y": rows.astype(np.float64) * scale + 1})
                for n, rows in (("opt", x[:2]), ("max", x))
            ]
            if feeds is not None:
                cases = [GoldenCase("opt", feeds, {"y": np.zeros(1)})]
            write_golden(writer.path / "golden.npz", cases)
            writer.commit(replace(plain, **changes), roles={"golden.npz": "golden"})
        return destination

    return make


_ENCODER = """<ir_version: 9, opset_import: ["" : 18]>
encoder (int64[batch, 4] source) => (float[batch, 4] memory, float[batch, 1] state)
<int64[1] last = {1}> {
  memory = Cast<to = 1>(source)
  state = ReduceMean(memory, last)
}"""
_STEP = """<ir_version: 9, opset_import: ["" : 18]>
step (int64[batch] token, float[batch, 4] memory, float[batch, 1] state) => (float[batch, 6] logits, float[batch, 1] next_state) {
  known = Gather(table, token)
  seen = MatMul(memory, weight)
  moved = Mul(state, drift)
  both = Add(known, seen)
  logits = Add(both, moved)
  next_state = Mul(state, fade)
}"""
BATCH = Axis(1, 2, 6, "batch")
SOURCE = TensorSpec("source", "int64", (BATCH, Axis.fixed(4)), low=0, high=9)
MEMORY, STATE = (TensorSpec(name, "float32", (BATCH, Axis.fixed(size))) for name, size in (("memory", 4), ("state", 1)))
STEP = (
    (TensorSpec("token", "int64", (BATCH,), low=0, high=6), MEMORY, STATE),
    (TensorSpec("logits", "float32", (BATCH, Axis.fixed(6))), replace(STATE, name="next_state")),
)


@pytest.fixture
def sequence_bundle(tmp_path: Path, plain: Manifest) -> Path:
    """``words.attn``: a language of six words, whose next depends on the last, the source (N, 4), and a state that fades."""
    onnx = pytest.importorskip("onnx")
    draw = np.random.default_rng(23).normal
    values = {
        "table": draw(size=(6, 6)) * 2,
        "weight": draw(size=(4, 6)) / 4,
        "drift": draw(size=(1, 6)),
        "fade": [0.5],
    }
    sources = np.random.default_rng(4).integers(0, 9, (5, 4))
    path = tmp_path / "words.attn"
    with BundleWriter(path) as writer:
        graphs = {"encoder": (_ENCODER, (SOURCE,), (MEMORY, STATE)), "step": (_STEP, *STEP)}
        for part, (text, inputs, outputs) in graphs.items():
            model = onnx.parser.parse_model(text)
            if part == "step":
                arrays = [onnx.numpy_helper.from_array(np.array(v, np.float32), name) for name, v in values.items()]
                model.graph.initializer.extend(arrays)
            folder = BundleFolder(writer.path / part, part)
            folder.path.mkdir()
            (folder.path / "model.onnx").write_bytes(model.SerializeToString())
            feeds = {s.name: np.ones((2, *s.shape("opt")[1:]), s.numpy_dtype) for s in inputs}
            truth = {s.name: np.zeros((2, *s.shape("opt")[1:])) for s in outputs}
            write_golden(folder.path / "golden.npz", [GoldenCase("opt", feeds, truth)])
            roles = {"model.onnx": "model-fp32", "golden.npz": "golden"}
            folder.seal(replace(plain, name=part, inputs=inputs, outputs=outputs), roles)
        decode = DecodeRecord(0, 1, 2, 5, ("memory",), {"state": "next_state"})
        truth = {"tokens": np.ones((5, 5), np.int64), "margins": np.zeros((5, 5))}
        write_golden(writer.path / "golden.npz", [GoldenCase("sources", {"source": sources}, truth)])
        whole = replace(plain, name="words", inputs=(SOURCE,), outputs=(), parts={p: p for p in graphs}, decode=decode)
        roles = {f"{part}/{file}": "part" for part in graphs for file in ("model.onnx", "golden.npz", "manifest.json")}
        writer.commit(whole, {**roles, "golden.npz": "golden"})
    return path
