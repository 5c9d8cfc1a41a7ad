"""Weights beyond one ONNX file lie beside it in the bundle, which passes its gates, moves and opens like any other."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
import torch

import attnexport
from attnexport.errors import BundleError
from attnexport.export.stages import verification
from attnexport.export.stages.verification import compare_modules
from attnexport.runtime.check.check import check
from attnexport.runtime.sessions import large_model
from attnexport.runtime.sessions.open import open_session
from attnexport.runtime.sessions.ort import OrtSession


class Wide(torch.nn.Module):
    """Layers of ``width`` squared weights, added to what goes in."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width, bias=False) for _ in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        return x


def export(module, path, **options):
    x = torch.randn(2, module.layers[0].in_features)
    return attnexport.export(module.eval(), (x,), out=path, **options), x


def test_a_bundle_of_large_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(large_model, "ONE_FILE", 1 << 20)
    module = Wide(512, 2)
    bundle, x = export(module, tmp_path / "wide.attn", trt="rtx")
    files = bundle.manifest.files
    weights = {name: record.bytes for name, record in files.items() if record.role == "weights"}
    assert weights == {"model.onnx.data": 4 * 2 * 512 * 512, "model.fp16.onnx.data": 2 * 2 * 512 * 512}
    assert files["model.onnx"].bytes < 1 << 16
    assert any(record.role == "engine" and record.bytes > 1 << 20 for record in files.values())
    moved = tmp_path / "elsewhere" / "net.attn"
    shutil.copytree(tmp_path / "wide.attn", moved)
    shutil.rmtree(tmp_path / "wide.attn")
    assert check(moved).passed
    with attnexport.open(moved, backend="ort-cpu") as opened, torch.no_grad():
        (name,) = opened.output_names
        np.testing.assert_allclose(opened.run({opened.input_names[0]: x.numpy()})[name], module(x), atol=1e-5)
    data = moved / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(BundleError, match=r"model\.onnx\.data"):
        check(moved)


def test_a_small_model_keeps_its_weights_inside(tmp_path):
    bundle, _ = export(Wide(16, 2), tmp_path / "small.attn")
    assert not [name for name in bundle.manifest.files if name.endswith(".data")]


@pytest.mark.sweep
def test_more_than_two_gigabytes(tmp_path):
    module = Wide(8256, 8)
    assert sum(p.nbytes for p in module.parameters()) > 2**31
    bundle, x = export(module, tmp_path / "wide.attn", precision="fp16")
    assert bundle.manifest.files["model.onnx.data"].bytes > 2**31
    with attnexport.open(tmp_path / "wide.attn", backend="ort-cpu") as opened, torch.no_grad():
        (name,) = opened.output_names
        np.testing.assert_allclose(opened.run({opened.input_names[0]: x.numpy()})[name], module(x), atol=1e-4)
    light = onnx.load(tmp_path / "wide.attn" / "model.onnx", load_external_data=False)
    assert light.ByteSize() < 1 << 20


def test_sessions_of_the_verification_are_closed_before_modules_are_looked_into(tmp_path, monkeypatch):
    """Each holds the weights, and looking into a model opens others."""
    opened, still_open = [], []

    def counted(*given, **options):
        session = open_session(*given, **options)
        inside = session._session
        opened.append(inside if isinstance(inside, OrtSession) else inside._session)
        return session

    def looked(*given):
        still_open.append([session.bare for session in opened if session.bare is not None])
        return compare_modules(*given)

    monkeypatch.setattr(verification, "open_session", counted)
    monkeypatch.setattr(verification, "compare_modules", looked)
    export(Wide(16, 2), tmp_path / "small.attn", precision="fp16")
    assert len(opened) == 3 and still_open == [[]]
