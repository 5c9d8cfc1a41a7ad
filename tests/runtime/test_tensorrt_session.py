"""What the engine session does around TensorRT, over a driver of host memory: profiles, buffers, graphs, threads, zero copies, the cache.

The real library and driver are exercised by the tests marked gpu in test_tensorrt.py.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError, InputError
from attnexport.runtime.cuda import CudaDriver
from attnexport.runtime.sessions import dlpack
from attnexport.runtime.sessions.tensorrt import TensorRTSession

PLAIN = [((1, 3), (2, 3), (8, 3))]
TWO = [((1, 3), (1, 3), (4, 3)), ((2, 3), (8, 3), (16, 3))]


def _host_module() -> Any:
    spec = importlib.util.spec_from_file_location("host_tensorrt", Path(__file__).with_name("host_tensorrt.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["host_tensorrt"] = module
    spec.loader.exec_module(module)
    return module


HOST = _host_module()
Open = Callable[..., tuple[TensorRTSession, Any]]


@pytest.fixture
def driver(host_driver: str) -> CudaDriver:
    return CudaDriver(host_driver)


@pytest.fixture
def opened(driver: CudaDriver, monkeypatch: pytest.MonkeyPatch) -> Open:
    """``opened(profiles, rtx=..., **options)``: a session over y = 3 x, and what it has done so far."""
    monkeypatch.setattr("attnexport.runtime.sessions.tensorrt.CudaDriver", lambda: driver)

    def make(
        profiles: list[Any] = PLAIN, *, rtx: bool = False, fixed: Any = None, **options: Any
    ) -> tuple[TensorRTSession, Any]:
        seen = HOST.Seen()
        module = HOST.library(HOST.Engine(3.0, profiles, driver._library, seen, fixed), rtx=rtx)
        monkeypatch.setattr("attnexport.runtime.sessions.tensorrt.load_library", lambda flavour: module)
        return TensorRTSession(b"plan", "rtx" if rtx else "enterprise", **options), seen

    return make


def _x(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + batch).normal(size=(batch, 3)).astype(np.float32)


def _freed(driver: CudaDriver) -> bool:
    gc.collect()
    library = driver._library
    return (library.test_live(), library.test_contexts(), library.test_pinned(), library.test_graphs()) == (0, 0, 0, 0)


def test_results_are_correct_and_all_memory_is_freed(opened: Open, driver: CudaDriver) -> None:
    session, _ = opened()
    assert (session.input_names, session.output_names) == (("x",), ("y",))
    assert (session.input_dtypes, session.output_dtypes) == ({"x": "float32"}, {"y": "float32"})
    with session:
        first = session.run({"x": _x(2)})["y"]
        second = session.run({"x": _x(8)})["y"]
        np.testing.assert_array_equal(first, 3 * _x(2), strict=True)  # not overwritten by the second run
        np.testing.assert_array_equal(second, 3 * _x(8), strict=True)
    assert _freed(driver)
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": _x(2)})


def test_buffers_are_made_once_for_the_largest_shapes(opened: Open, driver: CudaDriver) -> None:
    session, seen = opened()
    session.run({"x": _x(1)})
    held, bound = driver._library.test_live(), len(seen.addresses)
    for batch in (8, 2, 5):
        session.run({"x": _x(batch)})
    assert driver._library.test_live() == held == 2
    assert len(seen.addresses) == bound == 2, "the same addresses all the time"
    session.close()


@pytest.mark.parametrize(
    ("batch", "chosen"),
    [
        pytest.param(1, [], id="only the first holds it"),
        pytest.param(2, [], id="both hold it, the first was tuned nearer"),
        pytest.param(4, [1], id="both hold it, the second was tuned nearer"),
        pytest.param(16, [1], id="only the second holds it"),
    ],
)
def test_the_profile_that_fits_best_is_used(opened: Open, batch: int, chosen: list[int]) -> None:
    session, seen = opened(TWO)
    np.testing.assert_array_equal(session.run({"x": _x(batch)})["y"], 3 * _x(batch))
    session.run({"x": _x(batch)})
    assert seen.profiles == chosen
    np.testing.assert_array_equal(session.run({"x": _x(1)})["y"], 3 * _x(1))
    session.close()


def test_an_engine_of_fixed_shapes_has_no_profile_of_its_own(opened: Open) -> None:
    session, seen = opened([((2, 3),) * 3], fixed=(2, 3))
    np.testing.assert_array_equal(session.run({"x": _x(2)})["y"], 3 * _x(2))
    with pytest.raises(InputError, match=r"has shape \(1, 3\)\. keep to what the engine was built for: \(2, 3\)"):
        session.run({"x": _x(1)})
    assert seen.profiles == []
    session.close()


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({"x": _x(9)}, r"input 'x' of the engine has shape \(9, 3\)\. keep to .* built for: \(1\.\.8, 3\)"),
        ({"x": np.zeros((2, 3))}, r"input 'x' of the engine has dtype float64\. give float32"),
        ({}, "the engine takes x, not nothing"),
        ({"x": _x(1), "z": _x(1)}, "the engine takes x, not x, z"),
        ({"x": [1.0]}, "input 'x' is a list and no array"),
    ],
)
def test_wrong_inputs_are_named_and_do_no_harm(opened: Open, feeds: dict[str, Any], words: str) -> None:
    session, _ = opened()
    with pytest.raises(InputError, match=words):
        session.run(feeds)
    np.testing.assert_array_equal(session.run({"x": _x(2)})["y"], 3 * _x(2))
    session.close()


def test_a_plan_that_is_refused_leaves_nothing_behind(
    opened: Open, driver: CudaDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened()[0].close()
    with pytest.raises(BundleError, match=r"cannot be loaded by tensorrt 11\.1\.0 on NVIDIA Host, .* 12\.1: bad magic"):
        TensorRTSession(b"junk", "enterprise")
    assert _freed(driver)


def test_a_graph_is_recorded_for_shapes_that_come_again_and_replayed(opened: Open, driver: CudaDriver) -> None:
    session, seen = opened(cuda_graph=True)
    launched = driver._library.test_launches()
    for seed in range(5):  # as it is, recorded and launched, launched …
        np.testing.assert_array_equal(session.run({"x": _x(2, seed)})["y"], 3 * _x(2, seed))
    assert (seen.executions, driver._library.test_launches() - launched) == (2, 4)
    np.testing.assert_array_equal(session.run({"x": _x(4)})["y"], 3 * _x(4))
    assert driver._library.test_graphs() == 0, "another shape is another graph"
    np.testing.assert_array_equal(session.run({"x": _x(2)})["y"], 3 * _x(2))
    session.close()
    assert _freed(driver)


def test_without_graphs_every_run_is_executed(opened: Open, driver: CudaDriver) -> None:
    session, seen = opened()
    launched = driver._library.test_launches()
    for _ in range(3):
        session.run({"x": _x(2)})
    assert (seen.executions, driver._library.test_launches() - launched) == (3, 0)
    session.close()


def test_work_that_cannot_be_recorded_runs_as_it_is(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from attnexport.errors import StageError
    from attnexport.runtime.cuda import CudaContext

    def refuse(self: CudaContext, work: Any) -> int:
        raise StageError("cuda", "cuStreamEndCapture failed: operation not permitted")

    session, seen = opened(cuda_graph=True)
    monkeypatch.setattr(CudaContext, "record", refuse)
    for seed in range(4):
        np.testing.assert_array_equal(session.run({"x": _x(2, seed)})["y"], 3 * _x(2, seed))
    assert seen.executions == 4
    session.close()


class OnDevice:
    """A tensor that says it lies on the GPU, as torch's do: the host driver's device is the host."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.stream = array, None

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, 0

    def __dlpack__(self, *, stream: int) -> Any:
        self.stream = stream
        return self.array.__dlpack__()


