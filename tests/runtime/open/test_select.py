"""A bundle opened by backend: what is chosen and why, one behaviour for right and wrong inputs, nothing said to run where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import ForeignEngineError, InputError, MissingBackendError, StageError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.cuda import cuda_device
from attnexport.runtime.open.select import BACKENDS, open_bundle
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.sessions.providers import Placement
from attnexport.runtime.spec import Axis, TensorSpec

no_gpu = pytest.mark.skipif(cuda_device() is not None, reason="a GPU is here")
Make = Callable[..., Path]
ENGINE = EngineRecord("engines/a.engine", "rtx", "1.2.0", "fp16", None, (), (), 1.0, 4)


@pytest.fixture
def make(tmp_path: Path, plain: Manifest, affine_model: Callable[..., bytes]) -> Make:
    """A bundle of y = x / 3 + 1 in FP32 and FP16; ``engines`` holds plans that nobody can load."""

    def write(engines: tuple[EngineRecord, ...] = (), half: bool = True, **changes: Any) -> Path:
        with BundleWriter(tmp_path / "net.attn") as writer:
            (writer.path / "model.onnx").write_bytes(affine_model(1 / 3))
            writer.add("model.onnx", "model-fp32")
            if half:
                (writer.path / "model.fp16.onnx").write_bytes(affine_model(1 / 3, half=True))
                writer.add("model.fp16.onnx", "model-fp16")
            for engine in engines:
                (writer.path / engine.file).parent.mkdir(exist_ok=True)
                (writer.path / engine.file).write_bytes(b"plan")
                writer.add(engine.file, "engine")
            writer.commit(replace(plain, engines=engines, **changes))
        return tmp_path / "net.attn"

    return write


def _x(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)


@no_gpu
def test_auto_is_onnx_runtime_where_nothing_else_is(make: Make) -> None:
    with open_bundle(make()) as session:
        assert (session.backend, session.file, session.how) == ("ort-cpu", "model.onnx", "onnxruntime, CPU")
        assert session.notes == ()
        assert [spec.describe() for spec in session.inputs] == ["x float32 [batch=1:2:4, 3]"]
        assert (session.input_names, session.output_names, session.placement) == (("x",), ("y",), None)
        for batch in (1, 4, 2, 2):
            got = session.run({"x": _x(batch)})
            assert list(got) == ["y"]
            np.testing.assert_allclose(got["y"], _x(batch) / 3 + 1, rtol=1e-6, strict=True)
        assert repr(session) == "<model.onnx on onnxruntime, CPU: x float32 [batch=1:2:4, 3] -> y>"
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": _x(1)})
    with pytest.raises(RuntimeError, match="closed"):
        _ = session.session


@no_gpu
def test_auto_reports_why_an_engine_does_not_run(make: Make) -> None:
    with open_bundle(make((ENGINE,))) as session:
        assert session.backend == "ort-cpu"
        assert session.notes == (
            "engines/a.engine needs a GPU and there is none: ONNX Runtime on the CPU",
        )  # fmt: skip


@pytest.mark.parametrize("backend", ["auto", "tensorrt", "tensorrt-rtx"])
def test_a_foreign_engine_is_refused_before_the_library_sees_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: ("NVIDIA L4", "8.9"))
    monkeypatch.setattr("attnexport.runtime.open.select.TensorRTSession", lambda *_, **__: pytest.fail("it was loaded"))
    path = make((ENGINE,))
    with pytest.raises(ForeignEngineError) as caught:
        open_bundle(path, backend)
    assert "was made for TensorRT-RTX 1.2.0" in caught.value.problem
    assert "on NVIDIA L4, compute capability 8.9: another version" in caught.value.problem
    assert f"attnexport rebuild {path}" in caught.value.remedy
    assert ("backend='ort-cuda'" in caught.value.remedy) == (backend == "auto")


def test_an_engine_that_fits_is_taken_before_one_that_does_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    opened: list[tuple[str, str, bool]] = []

    class Session:
        input_names, output_names = ("x",), ("y",)
        input_dtypes, output_dtypes = {"x": "float32"}, {"y": "float32"}

        def __init__(self, path: Path, flavour: str, *, cuda_graph: bool, cache: Path) -> None:
            opened.append((path.name, flavour, cuda_graph))

        def run(self, feeds: Any) -> dict[str, np.ndarray]:
            return {"y": np.asarray(feeds["x"])}

    monkeypatch.setattr("attnexport.runtime.open.engine_fit.cuda_device", lambda: ("NVIDIA L4", "8.9"))
    monkeypatch.setattr("attnexport.runtime.open.select.TensorRTSession", Session)
    fitting = replace(ENGINE, file="engines/b.engine", version=rtx.__version__)
    session = open_bundle(make((ENGINE, fitting)), cuda_graph=True)
    assert opened == [("b.engine", "rtx", True)]
    assert (session.backend, session.file) == ("tensorrt-rtx", "engines/b.engine")
    assert session.how == f"TensorRT-RTX {rtx.__version__}, NVIDIA L4"


@no_gpu
@pytest.mark.parametrize(
    ("engines", "backend", "kind", "words"),
    [
        ((ENGINE,), "tensorrt-rtx", MissingBackendError, r"engines/a\.engine needs an NVIDIA GPU and there is none"),
        ((), "tensorrt", InputError, r"has no engine\. build one with: attnexport rebuild \S+net\.attn"),
        ((), "ort-cuda", MissingBackendError, "CUDAExecutionProvider"),
        ((), "torch", InputError, "a bundle has no PyTorch module"),
        ((), "gpu", InputError, r"backend 'gpu' is not known\. use one of auto, ort-cpu, ort-cuda, ort-tensorrt"),
    ],
)
def test_a_bundle_that_cannot_be_opened_is_refused_with_a_remedy(
    make: Make, engines: Any, backend: str, kind: Any, words: str
) -> None:
    with pytest.raises(kind, match=words):
        open_bundle(make(engines), backend)


def test_precision_chooses_the_model(make: Make) -> None:
    path = make()
    with open_bundle(path, "ort-cpu", precision="fp16") as session:
        assert session.file == "model.fp16.onnx"
        np.testing.assert_allclose(session.run({"x": _x(2)})["y"], _x(2) / 3 + 1, rtol=2e-3)
    with open_bundle(path, "emulated") as session:
        assert (session.file, session.backend) == ("model.fp16.onnx", "emulated")
    with pytest.raises(InputError, match=r"has no bf16 model\. it has fp32, fp16"):
        open_bundle(path, precision="bf16")
    with pytest.raises(InputError, match=r"precision 'half' is not known\. use one of fp32, fp16"):
        open_bundle(path, precision="half")


def test_a_bundle_without_a_small_model_has_nothing_to_emulate(make: Make) -> None:
    with pytest.raises(InputError, match="has no 16-bit model to emulate"):
        open_bundle(make(half=False), "emulated")


def test_a_bundle_of_several_graphs_is_opened_by_part(tmp_path: Path, plain: Manifest) -> None:
    bundle = StoredBundle(tmp_path, replace(plain, parts={"encoder": "encoder", "step": "step"}))
    with pytest.raises(InputError, match=r"has several graphs, encoder, step.*open one of them, .*/encoder, or decode"):
        open_bundle(bundle)


WRONG: list[tuple[Any, str]] = [
    ({}, r"input 'x' is missing\. the model takes x"),
    ({"x": _x(2), "z": _x(2)}, r"input 'z' is not known\. the model takes x"),
    ({"x": _x(2).astype(float)}, r"input 'x' has dtype float64\. give float32"),
    ({"x": _x(2)[0]}, r"input 'x' has rank 1\. give rank 2"),
    ({"x": np.zeros((2, 4), np.float32)}, r"axis 1 of input 'x' has size 4\. it takes x float32 \[batch=1:2:4, 3\]"),
    ({"x": _x(5)}, r"axis 0 of input 'x' has size 5\. it takes x float32 \[batch=1:2:4, 3\]"),
    ({"x": [[1.0, 2.0, 3.0]]}, r"input 'x' is a list and no array"),
]


@pytest.mark.parametrize("backend", ["ort-cpu", "emulated"])
@pytest.mark.parametrize(("feeds", "words"), WRONG)
def test_wrong_inputs_are_named_alike_by_every_backend(make: Make, backend: str, feeds: Any, words: str) -> None:
    with open_bundle(make(), backend) as session:
        with pytest.raises(InputError, match=words):
            session.run(feeds)
        np.testing.assert_allclose(session.run({"x": _x(2)})["y"], _x(2) / 3 + 1, rtol=2e-3)


def test_axes_of_one_symbol_have_one_size_though_onnx_runtime_would_not_say(tmp_path: Path, plain: Manifest) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]> g (float[n, 2] a, float[m, 2] b) => (float[k, 2] y)
        { y = Concat <axis = 0> (a, b) }"""
    )
    batch = Axis(1, 2, 4, "batch")
    specs = tuple(TensorSpec(name, "float32", (batch, Axis.fixed(2))) for name in "ab")
    with BundleWriter(tmp_path / "two.attn") as writer:
        onnx.save(model, writer.path / "model.onnx")
        writer.add("model.onnx", "model-fp32")
        output = TensorSpec("y", "float32", (Axis(2, 4, 8, "out"), Axis.fixed(2)))
        writer.commit(replace(plain, inputs=specs, outputs=(output,)))
    a, b = np.ones((2, 2), np.float32), np.zeros((3, 2), np.float32)
    with open_bundle(tmp_path / "two.attn") as session:
        assert session.run({"a": a, "b": b[:2]})["y"].shape == (4, 2)
        with pytest.raises(InputError, match=r"axis 0 of input 'b' has size 3 where 'batch' is 2"):
            session.run({"a": a, "b": b})


