"""The driver binding against a driver of host memory, compiled from C: kinds, bookkeeping, and errors in words.

The real driver is exercised by the tests marked gpu; where none is, its absence is tested for real.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import MissingBackendError, StageError
from attnexport.runtime.cuda import CudaContext, CudaDriver, DeviceMemory, cuda_device


@pytest.fixture(scope="module")
def driver(host_driver: str) -> CudaDriver:
    return CudaDriver(host_driver)


def test_the_device_is_described(driver: CudaDriver) -> None:
    assert (driver.name(), driver.compute_capability(), driver.version()) == ("NVIDIA Host", "12.1", "12.8")


def test_memory_makes_the_round_trip_and_is_freed(driver: CudaDriver) -> None:
    context = CudaContext(driver)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 5)).astype(np.float16), np.zeros((0,), np.float32), np.arange(9)]
    addresses = [context.allocate(a.nbytes) for a in arrays]
    assert len(set(addresses)) == 3
    for array, address in zip(arrays, addresses, strict=True):
        context.upload(address, array)
    context.make_current()
    context.synchronize()
    for array, address in zip(arrays, addresses, strict=True):
        back = np.empty_like(array)
        context.download(back, address)
        np.testing.assert_array_equal(back, array, strict=True)
    context.free(addresses[0])
    assert driver._library.test_live() == 2
    context.close()
    context.close()
    assert (driver._library.test_live(), driver._library.test_contexts()) == (0, 0)


def test_pinned_memory_carries_copies_in_the_order_of_the_stream(driver: CudaDriver) -> None:
    context = CudaContext(driver)
    host, back, spare = context.pin(12), context.pin(12), context.pin(4)
    assert (host.shape, host.dtype, driver._library.test_pinned()) == ((12,), np.uint8, 3)
    device, other = context.allocate(12), context.allocate(12)
    host[:] = np.arange(12)
    context.send(device, host, 8)
    context.copy(other, device, 8)
    back[:] = 99
    context.fetch(back, other, 8)
    context.synchronize()
    assert back.tolist() == [*range(8), 99, 99, 99, 99]
    context.unpin(spare)
    assert driver._library.test_pinned() == 2
    context.close()
    assert driver._library.test_pinned() == 0


def test_recorded_work_runs_when_it_is_launched_and_not_before(driver: CudaDriver) -> None:
    context = CudaContext(driver)
    host, back, device = context.pin(4), context.pin(4), context.allocate(4)
    host[:], back[:] = 1, 0

    def work() -> None:
        context.send(device, host, 4)
        context.fetch(back, device, 4)

    graph = context.record(work)
    assert back.tolist() == [0, 0, 0, 0]
    host[:] = 7
    context.launch(graph)
    assert back.tolist() == [7, 7, 7, 7]
    assert driver._library.test_graphs() == 1, "what was only needed to make it is freed"
    context.forget(graph)
    context.record(work)
    context.close()
    assert (driver._library.test_graphs(), driver._library.test_live()) == (0, 0)


def test_a_recording_that_fails_ends_the_capture(driver: CudaDriver) -> None:
    context = CudaContext(driver)

    def work() -> None:
        raise StageError("tensorrt", "not recordable")

    with pytest.raises(StageError, match="not recordable"):
        context.record(work)
    assert driver._library.test_graphs() == 0, "what was recorded so far is freed"
    back, device = context.pin(4), context.allocate(4)
    context.upload(device, np.full(4, 3, np.uint8))
    context.fetch(back, device, 4)
    assert back.tolist() == [3, 3, 3, 3], "the stream works again"
    context.close()


def test_device_memory_lives_as_long_as_its_users_and_keeps_the_context(driver: CudaDriver) -> None:
    memory = DeviceMemory(driver, 8)
    assert (driver._library.test_live(), driver._library.test_contexts()) == (1, 1)
    context = CudaContext(driver)
    context.upload(memory.address, np.array([5], np.int64))
    context.close()
    back = np.zeros(1, np.int64)
    memory.download(back)
    assert back[0] == 5
    del memory
    assert (driver._library.test_live(), driver._library.test_contexts()) == (0, 0)
    with pytest.raises(StageError, match="out of memory"):
        DeviceMemory(driver, 1 << 41)
    assert driver._library.test_contexts() == 0


def test_a_failed_call_speaks_the_drivers_words(driver: CudaDriver) -> None:
    context = CudaContext(driver)
    with pytest.raises(StageError, match=r"cuda: cuMemAlloc_v2 failed: out of memory \(2\)"):
        context.allocate(1 << 41)
    context.close()
    with pytest.raises(StageError, match="cuCtxSetCurrent failed: error 201"):
        driver.call("cuCtxSetCurrent", None)


def test_a_context_that_cannot_be_made_is_released(tmp_path: Path, compile_library: Callable[..., str]) -> None:
    driver = CudaDriver(compile_library(tmp_path, "streamless", stream=2))
    with pytest.raises(StageError, match="cuStreamCreate failed"):
        CudaContext(driver)
    assert driver._library.test_contexts() == 0


@pytest.mark.parametrize(
    ("init", "count", "words"),
    [
        (100, 1, r"does not start: no CUDA-capable device is detected \(100\)"),
        (999, 1, "error 999"),
        (0, 0, "finds no GPU"),
    ],
)
def test_a_driver_without_a_gpu_is_a_missing_backend(
    tmp_path: Path, init: int, count: int, words: str, compile_library: Callable[..., str]
) -> None:
    with pytest.raises(MissingBackendError, match=words):
        CudaDriver(compile_library(tmp_path, "bad", init, count))


def test_a_library_that_is_missing_or_another_is_a_missing_backend(
    tmp_path: Path, compile_library: Callable[..., str]
) -> None:
    with pytest.raises(MissingBackendError, match="there is no CUDA driver"):
        CudaDriver(str(tmp_path / "libgone.so.1"))
    with pytest.raises(MissingBackendError, match=r"there is no CUDA driver .*cuInit"):
        CudaDriver(compile_library(tmp_path, "other", code="int other(void) { return 0; }"))


def test_cuda_device_is_the_gpu_or_none() -> None:
    try:
        real = CudaDriver()
    except MissingBackendError:
        assert cuda_device() is None
    else:
        assert cuda_device() == (real.name(), real.compute_capability())
