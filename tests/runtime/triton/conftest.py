"""Bundles of one affine model, y = 2 x + 1 on rows of three, and repositories of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.runtime.golden import GoldenCase, write_golden
from attnexport.runtime.manifest import Manifest
from attnexport.runtime.writer import BundleWriter

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient, which reads and writes Triton's configurations")

BundleMaker = Callable[..., Path]


@pytest.fixture
def affine_bundle(tmp_path: Path, plain: Manifest, affine_model: Callable[..., bytes]) -> BundleMaker:
    """``affine_bundle(name, scale, half=False, golden_rows=2, files={}, **changes)``: y = scale x + 1, batches of 1 to 4."""

    def make(
        name: str = "net",
        scale: float = 2.0,
        half: bool = False,
        files: dict[str, tuple[bytes, str]] | None = None,
        **changes: Any,
    ) -> Path:
        destination = tmp_path / f"{name}.attn"
        with BundleWriter(destination) as writer:
            (writer.path / "model.onnx").write_bytes(affine_model(scale))
            writer.add("model.onnx", "model-fp32")
            if half:
                (writer.path / "model.fp16.onnx").write_bytes(affine_model(scale, True))
                writer.add("model.fp16.onnx", "model-fp16")
            for file, (content, role) in (files or {}).items():
                (writer.path / file).parent.mkdir(exist_ok=True)
                (writer.path / file).write_bytes(content)
                writer.add(file, role)
            x = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
            write_golden(
                writer.path / "golden.npz", [GoldenCase("opt", {"x": x}, {"y": x.astype(np.float64) * scale + 1})]
            )
            writer.commit(replace(plain, **changes), roles={"golden.npz": "golden"})
        return destination

    return make
