"""The driver binding against a driver of host memory, compiled from C: kinds, bookkeeping, and errors in words.

The real driver is exercised by the tests marked gpu; where none is, its absence is tested for real.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import MissingBackendError, StageError
from attnexport.runtime import device
from attnexport.runtime.cuda import Context, Driver

_DRIVER = r"""
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
static int live = 0, contexts = 0, current = 0;
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *v) { *v = 12080; return 0; }
int cuDeviceGetCount(int *n) { *n = COUNT; return 0; }
int cuDeviceGet(int *d, int i) { *d = 7 + i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 7 ? "NVIDIA Host" : "wrong device", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 12 : a == 76 ? 1 : -1; return d == 7 ? 0 : 101; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = &contexts; contexts++; return d == 7 ? 0 : 101; }
int cuDevicePrimaryCtxRelease_v2(int d) { contexts--; return 0; }
int cuCtxSetCurrent(void *c) { current = c == &contexts; return current ? 0 : 201; }
int cuMemAlloc_v2(uint64_t *p, size_t n) {
  if (n > (1ull << 40)) return 2;
  *p = (uint64_t)malloc(n); live++; return n ? 0 : 1;
}
int cuMemFree_v2(uint64_t p) { free((void *)p); live--; return 0; }
int cuMemcpyHtoD_v2(uint64_t d, const void *s, size_t n) { memcpy((void *)d, s, n); return 0; }
int cuMemcpyDtoH_v2(void *d, uint64_t s, size_t n) { memcpy(d, (void *)s, n); return 0; }
int cuStreamCreate(void **s, unsigned f) { *s = &live; return STREAM; }
int cuStreamSynchronize(void *s) { return s == &live ? 0 : 400; }
int cuStreamDestroy_v2(void *s) { return s == &live ? 0 : 400; }
int cuGetErrorString(int e, const char **s) {
  *s = e == 2 ? "out of memory" : e == 100 ? "no CUDA-capable device is detected" : 0;
  return *s ? 0 : 1;
}
int test_live(void) { return live; }
int test_contexts(void) { return contexts; }
"""


def _compile(folder: Path, name: str, init: int = 0, count: int = 1, stream: int = 0, code: str = _DRIVER) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the host driver with")
    source = folder / f"{name}.c"
    source.write_text(code)
    flags = [f"-DINIT={init}", f"-DCOUNT={count}", f"-DSTREAM={stream}", "-w", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(folder / f"{name}.so")], check=True)
    return str(folder / f"{name}.so")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return Driver(_compile(tmp_path_factory.mktemp("driver"), "good"))


def test_the_device_is_described(driver: Driver) -> None:
    assert (driver.name(), driver.compute_capability(), driver.version()) == ("NVIDIA Host", "12.1", "12.8")


def test_memory_makes_the_round_trip_and_is_given_back(driver: Driver) -> None:
    context = Context(driver)
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


def test_a_failed_call_speaks_the_drivers_words(driver: Driver) -> None:
    context = Context(driver)
    with pytest.raises(StageError, match=r"cuda: cuMemAlloc_v2 failed: out of memory \(2\)"):
        context.allocate(1 << 41)
    context.close()
    with pytest.raises(StageError, match="cuCtxSetCurrent failed: error 201"):
        driver.call("cuCtxSetCurrent", None)


def test_a_context_that_cannot_be_made_is_released(tmp_path: Path) -> None:
    driver = Driver(_compile(tmp_path, "streamless", stream=2))
    with pytest.raises(StageError, match="cuStreamCreate failed"):
        Context(driver)
    assert driver._library.test_contexts() == 0


@pytest.mark.parametrize(
    ("init", "count", "words"),
    [
        (100, 1, r"does not start: no CUDA-capable device is detected \(100\)"),
        (999, 1, "error 999"),
        (0, 0, "finds no GPU"),
    ],
)
def test_a_driver_without_a_gpu_is_a_missing_backend(tmp_path: Path, init: int, count: int, words: str) -> None:
    with pytest.raises(MissingBackendError, match=words):
        Driver(_compile(tmp_path, "bad", init, count))


def test_a_library_that_is_missing_or_another_is_a_missing_backend(tmp_path: Path) -> None:
    with pytest.raises(MissingBackendError, match="no CUDA driver here"):
        Driver(str(tmp_path / "libgone.so.1"))
    with pytest.raises(MissingBackendError, match=r"no CUDA driver here .*cuInit"):
        Driver(_compile(tmp_path, "other", code="int other(void) { return 0; }"))


def test_cuda_device_is_the_gpu_or_none() -> None:
    try:
        real = Driver()
    except MissingBackendError:
        assert device.cuda_device() is None
    else:
        assert device.cuda_device() == (real.name(), real.compute_capability())