def _aligned(batch: int, offset: int = 0) -> np.ndarray:
    raw = np.empty(batch * 12 + 512, np.uint8)
    start = -raw.ctypes.data % 256 + offset
    return raw[start : start + batch * 12].view(np.float32).reshape(batch, 3)


@pytest.mark.parametrize("offset", [0, 4])
def test_tensors_on_the_gpu_are_read_where_they_lie(opened: Open, driver: CudaDriver, offset: int) -> None:
    session, seen = opened(cuda_graph=True)
    tensor = _aligned(2, offset)
    tensor[:] = _x(2)
    given = OnDevice(tensor)
    for _ in range(3):
        np.testing.assert_array_equal(session.run({"x": given})["y"], 3 * _x(2))
    read_in_place = ("x", tensor.ctypes.data) in seen.addresses
    assert read_in_place == (offset == 0), "TensorRT wants addresses at 256 bytes: others are copied on the device"
    assert given.stream == session._lane().context.stream, "its library waits for what it still computes"
    assert seen.executions == 3, "their address is not ours to record"
    np.testing.assert_array_equal(session.run({"x": _x(3)})["y"], 3 * _x(3))
    session.close()


def test_outputs_can_stay_on_the_device_and_outlive_the_session(opened: Open, driver: CudaDriver) -> None:
    session, _ = opened()
    first, second = (session.run_on_device({"x": _x(b)})["y"] for b in (2, 4))
    assert (first.shape, first.dtype, first.nbytes) == ((2, 3), np.float32, 24)
    assert first.__dlpack_device__() == (dlpack.CUDA, 0)
    np.testing.assert_array_equal(session.run({"x": _x(3)})["y"], 3 * _x(3))
    session.close()
    np.testing.assert_array_equal(first.numpy(), 3 * _x(2), strict=True)
    np.testing.assert_array_equal(second.numpy(), 3 * _x(4), strict=True)
    borrowed = dlpack.borrow("y", first)
    del first, second
    np.testing.assert_array_equal(np.frombuffer(ctypes.string_at(borrowed.address, 24), np.float32), 3 * _x(2).ravel())
    assert not _freed(driver)
    del borrowed
    assert _freed(driver)


