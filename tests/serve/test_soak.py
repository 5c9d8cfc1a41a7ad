"""Half the load that the server can take, for long: no error, no wrong value, and no more memory at the end than at the beginning.

Ten minutes under ``-m sweep``; some seconds in the default run, where memory has not settled and only errors and values are held.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLIENTS = 4
ROW = np.array([[0, 4]], np.int64)


def ask_for(server: Any, tools: Any, number: int, seconds: float, pause: float) -> int:
    """One client: over HTTP and gRPC in turns, each answer held to its value, at most one request per ``pause``; how many."""
    until = time.monotonic() + seconds
    asked = 0
    with tools.client(server) as http, tools.client(server, "grpc") as grpc:
        while (began := time.monotonic()) < until:
            x = np.full((1 + asked % 3, 3), 10 * asked + number, np.float32)
            feeds = {"x": x, "row": np.repeat(ROW, len(x), 0)}
            protocol, client = (("http", http), ("grpc", grpc))[asked % 2]
            got = client.infer("pair", tools.tensors(protocol, feeds))
            np.testing.assert_array_equal(got.as_numpy("y"), x * 2 + 1)
            asked += 1
            time.sleep(max(0.0, pause - (time.monotonic() - began)))
    return asked


def memory(server: Any) -> int:
    """Bytes that Triton and the processes of its models hold, what they share counted once."""
    found = 0
    for pid in (server.triton, *server.workers()):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        found += int(next(line for line in lines if line.startswith("Pss:")).split()[1]) << 10
    return found


@pytest.mark.parametrize(
    "seconds",
    [8, pytest.param(600, marks=[pytest.mark.sweep, pytest.mark.timeout(1200)])],
    ids=["short", "ten minutes"],
)
def test_at_half_load_nothing_fails_and_nothing_grows(tools: Any, tmp_path: Path, seconds: int) -> None:
    bundle = tools.write_pair(tmp_path / "pair.attn")
    with tools.Server([bundle]) as server, ThreadPoolExecutor(CLIENTS) as pool:
        server.ready()

        def load(length: float, pause: float) -> float:
            """Requests per second of all clients."""
            asked = [pool.submit(ask_for, server, tools, number, length, pause) for number in range(CLIENTS)]
            return sum(one.result() for one in asked) / length

        full = load(min(seconds / 4, 20.0), 0.0)
        pause = CLIENTS / (full / 2)
        load(seconds / 10, pause)
        before = memory(server)
        half = load(seconds, pause)
        after = memory(server)
        print(f"full {full:.0f}/s, half {half:.0f}/s, memory {before / 2**20:.1f} -> {after / 2**20:.1f} MiB")
        assert after < (before * 1.05 if seconds >= 600 else before + (64 << 20))
        assert server.is_ready()
        assert [event for event in server.events if event["level"] in ("warning", "error")] == []
        assert server.stop() == 0
