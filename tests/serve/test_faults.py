"""What clients do wrong, each on the real server: refused in so many words, and everybody else is answered as before."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REFUSED = (400, 500)
"""Triton says 500 where it cannot read a request at all."""
X = np.array([[1, 2, 3]], np.float32)
ROW = np.array([[0, 4]], np.int64)
GOOD = {"inputs": [
    {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
    {"name": "row", "datatype": "INT64", "shape": [1, 2], "data": [0, 4]},
]}  # fmt: skip


@pytest.fixture(scope="module")
def server(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bundles")
    bundles = [tools.write_pair(folder / "pair.attn"), tools.write_slow(folder / "slow.attn")]
    with tools.Server(bundles) as running:
        yield running.ready()
        assert running.stop() == 0
        crashes = [e for e in running.events if e["event"] in ("crashed", "lost")]
        assert crashes == []


@pytest.fixture(autouse=True)
def everybody_else_is_answered(server: Any, tools: Any) -> Iterator[None]:
    """After each fault the same process answers a good request with the right values."""
    before = server.triton, server.workers()
    yield
    with tools.client(server) as client:
        got = client.infer("pair", tools.tensors("http", {"x": X, "row": ROW}))
    np.testing.assert_array_equal(got.as_numpy("y"), X * 2 + 1)
    np.testing.assert_array_equal(got.as_numpy("picked"), tools.TABLE[ROW])
    assert server.is_ready()
    assert (server.triton, server.workers()) == before


def exchange(server: Any, head: bytes, *parts: bytes, close: bool = False, timeout: float = 60) -> tuple[int, bytes]:
    """Send raw bytes to the HTTP port; the answer's status (0 where it only hangs up) and body."""
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout) as stream:
        try:
            for part in (head, *parts):
                stream.sendall(part)
            if close:
                stream.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := stream.recv(65536):
                answer += piece
                head_end = answer.find(b"\r\n\r\n")
                if head_end >= 0:
                    lines = answer[:head_end].decode().lower().split("\r\n")
                    size = next((int(v.split(":")[1]) for v in lines if v.startswith("content-length:")), 0)
                    if len(answer) >= head_end + 4 + size:
                        break
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    if not answer:
        return 0, b""
    return int(answer.split(b" ")[1]), answer[answer.find(b"\r\n\r\n") + 4 :]


def post(server: Any, body: bytes, headers: str = "", model: str = "pair", **options: Any) -> tuple[int, bytes]:
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    return exchange(server, head, body, **options)


def changed(name: str, **values: Any) -> dict[str, Any]:
    """The good request with something else in one input."""
    return {"inputs": [{**tensor, **(values if tensor["name"] == name else {})} for tensor in GOOD["inputs"]]}


