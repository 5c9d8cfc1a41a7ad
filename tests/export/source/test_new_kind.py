"""The recipe of docs/design.md for a new kind of input: one file and one line in ``READERS``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from attnexport.export.options import SourceOptions
from attnexport.export.pipeline import ExportOptions, run
from attnexport.export.source import ModuleSource, Reader, Source
from attnexport.export.source.sniff import FileContent, FileFormat
from attnexport.export.source.specs import resolve
from attnexport.runtime.bundle.bundle import StoredBundle

# The new file: a format, a function that reads it, and the reader. This kind stores one matrix behind eight letters.
MAGIC = b"LINEAR01"


def is_linear(content: FileContent) -> bool:
    return content.head.startswith(MAGIC)


def read_linear(path: Path, options: SourceOptions) -> Source:
    weight = torch.from_numpy(np.frombuffer(path.read_bytes(), np.float32, offset=len(MAGIC)).reshape(2, 3).copy())
    module = torch.nn.Linear(3, 2, bias=False).eval().requires_grad_(False)
    module.weight.copy_(weight)
    inputs, explicit = resolve(SourceOptions(inputs=("x=2x3",), dynamic=options.dynamic), None)
    return ModuleSource(
        kind="linear", name=path.stem, path=path, module=module, inputs=inputs, explicit_dynamic=explicit
    )


READER = Reader(FileFormat("linear file", is_linear), read_linear, has_architecture=True)


def test_a_made_up_kind_of_input_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "layer.bin"
    weight = np.arange(6, dtype=np.float32).reshape(2, 3) / 8
    path.write_bytes(MAGIC + weight.tobytes())
    readers = import_module("attnexport.export.source.load")
    monkeypatch.setattr(readers, "READERS", (READER, *readers.READERS))
    options = ExportOptions(model=path, out=tmp_path / "layer.attn", precision="fp32")
    manifest = StoredBundle.open(run(options).bundle).manifest
    assert (manifest.source.kind, manifest.source.file) == ("linear", "layer.bin")
    assert len(manifest.source.sha256) == 64
    assert [spec.describe() for spec in manifest.inputs] == ["x float32 [batch=1:2:16, 3]"]
    assert all(record.gate.passed for record in manifest.parity)
