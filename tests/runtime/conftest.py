"""What the runtime's tests share: a manifest with every section filled, and a real ONNX model."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import (
    AttentionRecord,
    DecodeAgreement,
    DecodeRecord,
    EngineRecord,
    Gpu,
    GraphRewriteRecord,
    KeptNode,
    ModuleError,
    Precision,
    RewriteRecord,
    SourceRecord,
    StageRecord,
)
from attnexport.runtime.bundle.stage import Stage
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 4, "batch")


@pytest.fixture
def plain() -> Manifest:
    """A manifest with nothing optional in it."""
    return Manifest(
        name="net",
        created="2026-11-05T10:00:00+00:00",
        source=SourceRecord("checkpoint", "net.pt", "0" * 64),
        tools={"attnexport": "0.1.0"},
        gpu=None,
        inputs=(TensorSpec("x", "float32", (BATCH, Axis.fixed(3))),),
        outputs=(TensorSpec("y", "float32", (BATCH, Axis.fixed(3))),),
        task=None,
    )


@pytest.fixture
def full(plain: Manifest) -> Manifest:
    """A manifest with every section filled; its files are ``model.onnx`` and ``engines/net.plan``."""
    from dataclasses import replace

    from attnexport.runtime.bundle.sections import FileRecord

    figures = Figures(1e-7, 3e-7, 2e-7, 1.0, 0.5, 24)
    return replace(
        plain,
        source=SourceRecord("state-dict", "net.pth", "a" * 64, "digits_sasa", ("prefix module. stripped",)),
        gpu=Gpu("NVIDIA L4", "8.9"),
        task="classification",
        files={
            "model.onnx": FileRecord("b" * 64, 10, "model-fp32"),
            "engines/net.plan": FileRecord("c" * 64, 20, "engine"),
        },
        stages=(StageRecord(Stage.CAPTURE, 1.5, "12 nodes"), StageRecord(Stage.TYPED, 0.5, "", "fp16"),),
        rewrites=(
            RewriteRecord("attn/Im2Col", "Im2Col", "one-hot", ("ort", "tensorrt"), {"slices": "k > 7"}, "attn", "a:3"),
        ),
        graph_rewrites=(GraphRewriteRecord(Stage.RAISE, "shifted_sum", "attn/Add", False, "3 taps", "attn", "a:3"),),
        operators={"model.onnx": {"Conv": 3, "Softmax": 1}},
        captured={"Conv": 3, "Im2Col": 1},
        modules=(ModuleError("attn", "Attention", "a:3", {"onnx-fp32": 1e-7}),),
        precision=Precision((KeptNode("attn/Softmax", "attn", "softmax over 65536 keys"),), {"float16": 4}),
        engines=(
            EngineRecord(
                "engines/net.plan", "rtx", "1.7.1", "float16", None, ({"x": {"min": [1, 3]}},), ({"Name": "l"},), 2.0, 9
            ),
        ),
        parity=(
            ParityRecord(
                "onnx-fp32", "model.onnx", "float32", "y", figures,
                Gate.judge(figures, torch_rms=1e-7, precision="float32", factor=2.0), 1e-7, {"top1": {"agreement": 1.0}},
            ),
        ),
        attention=(AttentionRecord("attention.mixer", "mixer", "LocalRelation", "window", {"stride": 2}),),
        decode=DecodeRecord(
            1, 2, 0, 30, ("memory",), {"hidden": "next_hidden"}, "samples",
            (
                DecodeAgreement(
                    "onnx-fp16", {"step": "parts/step/model.fp16.onnx"}, "float16", 1, 8, 7, 90, 88, 1, 1e-3, 2.0, True
                ),
            ),
        ),
        notes=("no GPU",),
    )  # fmt: skip


@pytest.fixture
def make_bundle(tmp_path: Path, plain: Manifest) -> Callable[[], Path]:
    """Writes ``net.attn`` with a model (any bytes), a file in a folder, and golden cases; returns its path."""

    def make() -> Path:
        destination = tmp_path / "net.attn"
        with BundleWriter(destination) as writer:
            (writer.path / "model.onnx").write_bytes(b"model")
            (writer.path / "engines").mkdir()
            (writer.path / "engines" / "net.plan").write_bytes(b"plan")
            x = np.arange(6, dtype=np.float32).reshape(2, 3)
            write_golden(writer.path / "golden.npz", [GoldenCase("opt", {"x": x}, {"y": x.astype(np.float64) / 3})])
            writer.add("model.onnx", "model-fp32")
            writer.add("engines/net.plan", "engine")
            writer.commit(plain, roles={"golden.npz": "golden"})
        return destination

    return make


@pytest.fixture
def affine_model() -> Callable[..., bytes]:
    """``affine_model(scale)`` is the ONNX model y = scale * x + 1 on (batch, 3), float32 at its border."""
    onnx = pytest.importorskip("onnx")
    h = onnx.helper

    def build(scale: float, half: bool = False) -> bytes:
        inner = np.float16 if half else np.float32
        constants = [onnx.numpy_helper.from_array(np.array([v], inner), n) for n, v in (("scale", scale), ("one", 1.0))]
        nodes = [
            h.make_node("Cast", ["x"], ["xi"], to=h.np_dtype_to_tensor_dtype(np.dtype(inner))),
            h.make_node("Mul", ["xi", "scale"], ["m"]),
            h.make_node("Add", ["m", "one"], ["yi"]),
            h.make_node("Cast", ["yi"], ["y"], to=onnx.TensorProto.FLOAT),
        ]
        values = [h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 3]) for n in "xy"]
        graph = h.make_graph(nodes, "affine", values[:1], values[1:], constants)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
        return bytes(model.SerializeToString())

    return build


HOST_DRIVER = r"""
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
static int live = 0, contexts = 0, current = 0, pinned = 0;
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
int cuMemHostAlloc(void **p, size_t n, unsigned f) { *p = malloc(n); pinned++; return f == 1 && n ? 0 : 1; }
int cuMemFreeHost(void *p) { free(p); pinned--; return 0; }
/* A stream does its work at once, or writes it down while it is recorded. A kernel is out[i] = factor * in[i]. */
typedef struct { char *to, *from; size_t n; float factor; } work_t;
typedef struct { work_t work[64]; int count; } graph_t;
static graph_t *recording = 0;
static int graphs = 0, executables = 0, launches = 0;
static void perform(work_t w) {
  if (w.factor == 0) { memcpy(w.to, w.from, w.n); return; }
  for (size_t i = 0; i < w.n; i++) ((float *)w.to)[i] = w.factor * ((float *)w.from)[i];
}
static int enqueue(void *s, uint64_t to, uint64_t from, size_t n, float factor) {
  work_t w = {(char *)to, (char *)from, n, factor};
  if (s != &live) return 400;
  if (recording) recording->work[recording->count++] = w; else perform(w);
  return 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t d, void *h, size_t n, void *s) { return enqueue(s, d, (uint64_t)h, n, 0); }