BAD_JSON = {
    "wrong dtype": (changed("x", datatype="FP64"), "data-type"),
    "unknown dtype": (changed("x", datatype="FP99"), "invalid datatype for input x"),
    "more data than its shape": (changed("x", data=[1, 2, 3, 4]), "does not match true shape"),
    "less data than its shape": (changed("x", data=[1, 2]), "does not match true shape"),
    "negative dimension": (changed("x", shape=[1, -3]), "shape"),
    "wrong rank": (changed("x", shape=[3]), "batch size does not match"),
    "one axis more": (changed("x", shape=[1, 1, 3]), "Expected [-1,3], got [1,1,3]"),
    "another size": (changed("x", shape=[1, 4], data=[1, 2, 3, 4]), "Expected [-1,3], got [1,4]"),
    "missing input": ({"inputs": GOOD["inputs"][:1]}, "missing required input(s) ['row']"),
    "no input at all": ({"inputs": []}, "expected 2 inputs"),
    "duplicate input": ({"inputs": [*GOOD["inputs"], GOOD["inputs"][0]]}, "input 'x' already exists"),
    "unknown input": ({"inputs": [*GOOD["inputs"], {**GOOD["inputs"][0], "name": "w"}]}, "expected 2 inputs but got 3"),
    "unknown output": ({**GOOD, "outputs": [{"name": "w"}]}, "unexpected inference output 'w'"),
    "batch above the largest": (
        {"inputs": [
            {"name": "x", "datatype": "FP32", "shape": [9, 3], "data": [1.0] * 27},
            {"name": "row", "datatype": "INT64", "shape": [9, 2], "data": [0] * 18},
        ]}, "batch-size must be <= 8",
    ),
    "rows that differ": (changed("row", shape=[2, 2], data=[0, 4, 1, 1]), "batch size does not match"),
    "a number too large for its type": (changed("row", data=[2**70, 0]), "Unable to parse 'data'"),
    "text where numbers belong": (changed("x", data=["a", "b", "c"]), "Unable to parse 'data'"),
    "inputs that are no list": ({"inputs": 3}, "Unable to parse 'inputs'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_JSON)
def test_a_request_that_is_wrong_is_refused_and_says_why(server: Any, fault: str) -> None:
    request, said = BAD_JSON[fault]
    status, body = post(server, json.dumps(request).encode())
    assert status in REFUSED
    assert said in json.loads(body)["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe\x00garbage", b"[]", b"null", b'{"inputs": [{}]}', b"[" * 100_000]
)
def test_garbage_instead_of_json_is_refused(server: Any, body: bytes) -> None:
    status, answer = post(server, body)
    assert status in REFUSED
    assert json.loads(answer)["error"]


def binary_request(x_bytes: int = 12) -> tuple[bytes, bytes]:
    head = json.dumps({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": x_bytes}},
        {"name": "row", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": 16}},
    ]}).encode()  # fmt: skip
    return head, X.tobytes() + ROW.tobytes()


@pytest.mark.parametrize("length", ["-1", "abc", "999999", "5", "99999999999999999999"])
def test_a_header_length_that_is_wrong_is_refused(server: Any, length: str) -> None:
    head, data = binary_request()
    status, _ = post(server, head + data, f"Inference-Header-Content-Length: {length}\r\n")
    assert status in REFUSED


@pytest.mark.parametrize("size", [0, 11, 13, 2**31, 2**40, -4])
def test_bytes_that_do_not_fit_the_shape_are_refused(server: Any, size: int) -> None:
    head, data = binary_request(size)
    status, _ = post(server, head + data, f"Inference-Header-Content-Length: {len(head)}\r\n")
    assert status in REFUSED


def test_the_same_request_without_a_fault_is_answered(server: Any) -> None:
    head, data = binary_request()
    status, body = post(server, head + data, f"Inference-Header-Content-Length: {len(head)}\r\n")
    assert status == 200
    assert {one["name"]: one["data"] for one in json.loads(body)["outputs"]}["y"] == [3, 5, 7]


def test_a_body_that_ends_before_its_length_is_no_request(server: Any) -> None:
    body = json.dumps(GOOD).encode()
    head = f"POST /v2/models/pair/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 100}\r\n\r\n".encode()
    status, _ = exchange(server, head, body, close=True)
    assert status in (0, *REFUSED)


def test_disconnecting_half_way_harms_nobody(server: Any) -> None:
    host, port = server.http.split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell
            stream.sendall(b"POST /v2/models/pair/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")


def test_a_client_that_is_gone_before_its_answer_harms_nobody(server: Any) -> None:
    request = {"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
        {"name": "turns", "datatype": "INT64", "shape": [1, 1], "data": [300]},
    ]}  # fmt: skip
    body = json.dumps(request).encode()
    host, port = server.http.split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as stream:
            stream.sendall(
                f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )


def test_a_slow_upload_is_answered_and_nobody_waits_for_it(server: Any, tools: Any) -> None:
    body = json.dumps(GOOD).encode()
    head = f"POST /v2/models/pair/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    half = threading.Event()
    go_on = threading.Event()
    answers: list[tuple[int, bytes]] = []

    def drip() -> None:
        host, port = server.http.split(":")
        with socket.create_connection((host, int(port)), 60) as stream:
            for i in range(0, len(body), 8):
                stream.sendall((head if i == 0 else b"") + body[i : i + 8])
                if i > len(body) // 2 and not half.is_set():
                    half.set()
                    go_on.wait(30)
            answer = stream.recv(65536)
            answers.append((int(answer.split(b" ")[1]), answer))

    uploading = threading.Thread(target=drip)
    uploading.start()
    assert half.wait(30)
    with tools.client(server) as client:
        for _ in range(20):
            client.infer("pair", tools.tensors("http", {"x": X, "row": ROW}))
    go_on.set()
    uploading.join(30)
    assert answers[0][0] == 200


