"""A server's life, on the real one: what stops it before it starts, what it survives, how it ends. Each test has its own server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

X = np.array([[1, 2, 3]], np.float32)
ROW = np.array([[0, 4]], np.int64)


@pytest.fixture
def pair(tools: Any, tmp_path: Path) -> Path:
    return tools.write_pair(tmp_path / "pair.attn")


@contextmanager
def occupied() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refusal(tools: Any, bundles: list[Path], *options: str, code: int = 2) -> str:
    """The one line that a server says that does not start; nothing is left of it."""
    with tools.Server(bundles, *options, ports=False) as server:
        error = server.error()
        assert server.process.returncode == code
    assert error.count("\n") == 1
    assert error.startswith("attnexport: ")
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("which", ["http", "grpc", "metrics"])
def test_an_occupied_port_is_one_line(tools: Any, pair: Path, which: str) -> None:
    ports = {"http": "0", "grpc": "0", "metrics": "0"}
    with occupied() as port:
        ports[which] = str(port)
        said = refusal(tools, [pair], *(word for name, at in ports.items() for word in (f"--{name}-port", at)))
    assert f"--{which}-port {port} on 127.0.0.1 is in use" in said


def test_a_missing_bundle_is_one_line(tools: Any, tmp_path: Path) -> None:
    assert "nothing.attn does not exist" in refusal(tools, [tmp_path / "nothing.attn"])


def test_a_changed_bundle_is_one_line(tools: Any, pair: Path) -> None:
    with (pair / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    assert "'model.onnx'" in refusal(tools, [pair])


def test_a_host_that_is_not_this_machine_is_one_line(tools: Any, pair: Path) -> None:
    assert "--host 192.0.2.1 is not an address of this machine" in refusal(tools, [pair], "--host", "192.0.2.1")


def test_a_triton_that_is_none_is_one_line(tools: Any, pair: Path, tmp_path: Path) -> None:
    assert "is not a program" in refusal(tools, [pair], "--triton", str(tmp_path))


def test_a_model_that_answers_wrongly_never_becomes_ready(tools: Any, tmp_path: Path) -> None:
    """Its files are whole and it loads, but its golden outputs say that it should give something else."""
    wrong = tools.write_pair(tmp_path / "wrong.attn", 2.0, true_scale=2.5)
    with tools.Server([wrong]) as server:
        error = server.error()
        assert server.process.returncode == 1
        assert re.search(r"output 'y' of model 'wrong': error is \S+x PyTorch's error; the limit is 2x", error)
        assert [e for e in server.events if e["event"] == "ready"] == []


def test_a_bundle_that_was_never_held_to_anything_is_not_served(tools: Any, pair: Path) -> None:
    manifest = json.loads((pair / "manifest.json").read_text())
    manifest["parity"] = []
    (pair / "manifest.json").write_text(json.dumps(manifest))
    with tools.Server([pair]) as server:
        error = server.error()
        assert server.process.returncode == 2
    assert "has no gate for output 'y'" in error


def test_a_model_that_cannot_be_loaded_is_one_line(tools: Any, tmp_path: Path, pair: Path) -> None:
    """The bundle agrees with its manifest, and its model is no model."""
    broken = tmp_path / "broken.attn"
    shutil.copytree(pair, broken)
    reseal(broken, b"no model")
    with tools.Server([broken]) as server:
        error = server.error()
        assert server.process.returncode == 1
    assert "model 'broken' cannot be loaded" in error
    assert error.count("\n") == 1


def reseal(bundle: Path, model: bytes) -> None:
    """Another model in a bundle, with the manifest to it."""
    import hashlib

    (bundle / "model.onnx").write_bytes(model)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model.onnx"] |= {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def infer(tools: Any, server: Any) -> np.ndarray:
    with tools.client(server) as client:
        return client.infer("pair", tools.tensors("http", {"x": X, "row": ROW})).as_numpy("y")


def test_it_is_not_ready_before_its_golden_inputs_were_answered(tools: Any, tmp_path: Path) -> None:
    """The model takes a while for its golden inputs: loaded, and callable, and still Triton itself says that it is not ready."""
    slow = tools.write_slow(tmp_path / "slow.attn", golden_turns=400)
    with tools.Server([slow]) as server:
        server.http = server.wait_for("starting")["http"].removeprefix("http://")
        assert tools.eventually(lambda: server.get("/v2/models/slow/ready") == 200)
        while "verified" not in [event["event"] for event in server.events]:
            verified_before = [event["event"] for event in server.events].count("verified")
            status = server.get("/v2/health/ready")
            assert (status, verified_before) == (400, 0) or "verified" in [event["event"] for event in server.events]
        server.ready()
        assert server.is_ready()
        assert server.stop() == 0


def test_it_listens_on_loopback_alone_and_gives_metrics(tools: Any, pair: Path) -> None:
    with tools.Server([pair]) as server:
        server.ready()
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        for port in (server.http.split(":")[1], server.grpc.split(":")[1], server.metrics.split(":")[2].split("/")[0]):
            places = re.findall(rf"\d+: (\S+):{int(port):04X} \S+ 0A", listening)
            assert places
            assert all(place in ("0100007F", "0000000000000000FFFF00000100007F") for place in places)
        with urllib.request.urlopen(server.metrics, timeout=10) as answer:
            assert b'nv_inference_request_success{model="pair"' in answer.read()
        assert server.stop() == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_sigterm_answers_all_that_is_in_flight(tools: Any, tmp_path: Path, protocol: str) -> None:
    slow = tools.write_slow(tmp_path / "slow.attn")
    with tools.Server([slow]) as server:
        server.ready()

        def ask(i: int) -> np.ndarray:
            feeds = {"x": X + i, "turns": np.array([[8000 if i == 0 else 1]])}
            with tools.client(server, protocol) as client:
                return client.infer("slow", tools.tensors(protocol, feeds)).as_numpy("z")

        with ThreadPoolExecutor(13) as pool:
            list(pool.map(ask, range(1, 13)))  # clients have what they need
            asked = [pool.submit(ask, 0)]
            time.sleep(0.5)  # it runs, and what comes now has to wait for it
            asked += [pool.submit(ask, i) for i in range(1, 13)]
            assert tools.eventually(lambda: pending(server, "slow") >= 12)
            server.process.send_signal(signal.SIGTERM)
            for i, answer in enumerate(asked):
                np.testing.assert_array_equal(answer.result(60), (X + i) * 2 + 1)
        assert server.process.wait(60) == 0
        assert server.wait_for("stopped")["message"] == "every accepted request was answered"
        assert not Path(f"/proc/{server.triton}").exists()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_connections_that_stay_open_delay_the_end_no_longer_than_they_may(
    tools: Any, tmp_path: Path, busy: bool
) -> None:
    slow = tools.write_slow(tmp_path / "slow.attn")
    options = ("--drain", "1") if busy else ("--drain", "1", "--no-front")  # a front closes connections that are idle
    with tools.Server([slow], *options) as server, tools.client(server.ready(), network_timeout=60.0) as client:

        def ask(turns: int) -> None:
            client.infer("slow", tools.tensors("http", {"x": X, "turns": np.array([[turns]])}))

        ask(1)
        with ThreadPoolExecutor(1) as pool:
            if busy:
                hung_up = pool.submit(other, tools, server)
                assert tools.eventually(lambda: connections(server) >= 2)
            assert server.stop() == 0
            assert not busy or hung_up.result(60)
        said = server.wait_for("stopped")
        assert (said["level"], said["message"]) == (
            "warning", "clients kept connections open for 1 s; requests in flight are lost"
        )  # fmt: skip


def other(tools: Any, server: Any) -> bool:
    """Whether a request that takes far too long is hung up on."""
    with tools.client(server, network_timeout=60.0) as client:
        try:
            client.infer("slow", tools.tensors("http", {"x": X, "turns": np.array([[100_000]])}))
        except Exception:  # the transport's own
            return True
    return False


def test_a_second_signal_ends_it_at_once(tools: Any, tmp_path: Path) -> None:
    slow = tools.write_slow(tmp_path / "slow.attn")
    with tools.Server([slow]) as server, ThreadPoolExecutor(1) as pool:
        server.ready()
        hung_up = pool.submit(other, tools, server)
        assert tools.eventually(lambda: connections(server) >= 1)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        assert server.stop() == 1
        assert server.wait_for("killed")["message"] == "a second signal: requests in flight are lost"
        assert hung_up.result(60)


def pending(server: Any, model: str) -> int:
    """Requests that wait for a model, by Triton's own metric."""
    with urllib.request.urlopen(server.metrics, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = f'nv_inference_pending_request_count{{model="{model}"'
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(name))


