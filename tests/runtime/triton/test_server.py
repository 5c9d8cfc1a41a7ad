"""The repository in a real Triton: values of a direct session, versions, grouped requests, warm-up, labels, and what it refuses."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attnexport
from attnexport.errors import MissingBackendError
from attnexport.runtime.bundle.sections import EngineRecord, SamplesRecord
from attnexport.runtime.decode import open_decoder
from attnexport.runtime.spec import DTYPES, Axis, TensorSpec
from attnexport.runtime.triton.config import parse, to_text
from attnexport.runtime.triton.lint import lint
from attnexport.runtime.triton.options import RepositoryOptions
from attnexport.runtime.triton.repository import write_repository

http = pytest.importorskip("tritonclient.http", reason="needs tritonclient")
grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
BATCH, ONE = Axis(1, 2, 4, "batch"), Axis.fixed(1)
WAIT = 1_000_000  # microseconds: longer than it takes to send four small requests


class Triton:
    """A Triton over one repository; models are loaded by name."""

    def __init__(self, repository: Path, folder: Path) -> None:
        from attnexport.runtime.serve.program import find_triton

        try:
            found = find_triton(None, lambda *_, **__: None)
        except MissingBackendError as error:
            pytest.skip(str(error))
        folder.mkdir()
        (folder / "attnexport").symlink_to(Path(attnexport.__file__).parent)
        ports = dict(zip(("http", "grpc", "metrics"), _free_ports(3), strict=True))
        words = [
            f"--{name}-{what}={value}"
            for name, port in ports.items()
            for what, value in (("port", port), ("address", "127.0.0.1"))
        ]
        if found.backends is not None:
            words.append(f"--backend-directory={found.backends}")
        words.append(f"--backend-config=python,shm-region-prefix-name=attnexport-test-{secrets.token_hex(4)}")
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(found.program), f"--model-repository={repository}", "--model-control-mode=explicit", *words],
                stdout=log, stderr=subprocess.STDOUT, cwd=folder, env={**found.environment(folder), "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self.url = f"127.0.0.1:{ports['http']}"
        self.http = http.InferenceServerClient(self.url, concurrency=8)
        self.grpc = grpc.InferenceServerClient(f"127.0.0.1:{ports['grpc']}")
        until = time.monotonic() + 120
        while not self._live():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def _live(self) -> bool:
        try:
            return bool(self.http.is_server_live())
        except OSError:
            return False

    def load(self, name: str) -> str:
        """Load a model: what Triton has against it, nothing where it is served."""
        request = urllib.request.Request(f"http://{self.url}/v2/repository/models/{name}/load", b"{}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60):
                return ""
        except urllib.error.HTTPError as error:
            return str(json.load(error)["error"])

    def run(self, model: str, version: str = "", **feeds: np.ndarray) -> Any:
        return self.http.infer(model, _given(http, feeds), model_version=version)

    def executed(self, model: str, version: str) -> tuple[int, int]:
        """Rows and runs so far."""
        (found,) = self.http.get_inference_statistics(model, version)["model_stats"]
        return found["inference_count"], found["execution_count"]

    def close(self) -> None:
        self.http.close()
        self.grpc.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


def _given(client: Any, feeds: dict[str, np.ndarray]) -> list[Any]:
    inputs = []
    for name, array in feeds.items():
        given = client.InferInput(name, list(array.shape), _WORDS[array.dtype.name])
        given.set_data_from_numpy(array)
        inputs.append(given)
    return inputs


_WORDS = {
    "float16": "FP16", "float32": "FP32", "float64": "FP64", "int8": "INT8", "int16": "INT16", "int32": "INT32",
    "int64": "INT64", "uint8": "UINT8", "bool": "BOOL",
}  # fmt: skip


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


def identity(specs: tuple[TensorSpec, ...]) -> tuple[bytes, str]:
    """Every input as an output ``NAME_out``."""
    onnx = pytest.importorskip("onnx")
    h, kinds = onnx.helper, {s.name: onnx.helper.np_dtype_to_tensor_dtype(s.numpy_dtype) for s in specs}
    nodes = [h.make_node("Identity", [s.name], [f"{s.name}_out"]) for s in specs]
    sides = [
        [h.make_tensor_value_info(f"{s.name}{end}", kinds[s.name], list(s.symbols)) for s in specs]
        for end in ("", "_out")
    ]
    model = h.make_model(h.make_graph(nodes, "identity", *sides), opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString(), "model-fp32"


KINDS = tuple(TensorSpec(f"in_{dtype}", dtype, (BATCH, Axis.fixed(2), Axis(1, 2, 5, "width"))) for dtype in DTYPES)
SCALARS = (TensorSpec("token", "int64", (BATCH,)), TensorSpec("scale", "float32", (BATCH,)))
FIXED = (TensorSpec("x", "float32", (Axis.fixed(2), Axis(1, 2, 3, "length"))),)


def of_identity(specs: tuple[TensorSpec, ...]) -> dict[str, Any]:
    outputs = tuple(replace(spec, name=f"{spec.name}_out") for spec in specs)
    feeds = {spec.name: np.ones(spec.shape("opt"), spec.numpy_dtype) for spec in specs}
    return {"files": {"model.onnx": identity(specs)}, "inputs": specs, "outputs": outputs, "feeds": feeds}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "repository"


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    if sys.platform != "linux":
        pytest.skip("Triton is for Linux")
    repository.mkdir(exist_ok=True)
    triton = Triton(repository, tmp_path_factory.mktemp("triton") / "run")
    yield triton
    triton.close()


@pytest.fixture
def served(server: Triton, repository: Path) -> Callable[..., str]:
    """``served(bundle, name=…, …)`` writes a version and loads the model."""

    def make(bundle: Path, **options: Any) -> str:
        *_, model = write_repository([bundle], repository, RepositoryOptions(**options))
        assert server.load(model.name) == ""
        return model.name

    return make


def test_each_version_gives_the_values_of_a_direct_session_by_every_way_to_ask(server, repository, affine_bundle):
    bundles = [affine_bundle(scale=2.0), affine_bundle("other", scale=5.0)]
    for bundle in bundles:
        write_repository([bundle], repository, RepositoryOptions(name="net", keep=2))
    assert server.load("net") == ""
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    truth = []
    for bundle in bundles:
        with attnexport.open(bundle, "ort-cpu") as session:
            truth.append(session.run({"x": x})["y"])
    assert not np.array_equal(*truth)
    words = http.InferInput("x", [3, 3], "FP32")
    words.set_data_from_numpy(x, binary_data=False)
    for version, wanted in (("1", truth[0]), ("2", truth[1]), ("", truth[1])):
        np.testing.assert_array_equal(server.run("net", version, x=x).as_numpy("y"), wanted)
        asked = [http.InferRequestedOutput("y", binary_data=False)]
        plain = server.http.infer("net", [words], outputs=asked, model_version=version)
        np.testing.assert_array_equal(plain.as_numpy("y"), wanted)
        over = server.grpc.infer("net", _given(grpc, {"x": x}), model_version=version)
        np.testing.assert_array_equal(over.as_numpy("y"), wanted)


def test_a_model_that_was_loaded_is_what_was_written(server, served, affine_bundle, repository):
    before = {path: path.stat().st_mtime_ns for path in [repository, *repository.rglob("*")]}
    assert server.load("net") == ""
    assert {path: path.stat().st_mtime_ns for path in [repository, *repository.rglob("*")]} == before


@pytest.mark.sweep
def test_a_version_goes_when_newer_ones_take_its_place(server, served, affine_bundle):
    for scale in (2.0, 5.0, 7.0):
        served(affine_bundle(scale=scale), name="versions", keep=2)
    x = np.ones((1, 3), np.float32)
    assert [float(server.run("versions", v, x=x).as_numpy("y")[0, 0]) for v in ("2", "3", "")] == [6, 8, 8]
    with pytest.raises(Exception, match="'versions' version 1 is not"):
        server.run("versions", "1", x=x)


def test_requests_that_come_together_are_run_together(server, served, affine_bundle):
    served(affine_bundle(), name="grouped", delay=WAIT)
    before = server.executed("grouped", "1")
    values = [np.full((1, 3), i, np.float32) for i in range(4)]
    asked = [server.http.async_infer("grouped", _given(http, {"x": x})) for x in values]
    assert [float(one.get_result().as_numpy("y")[0, 0]) for one in asked] == [1, 3, 5, 7]
    after = server.executed("grouped", "1")
    assert (after[0] - before[0], after[1] - before[1]) == (4, 1)


@pytest.mark.sweep
def test_golden_inputs_warm_a_model_up_at_one_row_the_opt_and_the_most(server, served, affine_bundle):
    served(affine_bundle(), name="warm")
    assert server.executed("warm", "1") == (1 + 2 + 4, 3)
    served(affine_bundle(), name="cold", warmup=False)
    assert server.executed("cold", "1") == (0, 0)


def test_every_dtype_goes_there_and_back_unharmed(server, served, affine_bundle):
    served(affine_bundle(**of_identity(KINDS)), name="kinds")
    draw = np.random.default_rng(1)
    feeds = {s.name: draw.integers(0, 100, (2, 2, 3)).astype(s.numpy_dtype) for s in KINDS}
    answer = server.run("kinds", **feeds)
    for name, array in feeds.items():
        got = answer.as_numpy(f"{name}_out")
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


@pytest.mark.sweep
def test_what_has_no_axis_but_the_batch_is_one_number_per_row(server, served, affine_bundle):
    served(affine_bundle(**of_identity(SCALARS)), name="scalars")
    answer = server.run("scalars", token=np.array([[7], [8]]), scale=np.array([[0.5], [1]], np.float32))
    assert answer.as_numpy("token_out").tolist() == [[7], [8]]
    assert answer.as_numpy("scale_out").tolist() == [[0.5], [1.0]]


@pytest.mark.sweep
def test_a_model_without_a_batch_takes_its_own_shape(server, served, affine_bundle):
    served(affine_bundle(**of_identity(FIXED)), name="fixed")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(server.run("fixed", x=x).as_numpy("x_out"), x)
    with pytest.raises(Exception, match=r"axis 1 of input 'x' has size 4\. it takes x float32 \[2, length=1:2:3\]"):
        server.run("fixed", x=np.ones((2, 4), np.float32))


@pytest.mark.sweep
def test_classes_are_named(server, served, affine_bundle):
    served(affine_bundle(samples=SamplesRecord("images", 6, True, {"classes": ["ant", "bee", "cow"]})), name="named")
    asked = [http.InferRequestedOutput("y", class_count=2)]
    answer = server.http.infer("named", _given(http, {"x": np.float32([[1, 3, 2]])}), outputs=asked)
    assert [text.decode().split(":")[1:] for text in answer.as_numpy("y").ravel()] == [["1", "bee"], ["2", "cow"]]


def test_an_ensemble_decodes_as_the_bundle_itself_does(server, served, sequence_bundle):
    served(sequence_bundle, name="words")
    sources = np.random.default_rng(4).integers(0, 9, (5, 4))
    with open_decoder(sequence_bundle, precision="fp32") as decoder:
        truth = decoder.greedy(sources)
    answer = server.run("words", source=sources)
    assert [
        tuple(row[:n]) for row, (n,) in zip(answer.as_numpy("tokens").tolist(), answer.as_numpy("length"), strict=True)
    ] == [one.tokens for one in truth]
    np.testing.assert_allclose(
        answer.as_numpy("log_probability")[:, 0], [one.log_probability for one in truth], rtol=1e-5
    )
    assert answer.as_numpy("finished")[:, 0].tolist() == [one.finished for one in truth]
    for i in range(5):
        assert server.run("words", source=sources[i : i + 1]).as_numpy("tokens").tolist() == [
            answer.as_numpy("tokens")[i].tolist()
        ]
    with pytest.raises(Exception, match=r"token 9 is out of range\. 'source' takes whole numbers from 0 to 8"):
        server.run("words", source=np.full((1, 4), 9))


@pytest.mark.sweep
def test_a_new_version_of_an_ensemble_runs_its_own_parts(server, served, repository, sequence_bundle):
    served(sequence_bundle, name="twice")
    served(sequence_bundle, name="twice")
    server.run("twice", source=np.ones((1, 4), np.int64))
    rows = {v: server.executed("twice_decode", v)[0] for v in ("1", "2")}
    server.run("twice", source=np.ones((1, 4), np.int64))
    assert {v: server.executed("twice_decode", v)[0] - n for v, n in rows.items()} == {"1": 0, "2": 1}


@pytest.mark.sweep
def test_a_copy_that_was_damaged_is_not_served_and_the_old_version_is(server, served, affine_bundle, repository):
    served(affine_bundle(scale=2.0), name="damaged", keep=2)
    write_repository([affine_bundle(scale=3.0)], repository, RepositoryOptions(name="damaged", keep=2))
    model = repository / "damaged" / "2" / "damaged.attn" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    said = server.load("damaged")
    assert "file 'model.onnx' of" in said
    assert "has changed" in said
    assert float(server.run("damaged", x=np.ones((1, 3), np.float32)).as_numpy("y")[0, 0]) == 3


LOOKUP = """<ir_version: 9, opset_import: ["" : 18]>
lookup (int64[batch, 1] x) => (float[batch, 1] y) <float[3] table = {1.0, 2.0, 3.0}> { y = Gather(table, x) }"""


def test_golden_inputs_that_fail_keep_a_model_out_and_do_not_harm_the_server(server, affine_bundle, repository):
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(LOOKUP).SerializeToString(), "model-fp32"
    sides = {
        "inputs": (TensorSpec("x", "int64", (BATCH, ONE)),),
        "outputs": (TensorSpec("y", "float32", (BATCH, ONE)),),
    }
    for i in range(3):  # Triton itself, told to warm up with these, died at every second time
        bundle = affine_bundle(files={"model.onnx": model}, feeds={"x": np.full((2, 1), 9)}, **sides)
        write_repository([bundle], repository, RepositoryOptions(name=f"fails_{i}"))
        assert "indices element out of data bounds" in server.load(f"fails_{i}")
    assert server.http.is_server_live()


REFUSED_BY_BOTH: dict[str, Callable[[Any], object]] = {
    "a size of 0": lambda c: c.input[0].dims.__setitem__(0, 0),
    "a negative batch": lambda c: setattr(c, "max_batch_size", -1),
    "a preferred batch above the most": lambda c: c.dynamic_batching.preferred_batch_size.append(5),
    "another name": lambda c: setattr(c, "name", "nobody"),
    "a warm-up of more rows": lambda c: setattr(c.model_warmup[2], "batch_size", 5),
    "a warm-up without its file": lambda c: setattr(c.model_warmup[0].inputs["x"], "input_data_file", "none"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
def test_the_configuration_of_a_native_backend_is_valid_as_far_as_the_backend(
    server, affine_bundle, repository, backend
):
    files = {"engines/fp16.plan": (b"plan", "engine")}
    engine = EngineRecord("engines/fp16.plan", "enterprise", "10.13.3", "fp32", None, (), (), 1.0, 4, {}, "model.onnx")
    bundle = affine_bundle(files=files, engines=(engine,))
    write_repository([bundle], repository, RepositoryOptions(name=f"native_{backend}", backend=backend))
    assert f"unable to find backend library for backend '{backend}'" in server.load(f"native_{backend}")


@pytest.mark.sweep
@pytest.mark.parametrize("fault", REFUSED_BY_BOTH)
def test_what_triton_refuses_the_lint_has_said_before(server, affine_bundle, repository, fault):
    name = f"fault_{list(REFUSED_BY_BOTH).index(fault)}"
    (written,) = write_repository([affine_bundle()], repository, RepositoryOptions(name=name))
    config = parse((written.folder / "config.pbtxt").read_text(), "config.pbtxt")
    REFUSED_BY_BOTH[fault](config)
    (written.folder / "config.pbtxt").write_text(to_text(config))
    assert lint(written.folder)
    assert server.load(name)
