"""A real server for a module's tests: its process, what it says, and bundles of two small hand-written models.

pair   x (N, 3) float32 and row (N, 2) int64 -> y = 2 x + 1 and picked = TABLE[row] (N, 2, 4); a row out of range fails in the session
slow   x (N, 3) float32 and turns (N, 1) int64 -> y = 2 x + 1, after as many multiplications of matrices as its largest turn says
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import SourceRecord
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.spec import Axis, TensorSpec

onnx = pytest.importorskip("onnx")
pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
if sys.platform != "linux" or os.uname().machine != "x86_64":
    pytest.skip("the wheel with Triton is for Linux on x86_64", allow_module_level=True)

BATCH = Axis(1, 2, 8, "batch")
TABLE = np.arange(20, dtype=np.float32).reshape(5, 4) / 3
KEY = "key-of-the-tests"
COMMAND = shlex.split(os.environ.get("ATTNEXPORT_SERVE", "")) or [sys.executable, "-m", "attnexport", "serve"]
"""What serves. `make image` gives another command, which serves in the image."""


def _value(name: str, dtype: type, *dims: int) -> Any:
    return onnx.helper.make_tensor_value_info(
        name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *dims]
    )


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, np.ndarray]) -> bytes:
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _line(scale: float) -> tuple[list[Any], dict[str, np.ndarray]]:
    node = onnx.helper.make_node
    constants = {"scale": np.array([scale], np.float32), "one": np.array([1], np.float32)}
    return [node("Mul", ["x", "scale"], ["scaled"]), node("Add", ["scaled", "one"], ["y"])], constants


def pair_model(scale: float = 2.0) -> bytes:
    nodes, constants = _line(scale)
    nodes.append(onnx.helper.make_node("Gather", ["table", "row"], ["picked"], axis=0))
    inputs = [_value("x", np.float32, 3), _value("row", np.int64, 2)]
    outputs = [_value("y", np.float32, 3), _value("picked", np.float32, 2, 4)]
    return _model(nodes, inputs, outputs, {**constants, "table": TABLE})


def slow_model() -> bytes:
    h = onnx.helper
    body = h.make_graph(
        [
            h.make_node("MatMul", ["state", "matrix"], ["next"]),
            h.make_node("Identity", ["again"], ["goes_on"]),
        ],
        "turn",
        [
            h.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            h.make_tensor_value_info("again", onnx.TensorProto.BOOL, []),
            h.make_tensor_value_info("state", onnx.TensorProto.FLOAT, [256, 256]),
        ],
        [
            h.make_tensor_value_info("goes_on", onnx.TensorProto.BOOL, []),
            h.make_tensor_value_info("next", onnx.TensorProto.FLOAT, [256, 256]),
        ],
    )
    nodes, constants = _line(2.0)
    nodes += [
        h.make_node("ReduceMax", ["turns"], ["most"], keepdims=0),
        h.make_node("Loop", ["most", "", "begin"], ["end"], body=body),
        h.make_node("ReduceMean", ["end"], ["mean"], keepdims=0),
        h.make_node("Sub", ["mean", "mean"], ["nothing"]),  # depends on the loop and adds nothing
        h.make_node("Add", ["y", "nothing"], ["z"]),
    ]
    matrix = np.roll(np.eye(256, dtype=np.float32), 1, axis=1)
    constants |= {"begin": np.ones((256, 256), np.float32), "matrix": matrix}
    return _model(
        nodes, [_value("x", np.float32, 3), _value("turns", np.int64, 1)], [_value("z", np.float32, 3)], constants
    )


def _spec(name: str, dtype: str, *dims: int, high: int | None = None) -> TensorSpec:
    return TensorSpec(name, dtype, (BATCH, *map(Axis.fixed, dims)), high=high)


def _parity(output: str, factor: float) -> ParityRecord:
    figures = Figures(1e-8, 1e-8, 1e-8, 1.0, 1.0, 24)
    gate = Gate.judge(figures, torch_rms=1e-8, precision="float32", factor=factor)
    return ParityRecord("onnx-fp32", "model.onnx", "float32", output, figures, gate, 1e-8, {})


def write_bundle(
    path: Path,
    model: bytes,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    feeds: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
    *,
    replace: bool = False,
) -> Path:
    manifest = Manifest(
        name=path.stem, created="2026-11-21T10:00:00+00:00", source=SourceRecord("onnx", "model.onnx", "0" * 64),
        tools={"attnexport": "0.1.0"}, gpu=None, inputs=inputs, outputs=outputs, task=None,
        parity=tuple(_parity(spec.name, 2.0) for spec in outputs),
    )  # fmt: skip
    with BundleWriter(path, replace=replace) as writer:
        (writer.path / "model.onnx").write_bytes(model)
        writer.add("model.onnx", "model-fp32")
        write_golden(writer.path / "golden.npz", [GoldenCase("opt", feeds, truth)])
        writer.commit(manifest, roles={"golden.npz": "golden"})
    return path


def write_pair(path: Path, scale: float = 2.0, *, true_scale: float | None = None, replace: bool = False) -> Path:
    """``true_scale``: what the golden outputs say that it should be; another one than ``scale`` is a model that is wrong."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    row = np.array([[0, 4], [2, 1]])
    truth = {"y": x.astype(np.float64) * (true_scale or scale) + 1, "picked": TABLE[row].astype(np.float64)}
    return write_bundle(
        path, pair_model(scale), (_spec("x", "float32", 3), _spec("row", "int64", 2, high=5)),
        (_spec("y", "float32", 3), _spec("picked", "float32", 2, 4)), {"x": x, "row": row}, truth, replace=replace,
    )  # fmt: skip