def test_tensors_of_other_libraries_are_read_without_a_copy(make: Make) -> None:
    torch = pytest.importorskip("torch")
    with open_bundle(make(), "ort-cpu") as session:
        tensor = torch.from_numpy(_x(2))
        np.testing.assert_allclose(session.run({"x": tensor})["y"], _x(2) / 3 + 1, rtol=1e-6)
        assert session._admitted({"x": tensor})["x"].ctypes.data == tensor.data_ptr()
        with pytest.raises(InputError, match=r"input 'x' cannot be read as an array: .*gradient.*\. detach it"):
            session.run({"x": tensor.clone().requires_grad_()})


def test_inputs_are_cast_for_a_model_with_fp16_inputs(tmp_path: Path, plain: Manifest) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]> g (float16[batch, 3] x) => (float16[batch, 3] y) { y = Neg(x) }"""
    )
    with BundleWriter(tmp_path / "half.attn") as writer:
        onnx.save(model, writer.path / "model.fp16.onnx")
        writer.add("model.fp16.onnx", "model-fp16")
        writer.commit(plain)
    with open_bundle(tmp_path / "half.attn", precision="fp16") as session:
        got = session.run({"x": _x(2)})["y"]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, -_x(2), rtol=1e-3)


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class _OnGpu(OrtSession):
    """ONNX Runtime on the CPU, with the placement that a GPU session has when GridSample stays on the CPU."""

    def __init__(self, model: Path, **options: Any) -> None:
        super().__init__(model)
        self.placement = Placement({CUDA: {"Conv": 9, "Relu": 8}, CPU: {"GridSample": 2, "Shape": 1}})


def test_a_gpu_session_reports_nodes_on_the_cpu(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnexport.runtime.open.select.OrtSession", _OnGpu)
    path = make()
    said = "model.fp16.onnx by CUDA: 3 of 20 nodes run on the CPU: GridSample (2), Shape"
    with open_bundle(path, "ort-cuda") as session:
        assert session.notes == (said,)
        assert session.how == "onnxruntime, CUDA 17, CPU 3"
        assert session.placement is not None
        assert session.placement.total(CUDA) == 17
    with pytest.raises(StageError) as caught:
        open_bundle(path, "ort-cuda", strict=True)
    assert said in caught.value.problem


def test_every_backend_is_documented_or_refused() -> None:
    assert BACKENDS == (
        "auto", "ort-cpu", "ort-cuda", "ort-tensorrt", "ort-tensorrt-rtx", "tensorrt", "tensorrt-rtx", "emulated", "torch",
    )  # fmt: skip
