"""Each contender separately: how it binds its inputs, and the outputs that it returns.

Without a GPU, ONNX Runtime's bindings are on the CPU, and the engine is a formula on a driver of host memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from attnexport.errors import StageError
from attnexport.export.bench.contenders import CONTENDERS, on_tensorrt
from attnexport.export.bench.contenders.on_ort import CPU, CUDA, BoundRunner
from attnexport.export.bench.contenders.on_tensorrt import TensorRtRunner
from attnexport.export.bench.measured_model import MeasuredModel
from attnexport.export.bench.site import Site
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.cuda import CudaContext, CudaDriver


@pytest.fixture
def site(small_bundle: Path, tmp_path: Path) -> Iterator[Site]:
    manifest = StoredBundle.open(small_bundle).manifest
    site = Site(
        MeasuredModel("small", small_bundle, tmp_path, manifest.inputs, manifest.outputs, None, "no model"), "cpu", 1
    )
    yield site
    site.close()


def feeds(batch: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(batch).standard_normal((batch, 8, 6)).astype(np.float32)}


def test_names_are_distinct_and_common_contenders_are_known() -> None:
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)
    common = {contender.name for contender in CONTENDERS if contender.common}
    assert common == {"eager", "compile", "plain", "attnexport", "openvino", "tensorrt"}


def test_a_typed_contender_needs_the_typed_model(site: Site) -> None:
    (half,) = (contender for contender in CONTENDERS if contender.name == "attnexport-fp16")
    assert half.absent(site) == "the bundle has no fp16 model"
    assert (half.precision(site), half.common) == ("float16", False)


def test_bound_inputs_give_the_outputs_of_the_session(site: Site) -> None:
    path = site.model.file("model-fp32")
    attnexport = next(contender for contender in CONTENDERS if contender.name == "attnexport")
    runner, plain = BoundRunner(path, site, "cpu", [(CPU, {})]), attnexport.open(site)
    for batch in (1, 5, 2):
        call, expected = runner.call(feeds(batch)), plain.call(feeds(batch)).outputs()
        call.run()
        outputs = call.outputs()
        assert outputs.keys() == expected.keys() == {"output"}
        np.testing.assert_array_equal(outputs["output"], expected["output"], strict=True)
    assert runner.notes == ()
    runner.close()
    plain.close()


def test_a_provider_that_does_not_start_is_an_error(site: Site) -> None:
    from attnexport.runtime.cuda import cuda_device

    if cuda_device() is not None:
        pytest.skip("the provider starts on this GPU")
    path = site.model.file("model-fp32")
    with pytest.raises(StageError, match="onnxruntime: "):
        BoundRunner(path, site, "cuda", [(CUDA, {}), (CPU, {})])


class Engine:
    """y = 2 x + 1 in FP16 for (1..4, 8, 6), as TensorRT's engine and execution context are called."""

    num_io_tensors = 2

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.shape = (0, 0, 0)
        self.streams: list[int] = []
        self.fails = False

    def get_tensor_name(self, i: int) -> str:
        return ("x", "output")[i]

    def get_tensor_dtype(self, name: str) -> str:
        return "half"

    def create_execution_context(self) -> Engine:
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return name == "x" and 1 <= shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.streams.append(stream)
        count = int(np.prod(self.shape))
        x, y = (
            np.frombuffer((ctypes.c_uint16 * count).from_address(self.addresses[n]), np.float16)
            for n in ("x", "output")
        )
        y[:] = 2 * x + 1
        return not self.fails


RECORD = EngineRecord("model.onnx", "rtx", "1.7.1", "fp16", None, (), (), 1.0, 9, {"tf32": False})
"""Any file of the bundle can be the plan."""


@pytest.fixture
def on_host(site: Site, host_driver: CudaDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A site whose GPU is the host, and a TensorRT that loads the formula."""
    engine = Engine()
    library: Any = SimpleNamespace(
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: None if engine.fails else engine),
        nptype=lambda kind: np.float16,
    )
    monkeypatch.setattr(on_tensorrt, "load_library", lambda flavour: library)
    monkeypatch.setattr(on_tensorrt, "collector", lambda module: SimpleNamespace(first=lambda: "TensorRT says no"))
    site.__dict__["cuda"] = CudaContext(host_driver)
    yield engine
    site.cuda.close()
    assert host_driver._library.test_live() == 0, "all memory is freed"


def test_an_engine_runs_on_the_stream_of_the_site(site: Site, on_host: Engine, host_driver: CudaDriver) -> None:
    runner = TensorRtRunner(RECORD, site)
    assert runner.notes == ("model.onnx computes in fp16, TF32 off",)
    for batch in (1, 4, 2):
        inputs = feeds(batch)
        call = runner.call(inputs)
        call.run()
        output = call.outputs()["output"]
        expected = (2 * inputs["x"].astype(np.float16) + np.float16(1)).astype(np.float32)
        np.testing.assert_array_equal(output, expected, strict=True)
        assert host_driver._library.test_live() == 2, "one input and one output; earlier calls are freed"
    assert set(on_host.streams) == {site.cuda.stream} and len(on_host.streams) == 6
    runner.close()


def test_the_error_of_an_engine_is_reported(site: Site, on_host: Engine) -> None:
    runner = TensorRtRunner(RECORD, site)
    with pytest.raises(StageError, match=r"model\.onnx does not take 'x' of shape \(5, 8, 6\): TensorRT says no"):
        runner.call(feeds(5))
    call = runner.call(feeds(2))
    on_host.fails = True
    with pytest.raises(StageError, match=r"model\.onnx failed: TensorRT says no"):
        call.run()
    runner.close()
    with pytest.raises(StageError, match=r"model\.onnx cannot be loaded: TensorRT says no"):
        TensorRtRunner(RECORD, site)