def test_every_thread_has_its_own_execution_context(opened: Open, driver: CudaDriver) -> None:
    session, seen = opened()
    ready = threading.Barrier(4)

    def work(seed: int) -> bool:
        ready.wait()
        given = [_x(1 + i % 8, seed) for i in range(50)]
        return all(np.array_equal(session.run({"x": x})["y"], 3 * x) for x in given)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, (0, 100, 200, 300))) == [True] * 4
    assert seen.contexts == 5, "four, and that of the thread that opened it"
    session._forget_dead_threads()  # as the next new thread does
    assert list(session._lanes) == [threading.get_ident()]
    session.close()
    assert _freed(driver)


def test_rtx_records_graphs_itself(opened: Open, driver: CudaDriver) -> None:
    launched = driver._library.test_launches()
    for wanted, strategy in ((True, "WHOLE"), (False, "DISABLED")):
        session, seen = opened(rtx=True, cuda_graph=wanted)
        for _ in range(3):
            session.run({"x": _x(2)})
        assert (seen.strategies, seen.executions) == ([strategy], 3)
        session.close()
    assert driver._library.test_launches() == launched


def test_what_rtx_compiled_is_kept_for_the_next_process(opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "rtx"
    session, _ = opened(rtx=True, cache=folder)
    assert not folder.exists()
    session.close()
    (file,) = folder.iterdir()
    assert file.read_bytes() == b"kernels: scale"
    file.write_bytes(b"kernels: scale and more")
    session, _ = opened(rtx=True, cache=folder)
    session.close()
    assert file.read_bytes() == b"kernels: scale and more", "read, and nothing new to write"
    file.write_bytes(b"of another driver")
    session, _ = opened(rtx=True, cache=folder)
    session.close()
    assert file.read_bytes() == b"kernels: scale", "what the library refuses is replaced"
    assert list(folder.iterdir()) == [file]


def test_an_unwritable_cache_is_ignored(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    session, _ = opened(rtx=True, cache=tmp_path / "file")
    np.testing.assert_array_equal(session.run({"x": _x(2)})["y"], 3 * _x(2))
    session.close()


def test_the_enterprise_library_keeps_no_such_cache(opened: Open, tmp_path: Path) -> None:
    session, _ = opened(cache=tmp_path)
    session.run({"x": _x(2)})
    session.close()
    assert list(tmp_path.iterdir()) == []