int cuMemcpyDtoHAsync_v2(void *h, uint64_t d, size_t n, void *s) { return enqueue(s, (uint64_t)h, d, n, 0); }
int cuMemcpyDtoDAsync_v2(uint64_t d, uint64_t o, size_t n, void *s) { return enqueue(s, d, o, n, 0); }
int test_kernel(void *s, uint64_t to, uint64_t from, size_t n, float factor) { return enqueue(s, to, from, n, factor); }
int cuStreamBeginCapture_v2(void *s, int mode) { recording = calloc(1, sizeof(graph_t)); graphs++; return mode == 1 ? 0 : 1; }
int cuStreamEndCapture(void *s, void **g) { *g = recording; recording = 0; return 0; }
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f) {
  *e = malloc(sizeof(graph_t)); memcpy(*e, g, sizeof(graph_t)); executables++; return 0;
}
int cuGraphDestroy(void *g) { free(g); graphs--; return 0; }
int cuGraphLaunch(void *e, void *s) {
  graph_t *g = e;
  for (int i = 0; i < g->count; i++) perform(g->work[i]);
  launches++;
  return 0;
}
int cuGraphExecDestroy(void *e) { free(e); executables--; return 0; }
int cuStreamCreate(void **s, unsigned f) { *s = &live; return STREAM; }
int cuStreamSynchronize(void *s) { return s == &live ? 0 : 400; }
int cuStreamDestroy_v2(void *s) { return s == &live ? 0 : 400; }
int cuGetErrorString(int e, const char **s) {
  *s = e == 2 ? "out of memory" : e == 100 ? "no CUDA-capable device is detected" : 0;
  return *s ? 0 : 1;
}
int test_live(void) { return live; }
int test_contexts(void) { return contexts; }
int test_pinned(void) { return pinned; }
int test_graphs(void) { return graphs + executables; }
int test_launches(void) { return launches; }
"""


def compile_driver(
    folder: Path, name: str, init: int = 0, count: int = 1, stream: int = 0, code: str = HOST_DRIVER
) -> str:
    """A driver of host memory, or another library, compiled from C: its path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the host driver with")
    source = folder / f"{name}.c"
    source.write_text(code)
    flags = [f"-DINIT={init}", f"-DCOUNT={count}", f"-DSTREAM={stream}", "-w", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(folder / f"{name}.so")], check=True)
    return str(folder / f"{name}.so")


@pytest.fixture(scope="session")
def host_driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a CUDA driver whose device is the host's memory: NVIDIA Host, compute capability 12.1."""
    return compile_driver(tmp_path_factory.mktemp("driver"), "good")


@pytest.fixture(scope="session")
def compile_library() -> Callable[..., str]:
    """``compile_library(folder, name, init, count, stream, code)``: a driver of host memory with its faults, or another library."""
    return compile_driver
