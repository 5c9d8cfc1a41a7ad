"""An engine for other weights is refused without a GPU: by its record, and by what the plan itself says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.files.read import sha256_of
from attnexport.runtime.open.engine_fit import built_from, check_engine, network_name

ENGINE = "engines/a.engine"
MINE, OTHER = b"my model", b"another model"


def _sha(path: Path, content: bytes) -> str:
    (path / "hashed").write_bytes(content)
    return sha256_of(path / "hashed")


@pytest.fixture
def make(tmp_path: Path, plain: Manifest) -> Callable[..., tuple[StoredBundle, EngineRecord]]:
    def write(recorded: bytes, in_plan: bytes | None, model: str = "model.onnx") -> tuple[StoredBundle, EngineRecord]:
        tag = network_name(_sha(tmp_path, in_plan)).encode() if in_plan is not None else b""
        record = EngineRecord(
            ENGINE, "rtx", "1.7.1", "fp32", None, (), (), 1.0, 4, model=model, model_sha256=_sha(tmp_path, recorded)
        )
        with BundleWriter(tmp_path / "net.attn") as writer:
            (writer.path / "engines").mkdir()
            (writer.path / ENGINE).write_bytes(b"\0" * 500 + tag + b"\0" * 500)
            (writer.path / "model.onnx").write_bytes(MINE)
            bundle = writer.commit(replace(plain, engines=(record,)))
        return bundle, record

    return write


@pytest.mark.parametrize("in_plan", [MINE, None])
def test_an_engine_of_the_bundles_model_is_taken(
    make: Callable[..., tuple[StoredBundle, EngineRecord]], in_plan: bytes | None
) -> None:
    check_engine(*make(MINE, in_plan))


@pytest.mark.parametrize(
    ("recorded", "in_plan", "model", "problem"),
    [
        (OTHER, None, "model.onnx", "^engine 'engines/a.engine' was built from another model than 'model.onnx'"),
        (MINE, OTHER, "model.onnx", "^the plan of engine 'engines/a.engine' was built from another model"),
        (MINE, MINE, "gone.onnx", "was built from 'gone.onnx', which .* does not have"),
    ],
)
def test_an_engine_of_another_model_is_refused(
    make: Callable[..., tuple[StoredBundle, EngineRecord]],
    recorded: bytes,
    in_plan: bytes | None,
    model: str,
    problem: str,
) -> None:
    with pytest.raises(BundleError, match=problem):
        check_engine(*make(recorded, in_plan, model))


def test_a_plan_without_a_tag_has_no_model(tmp_path: Path) -> None:
    for content in (b"", b"plan", b"attnexport model sha256:xyz"):
        (tmp_path / "a.engine").write_bytes(content)
        assert built_from(tmp_path / "a.engine") is None