def test_200_megabytes_are_refused_and_memory_stays_bounded(server: Any) -> None:
    size = 200 << 20
    head = f"POST /v2/models/pair/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    piece = b"\0" * (4 << 20)
    held = []
    for _ in range(3):
        status, _ = exchange(server, head, *([piece] * (size // len(piece))))
        assert status in (0, 413, *REFUSED)
        lines = Path(f"/proc/{server.triton}/status").read_text().splitlines()
        held.append(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) << 10)
    # The first two may leave a buffer to be used again, and parts of it come and go.
    assert held[2] < max(held[:2]) + size // 2


def test_garbage_instead_of_protobuf_is_refused(server: Any) -> None:
    import grpc

    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for body in (b"\xff" * 50, b"garbage", b"\x0a\xff\xff\xff\xff\x0f"):
            with pytest.raises(grpc.RpcError) as refused:
                call(body, timeout=30)
            assert refused.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


GRPC_FAULTS = {
    "wrong dtype": ({"x": X.astype(np.float64), "row": ROW}, "data-type"),
    "wrong rank": ({"x": X[0], "row": ROW}, "batch size does not match"),
    "batch above the largest": ({"x": np.repeat(X, 9, 0), "row": np.repeat(ROW, 9, 0)}, "batch-size must be <= 8"),
    "missing input": ({"x": X}, "missing required input(s) ['row']"),
    "unknown input": ({"x": X, "row": ROW, "w": X}, "expected 2 inputs but got 3"),
    "a row out of range": ({"x": X, "row": np.array([[0, 999]])}, "out of data bounds"),
}


@pytest.mark.parametrize("fault", GRPC_FAULTS)
def test_over_grpc_the_same(server: Any, tools: Any, fault: str) -> None:
    from tritonclient.utils import InferenceServerException

    feeds, said = GRPC_FAULTS[fault]
    with tools.client(server, "grpc") as client, pytest.raises(InferenceServerException) as refused:
        client.infer("pair", tools.tensors("grpc", feeds), client_timeout=60)
    assert said in str(refused.value)


@pytest.mark.parametrize(("shape", "raw"), [([2**40, 3], 12), ([-1, 3], 12), ([1, 3], 11), ([1, 3], 4000)])
def test_over_grpc_shapes_and_bytes_that_do_not_fit(server: Any, shape: list[int], raw: int) -> None:
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    request = service_pb2.ModelInferRequest(model_name="pair")
    request.inputs.add(name="x", datatype="FP32", shape=shape)
    request.inputs.add(name="row", datatype="INT64", shape=[1, 2])
    request.raw_input_contents.extend([b"\0" * raw, ROW.tobytes()])
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def occupy(server: Any, tools: Any, turns: int) -> threading.Thread:
    """Keep the one instance of the slow model busy, so that what comes next is grouped."""

    def ask() -> None:
        with tools.client(server, network_timeout=120.0) as client:
            client.infer("slow", tools.tensors("http", {"x": X, "turns": np.array([[turns]])}))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    return thread


def executions(server: Any, tools: Any, model: str) -> tuple[int, int]:
    """How many rows a model has answered, and in how many runs."""
    with tools.client(server) as client:
        row = client.get_inference_statistics(model)["model_stats"][0]
    return int(row["inference_count"]), int(row["execution_count"])


def test_a_poisoned_request_harms_none_of_its_batch(server: Any, tools: Any) -> None:
    """Three good requests and one whose row is out of range, sent at once over and over: grouped now and then, right always."""
    from tritonclient.utils import InferenceServerException

    def ask(i: int) -> Any:
        x = np.full((1, 3), i, np.float32)
        row = np.array([[0, 999 if i % 4 == 3 else i % 4]])
        with tools.client(server, "grpc") as client:
            try:
                return client.infer("pair", tools.tensors("grpc", {"x": x, "row": row}), client_timeout=60).as_numpy(
                    "y"
                )
            except InferenceServerException as error:
                return error

    rows, runs = executions(server, tools, "pair")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(160)))
    for i, answer in enumerate(answers):
        if i % 4 == 3:
            assert isinstance(answer, InferenceServerException), i
        else:
            np.testing.assert_array_equal(answer, np.full((1, 3), 2 * i + 1, np.float32))
    more_rows, more_runs = executions(server, tools, "pair")
    assert more_runs - runs < more_rows - rows  # some were grouped


def test_cancelling_inside_a_batch_harms_none_of_it(server: Any, tools: Any) -> None:
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    def request(value: float) -> Any:
        made = service_pb2.ModelInferRequest(model_name="slow")
        made.inputs.add(name="x", datatype="FP32", shape=[1, 3])
        made.inputs.add(name="turns", datatype="INT64", shape=[1, 1])
        made.raw_input_contents.extend([np.full(3, value, np.float32).tobytes(), np.array([1]).tobytes()])
        return made

    busy = occupy(server, tools, 8000)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request(i), timeout=120) for i in range(6)]
        time.sleep(0.2)
        for call in calls[::2]:
            call.cancel()
        busy.join(120)
        for i, call in enumerate(calls):
            if i % 2:
                got = np.frombuffer(call.result().raw_output_contents[0], np.float32)
                np.testing.assert_array_equal(got, np.full(3, 2 * i + 1, np.float32))
            else:
                assert call.cancelled()


@pytest.mark.parametrize("path", ["/v2/models/nobody", "/v2/models/pair/versions/9", "/v2/nothing", "/"])
def test_what_is_not_there_is_not_found(server: Any, path: str) -> None:
    assert server.get(path) in (400, 404)


@pytest.mark.parametrize("call", ["repository/index", "repository/models/pair/load", "repository/models/pair/unload"])
@pytest.mark.parametrize("key", ["", "attnexport-admin-key: wrong\r\n"])
def test_nobody_loads_or_unloads_without_the_key(server: Any, call: str, key: str) -> None:
    body = b"{}"
    head = f"POST /v2/{call} HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 2\r\n\r\n".encode()
    assert exchange(server, head, body)[0] == 403