def connections(server: Any) -> int:
    """Open connections to the HTTP port, as the kernel counts them."""
    port = int(server.http.split(":")[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


def test_a_model_that_loses_its_process_is_loaded_again(tools: Any, pair: Path) -> None:
    """Under traffic: a request is refused or answered rightly, and from the recovery on all are answered."""
    stop = threading.Event()
    answers: list[tuple[float, np.ndarray | Exception]] = []

    def ask(server: Any) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                answers.append((began, infer(tools, server)))
            except Exception as error:  # the transport's, or Triton's refusal
                answers.append((began, error))

    with tools.Server([pair]) as server, ThreadPoolExecutor(3) as pool:
        server.ready()
        asking = [pool.submit(ask, server) for _ in range(3)]
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.wait_for("lost")
        server.wait_for("recovered")
        recovered = time.monotonic()
        assert server.is_ready()
        assert tools.eventually(lambda: sum(began > recovered for began, _ in answers) > 20)
        stop.set()
        for one in asking:
            one.result(30)
        for began, answer in answers:
            if isinstance(answer, Exception):
                assert began < recovered, answer
            else:
                np.testing.assert_array_equal(answer, X * 2 + 1)
        assert server.workers() not in ([], [worker])
        assert [e for e in server.events if e["event"] == "crashed"] == []
        assert server.stop() == 0


def test_a_request_that_kills_triton_is_survived(tools: Any, pair: Path) -> None:
    """Triton 2.51 makes room for what a JSON request says its shape is, 2^40 rows, and aborts (fixed there since, server#8432)."""
    request = {"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [2**40, 3], "data": [1, 2, 3]},
        {"name": "row", "datatype": "INT64", "shape": [1, 2], "data": [0, 4]},
    ]}  # fmt: skip
    with tools.Server([pair], "--no-front") as server:
        first = server.ready().triton
        body = json.dumps(request).encode()
        with tools.client(server) as client, pytest.raises(Exception):  # noqa: B017  # hung up, or refused
            client._client_stub.post("v2/models/pair/infer", body).read()
            raise ConnectionError
        if server.triton == first and not tools.eventually(lambda: not alive(first), 3):
            pytest.skip("this Triton refuses it")
        crashed = server.wait_for("crashed")
        assert "was killed by SIGABRT; starting again in 1 s" in crashed["message"]
        server.wait_for("ready", after=server.events.index(crashed))
        np.testing.assert_array_equal(infer(tools, server), X * 2 + 1)
        assert server.stop() == 0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_triton_that_is_killed_comes_back_and_one_that_cannot_is_given_up(tools: Any, pair: Path) -> None:
    with tools.Server([pair], "--restarts", "1") as server:
        server.ready()
        for _ in range(2):
            before = len(server.events)
            os.kill(server.triton, signal.SIGKILL)
            if _ == 0:
                crashed = server.wait_for("crashed", before)
                assert crashed["message"] == "Triton was killed by SIGKILL; starting again in 1 s (failure 1 of 1)"
                server.wait_for("ready", before)
                np.testing.assert_array_equal(infer(tools, server), X * 2 + 1)
        error = server.error()
        assert server.process.returncode == 1
    assert "Triton was killed by SIGKILL; 2 failures with too little time in service between them" in error


def test_kill_9_of_the_supervisor_leaves_nothing(tools: Any, pair: Path) -> None:
    with tools.Server([pair]) as server:
        server.ready()
        triton, workers = server.triton, server.workers()
        assert workers
        server.process.kill()
        assert tools.eventually(lambda: not alive(triton), 5)
        for address in (server.http, server.grpc, server.metrics.split("/")[2]):
            host, port = address.split(":")
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind((host, int(port)))
                again.listen()
        assert tools.eventually(lambda: not any(map(alive, workers)), 20)
    with tools.Server([pair]) as server:  # and the next one removes its files and its shared memory
        server.ready()
        run = next(word for word in tools.command(server.triton).split(b"\0") if b"shm-region-prefix-name" in word)
        mine = run.decode().rpartition("=")[2]
        assert {p.name[: len(mine)] for p in Path("/dev/shm").glob("attnexport-*")} >= {mine}
        assert server.stop() == 0
    assert list(Path("/dev/shm").glob(f"{mine}*")) == []


def test_versions_are_exchanged_under_traffic_without_an_error(tools: Any, tmp_path: Path) -> None:
    """Good, wrong and broken new versions, on SIGHUP: the good one takes over, the old one outlasts the others."""
    bundle = tools.write_pair(tmp_path / "pair.attn", 2.0)
    stop = threading.Event()
    seen: list[tuple[float, float]] = []

    def ask(server: Any) -> None:
        with tools.client(server, "grpc") as client:
            while not stop.is_set():
                y = client.infer("pair", tools.tensors("grpc", {"x": X, "row": ROW}), client_timeout=30).as_numpy("y")
                seen.append((time.monotonic(), float(y[0, 0])))

    with tools.Server([bundle]) as server:
        server.ready()
        with ThreadPoolExecutor(4) as pool, ExitStack() as stack:
            stack.callback(stop.set)  # also if an assertion fails: the pool waits for its threads
            asking = [pool.submit(ask, server) for _ in range(4)]

            def hangup(event: str) -> dict[str, Any]:
                before = len(server.events)
                server.process.send_signal(signal.SIGHUP)
                said = server.wait_for(event, before)
                time.sleep(0.3)
                return said

            hangup("unchanged")
            tools.write_pair(bundle, 3.0, replace=True)
            assert hangup("reloaded")["version"] == 2
            exchanged = time.monotonic()
            tools.write_pair(bundle, 4.0, true_scale=9.0, replace=True)
            assert "x PyTorch's error" in hangup("refused")["message"]
            reseal(bundle, b"no model")
            assert "cannot be loaded" in hangup("refused")["message"]
            stop.set()
            for one in asking:
                one.result(30)  # raises what the client raised: no request failed
        assert {y for _, y in seen} == {3.0, 4.0}  # 2 x + 1 and 3 x + 1; 4 x + 1 would be 5
        assert {y for when, y in seen if when > exchanged} == {4.0}
        assert server.is_ready()
        assert server.stop() == 0


def test_ten_times_too_much_is_refused_quickly_and_passes(tools: Any, tmp_path: Path) -> None:
    from tritonclient.utils import InferenceServerException

    slow = tools.write_slow(tmp_path / "slow.attn")
    feeds = {"x": np.repeat(X, 8, 0), "turns": np.full((8, 1), 30)}
    with tools.Server([slow], "--max-queue", "8") as server:
        server.ready()

        def ask(_: int) -> tuple[str, float]:
            began = time.monotonic()
            with tools.client(server, network_timeout=120.0) as client:
                try:
                    got = client.infer("slow", tools.tensors("http", feeds)).as_numpy("z")
                except InferenceServerException as error:
                    return str(error), time.monotonic() - began
            np.testing.assert_array_equal(got, feeds["x"] * 2 + 1)
            return "", time.monotonic() - began

        def memory() -> int:
            pids = [server.triton, *server.workers()]
            return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids)

        ask(0)
        before = memory()
        with ThreadPoolExecutor(100) as pool:  # 2 run and 8 wait
            answers = list(pool.map(ask, range(300)))
        refused = [took for error, took in answers if "Exceeds maximum queue size" in error]
        answered = [took for error, took in answers if not error]
        assert len(refused) + len(answered) == 300
        assert len(refused) > 100
        assert len(answered) >= 10
        assert memory() - before < 100 << 20
        assert ask(0)[0] == ""
        assert server.is_ready()
        assert server.stop() == 0