def write_slow(path: Path, golden_turns: int = 1) -> Path:
    x = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    return write_bundle(
        path, slow_model(), (_spec("x", "float32", 3), _spec("turns", "int64", 1, high=9)), (_spec("z", "float32", 3),),
        {"x": x, "turns": np.full((2, 1), golden_turns)}, {"z": x.astype(np.float64) * 2 + 1},
    )  # fmt: skip


class Server:
    """``attnexport serve``, started; its events as dictionaries, as it says them."""

    def __init__(self, bundles: list[Path], *options: str, ports: bool = True) -> None:
        words = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"] if ports else []
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, bundles), *words, "--log-format", "json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "ATTNEXPORT_ADMIN_KEY": KEY, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self._heard = threading.Condition()
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.events.append(json.loads(line))
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def wait_for(self, event: str, after: int = 0, timeout: float = 120) -> dict[str, Any]:
        """The first event of that name from number ``after`` on."""

        def found() -> dict[str, Any] | None:
            return next((e for e in self.events[after:] if e["event"] == event), None)

        with self._heard:
            self._heard.wait_for(lambda: found() is not None or self._ended, timeout)
            one = found()
        assert one is not None, f"no event {event!r}: {self.events[after:]} {self.error() if self._ended else ''}"
        return one

    def ready(self) -> Server:
        event = self.wait_for("ready")
        self.http = event["http"].removeprefix("http://")
        self.grpc = event["grpc"]
        self.metrics = event["metrics"]
        return self

    @property
    def triton(self) -> int:
        """The process of Triton that runs now."""
        return int([e for e in self.events if e["event"] == "starting"][-1]["pid"])

    def workers(self) -> list[int]:
        """Processes of the Python backend."""
        return [
            pid for pid in processes() if parent(pid) == self.triton and b"triton_python_backend_stub" in command(pid)
        ]

    def get(self, path: str) -> int:
        """The status of a GET."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def is_ready(self) -> bool:
        return self.get("/v2/health/ready") == 200

    def error(self) -> str:
        """What stands on standard error once the server has ended."""
        assert self.process.stderr is not None
        self.process.wait(60)
        return self.process.stderr.read()

    def stop(self) -> int:
        """Stop it as an orchestrator does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            eventually(lambda: self._ended)
            stream.close()


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it holds within that time."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


class Tools:
    """What the tests of this folder share, by one fixture."""

    KEY, TABLE, Server = KEY, TABLE, Server
    write_pair, write_slow = staticmethod(write_pair), staticmethod(write_slow)
    eventually, command, parent = staticmethod(eventually), staticmethod(command), staticmethod(parent)

    @staticmethod
    def headers(protocol: str = "http") -> dict[str, str]:
        """What opens the calls that load models."""
        name = "attnexport-admin-key"
        return {name if protocol == "http" else f"triton-grpc-protocol-{name}": KEY}

    @staticmethod
    @contextmanager
    def client(server: Server, protocol: str = "http", **options: Any) -> Iterator[Any]:
        """tritonclient's own client, closed again: an open connection delays the end of a server."""
        import importlib

        module = importlib.import_module(f"tritonclient.{protocol}")
        client = module.InferenceServerClient(server.http if protocol == "http" else server.grpc, **options)
        try:
            yield client
        finally:
            client.close()

    @staticmethod
    def tensors(protocol: str, feeds: dict[str, np.ndarray], *, binary: bool = True) -> list[Any]:
        """Arrays as tritonclient sends them."""
        import importlib

        from tritonclient.utils import np_to_triton_dtype

        module = importlib.import_module(f"tritonclient.{protocol}")
        made = []
        for name, array in feeds.items():
            tensor = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array, **({"binary_data": binary} if protocol == "http" else {}))
            made.append(tensor)
        return made


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    """Server, client, bundles; see :class:`Tools`."""
    return Tools
