"""A complete report, a small bundle on disk, and factories that another process can import."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from attnexport.runtime.bundle.bench_report import (
    BenchPoint,
    BenchReport,
    BenchSettings,
    Capacity,
    Entrant,
    GpuState,
    Interval,
    LatencyTarget,
    MachineRecord,
    MemoryUse,
    Timing,
)
from attnexport.runtime.cuda import _SIGNATURES, CudaDriver
from attnexport.runtime.spec import Axis, TensorSpec

FACTORIES = """
import os
import torch
from torch import nn


class Small(nn.Module):
    '''Softmax attention over eight places: two matrix products. A batch over `most` ends the process; it fails after `calls` calls.'''

    def __init__(self, seed=0, most=None, calls=None):
        super().__init__()
        torch.manual_seed(seed)
        self.query, self.value, self.most, self.calls = nn.Linear(6, 6), nn.Linear(6, 4), most, calls

    def forward(self, x):
        if self.most is not None and len(x) > self.most:
            os.abort()
        if self.calls is not None:
            self.calls -= 1
            if self.calls < 0:
                raise RuntimeError("called too often")
        weights = torch.softmax(self.query(x) @ x.transpose(1, 2), dim=-1)
        return weights @ self.value(x)


class Adaptive(nn.Module):
    '''A network that torch.onnx cannot translate.'''

    def forward(self, x):
        return nn.functional.adaptive_max_pool2d(x[:, None], 5)


class Aborting(nn.Module):
    def forward(self, x):
        if len(x) > 4:
            os.abort()
        return x.sum()


class Hungry(nn.Module):
    '''Uses 192 MB temporarily, and 3 bytes at the end.'''

    def forward(self, x):
        return torch.ones(48 << 20).sum() + x.sum()


class Failing(nn.Module):
    def forward(self, x):
        raise ValueError("this model\\nnever runs")
