"""ONNX Runtime behind the session protocol: what it takes and gives, and its errors in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import AttnexportError, InputError, MissingBackendError, StageError
from attnexport.runtime.sessions import Session
from attnexport.runtime.sessions.ort import OrtSession

onnx = pytest.importorskip("onnx")


@pytest.fixture
def model(affine_model: Callable[[float], bytes]) -> bytes:
    return affine_model(2.0)


def test_it_runs_by_name_and_tells_names_and_dtypes(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for source in (model, tmp_path / "model.onnx", str(tmp_path / "model.onnx")):
        with OrtSession(source, threads=1) as opened:
            session: Session = opened
            assert (session.input_names, session.output_names) == (("x",), ("y",))
            assert (opened.input_dtypes, opened.output_dtypes) == ({"x": "float32"}, {"y": "float32"})
            np.testing.assert_array_equal(session.run({"x": x})["y"], x * 2 + 1, strict=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"])
def test_every_border_dtype_has_its_numpy_name(dtype: str) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [onnx.helper.make_tensor_value_info(n, kind, [2]) for n in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    session = OrtSession(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())
    assert (session.input_dtypes, session.output_dtypes) == ({"x": dtype}, {"y": dtype})
    given = np.array([0, 1]).astype(dtype)
    np.testing.assert_array_equal(session.run({"x": given})["y"], given, strict=True)


@pytest.mark.parametrize(
    ("feeds", "kind", "words"),
    [
        ({}, InputError, "takes x, not nothing"),
        ({"z": np.zeros((1, 3), np.float32)}, InputError, "takes x, not z"),
        ({"x": np.zeros((1, 4), np.float32)}, StageError, "invalid dimensions"),
        ({"x": np.zeros((1, 3))}, StageError, "tensor(double)"),
    ],
)
def test_feeds_that_do_not_fit_are_one_line(
    model: bytes, feeds: dict[str, np.ndarray], kind: type[AttnexportError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        OrtSession(model).run(feeds)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "[ONNXRuntimeError]" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x00" * 100])
def test_an_invalid_model_is_reported_in_one_line_with_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(StageError, match=r"onnxruntime: broken\.onnx cannot be loaded: ") as caught:
        OrtSession(tmp_path / "broken.onnx")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_the_users() -> None:
    with pytest.raises(InputError, match=r"gone\.onnx does not exist"):
        OrtSession("gone.onnx")


def test_a_provider_that_cannot_start_is_an_error_and_no_silent_fallback(model: bytes) -> None:
    with pytest.raises(MissingBackendError, match="has no NoSuchExecutionProvider"):
        OrtSession(model, providers=("NoSuchExecutionProvider",))
    from attnexport.runtime.cuda import cuda_device

    if cuda_device() is None:
        with pytest.raises(MissingBackendError, match="CUDAExecutionProvider"):
            OrtSession(model, providers=("CUDAExecutionProvider", "CPUExecutionProvider"))


@pytest.mark.parametrize(("optimize", "level"), [(True, "ORT_ENABLE_ALL"), (False, "ORT_DISABLE_ALL")])
def test_the_options_reach_onnxruntime(model: bytes, optimize: bool, level: str) -> None:
    options = OrtSession(model, optimize=optimize, threads=1)._session.get_session_options()
    assert options.graph_optimization_level.name == level
    assert options.intra_op_num_threads == 1


def test_a_closed_session_raises(model: bytes) -> None:
    session = OrtSession(model)
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": np.zeros((1, 3), np.float32)})