"""


DRIVER = r"""
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
static int stream, clock_ = 0, made = 0, waited = 0, live = 0;
struct event { int at; } events[8];
int cuInit(unsigned f) { return 0; }
int cuDriverGetVersion(int *v) { *v = 12080; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = 0; return 0; }
int cuDeviceGetName(char *s, int n, int d) { s[0] = 0; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = 8; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = &stream; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { return 0; }
int cuCtxSetCurrent(void *c) { return 0; }
int cuMemAlloc_v2(uint64_t *p, size_t n) { *p = (uint64_t)malloc(n); live++; return 0; }
int cuMemFree_v2(uint64_t p) { free((void *)p); live--; return 0; }
int cuMemcpyHtoD_v2(uint64_t d, const void *s, size_t n) { memcpy((void *)d, s, n); return 0; }
int cuMemcpyDtoH_v2(void *d, uint64_t s, size_t n) { memcpy(d, (void *)s, n); return 0; }
int cuStreamCreate(void **s, unsigned f) { *s = &stream; return 0; }
int cuStreamSynchronize(void *s) { return 0; }
int cuStreamDestroy_v2(void *s) { return 0; }
int cuGetErrorString(int e, const char **s) { *s = 0; return 1; }
int cuEventCreate(void **e, unsigned f) { *e = &events[made++]; return f == 0 ? 0 : 1; }
int cuEventRecord(void *e, void *s) { ((struct event *)e)->at = clock_; return s == &stream ? 0 : 400; }
int cuEventSynchronize(void *e) { waited = ((struct event *)e)->at; return 0; }
int cuEventElapsedTime(float *ms, void *a, void *b) {
  int end = ((struct event *)b)->at;
  *ms = (end - ((struct event *)a)->at) * 0.5f;
  return waited == end ? 0 : 600;
}
int cuMemGetInfo_v2(size_t *f, size_t *t) { *f = 5000000000; *t = 24000000000; return 0; }
int test_live(void) { return live; }
void work(int steps) { clock_ += steps; }
"""


@pytest.fixture(scope="session")
def host_driver(tmp_path_factory: pytest.TempPathFactory) -> CudaDriver:
    """A CUDA driver whose device memory is the host's and whose clock ``work`` advances; compiled from C."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the host driver with")
    folder = tmp_path_factory.mktemp("driver")
    others = "".join(f"int {name}(void) {{ return 0; }}\n" for name in _SIGNATURES if f" {name}(" not in DRIVER)
    (folder / "driver.c").write_text(DRIVER + others)
    subprocess.run(
        [compiler, "-w", "-shared", "-fPIC", str(folder / "driver.c"), "-o", str(folder / "driver.so")], check=True
    )
    return CudaDriver(str(folder / "driver.so"))


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of factories in the current folder, which another process can import."""
    (tmp_path / "bench_factories.py").write_text(textwrap.dedent(FACTORIES), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return "bench_factories"


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``Small`` with its seeded weights, exported in FP32 with a batch of 1 to 8."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "bench_small.py").write_text(textwrap.dedent(FACTORIES), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        import torch
        from bench_small import Small  # type: ignore[import-not-found]  # written above

        from attnexport.export.options import read_options
        from attnexport.export.pipeline import run

        torch.save(Small().state_dict(), folder / "small.pt")
        options = read_options(
            model=Path("small.pt"), factory="bench_small:Small", trt=None, precision="fp32", kwargs="{}", workspace=None, gate=2.0,
            inputs=["x=2x8x6"], dynamic=["x:0=1:2:8"], out=folder / "small.attn",
        )  # fmt: skip
        bundle = run(options).bundle
    assert bundle is not None
    return bundle


def timing(name: str, median: tuple[float, float, float], ratio: tuple[float, float, float] | None) -> Timing:
    """A timing of a batch of two."""
    return Timing(
        contender=name,
        rounds=20,
        calls=60,
        median=Interval(*median),
        p95=2 * median[0],
        fastest=median[1],
        per_second=2000 / median[0],
        ratio=None if ratio is None else Interval(*ratio),
        memory=MemoryUse(80_000_000, 2_500_000, None),
    )


@pytest.fixture
def report() -> BenchReport:
    """A report with two points, a target, a GPU, and a contender in every state."""
    first = (
        timing("plain", (4.0, 3.9, 4.2), (1.0, 1.0, 1.0)),
        timing("attnexport", (1.0, 0.9, 1.2), (4.0, 3.5, 4.4)),
        timing("openvino", (3.5, 3.0, 4.5), (1.14, 0.9, 1.3)),
    )
    second = (
        timing("plain", (9.0, 8.8, 9.1), (1.0, 1.0, 1.0)),
        timing("attnexport", (20.0, 19.0, 22.0), (0.45, 0.4, 0.47)),
    )
    return BenchReport(
        name="net [1]",
        created="2026-11-21T10:00:00+00:00",
        source="net.pt",
        model_sha256="a" * 64,
        inputs=(TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(3))),),
        machine=MachineRecord(
            "A processor", 8, "Linux", 0.5,
            GpuState("NVIDIA L4", "8.9", "570.1", Interval(1800, 1700, 2040), 2040.0, Interval(6250, 6250, 6250),
                     Interval(70, 30, 71.6), 72.0, Interval(55, 50, 60), ("power limit (software)",)),
        ),
        tools={"attnexport": "0.1.0", "torch": "2.13.0"},
        settings=BenchSettings("cuda", "cuda-events", 8, 20, 20.0, 0, False, "plain"),
        entrants=(
            Entrant("eager", "torch eager", "float32", "cuda", "wrong", "output 'y' is wrong", None, 0.1),
            Entrant("plain", "plain torch.onnx, ONNX Runtime", "float32", "cuda", "measured", "", 1e-7, 0.2),
            Entrant("attnexport", "attnexport, ONNX Runtime", "float32", "cuda", "measured", "", 0.0, 0.1),
            Entrant("openvino", "attnexport, OpenVINO", "float32", "cuda", "failed", "out of [memory]", 1e-7, 0.4),
            Entrant("tensorrt", "attnexport, TensorRT", "float32", "cuda", "absent", "the bundle has no engine", None, None),
        ),
        points=(BenchPoint({"batch": 2}, 2, first), BenchPoint({"batch": 4}, 4, second)),
        target=LatencyTarget(
            5.0, "p95",
            (Capacity("plain", None, 9.0, 9.9, 222.0, 40, False), Capacity("attnexport", 4, 2.0, 2.2, 2000.0, 40, True)),
        ),
        notes=("the machine was busy",),
    )  # fmt: skip


@pytest.fixture
def one_point(report: BenchReport) -> Callable[[], BenchReport]:
    """The report with only its first point and without a target."""
    from dataclasses import replace

    return lambda: replace(report, points=report.points[:1], target=None)
