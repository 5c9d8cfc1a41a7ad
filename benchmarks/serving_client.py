"""Clients of a server, in a process of their own: ``python serving_client.py HTTP_OR_GRPC URL MODEL CLIENTS SECONDS FEEDS.npz``.

Each client sends its next request when it has the answer to the last. Prints one JSON object: requests, seconds, and the
latencies' median and 99th percentile in milliseconds. A request that fails ends the run.
"""

from __future__ import annotations

import importlib
import json
import selectors
import socket
import sys
import threading
import time
from typing import Any

import numpy as np


class Connection:
    """One client over HTTP: its bytes are made once, so that the clients take as little of the machine as they can."""

    def __init__(self, url: str, message: bytes) -> None:
        host, port = url.split(":")
        self.stream = socket.create_connection((host, int(port)))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.message = message
        self.began = 0.0
        self.answer = b""

    def send(self) -> None:
        """The next request."""
        self.answer, self.began = b"", time.perf_counter()
        self.stream.sendall(self.message)

    def receive(self) -> bool:
        """Whether the answer is whole now. Raises RuntimeError for any but 200."""
        piece = self.stream.recv(1 << 16)
        self.answer += piece
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not piece or (found and not head.startswith(b"HTTP/1.1 200 ")):
            raise RuntimeError(f"refused: {self.answer[:500]!r}")
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), -1)
        return bool(found) and len(body) >= size


def over_http(url: str, clients: int, request: Any, until: float, taken: list[float]) -> None:
    """One thread for all connections."""
    body, length = request.module.InferenceServerClient.generate_request_body(request.inputs)
    head = (
        f"POST /v2/models/{request.model}/infer HTTP/1.1\r\nHost: {url}\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {length}\r\n\r\n"
    )
    connections = [Connection(url, head.encode() + body) for _ in range(clients)]
    with selectors.DefaultSelector() as selector:
        for one in connections:
            selector.register(one.stream, selectors.EVENT_READ, one)
            one.send()
        waiting = clients
        while waiting:
            for key, _ in selector.select():
                one = key.data
                if one.receive():
                    now = time.perf_counter()
                    taken.append(now - one.began)
                    if now < until:
                        one.send()
                    else:
                        waiting -= 1
    for one in connections:
        one.stream.close()


def over_grpc(url: str, clients: int, request: Any, until: float, taken: list[float]) -> None:
    """Threads, each with a connection of its own."""
    failed: list[BaseException] = []

    def one() -> None:
        try:
            channel = [("grpc.use_local_subchannel_pool", 1)]
            client = request.module.InferenceServerClient(url, channel_args=channel)
            ask(client, request, until, taken)
            client.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


class Request:
    """One row of what the model takes, made once."""

    def __init__(self, protocol: str, model: str, feeds: dict[str, np.ndarray]) -> None:
        from tritonclient.utils import np_to_triton_dtype

        self.module: Any = importlib.import_module(f"tritonclient.{protocol}")
        self.model = model
        self.inputs = []
        for name, array in feeds.items():
            tensor = self.module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            self.inputs.append(tensor)


def ask(client: Any, request: Request, until: float, taken: list[float]) -> None:
    """Requests, one after the other."""
    while (began := time.perf_counter()) < until:
        client.infer(request.model, request.inputs)
        taken.append(time.perf_counter() - began)


def main() -> None:
    """One run."""
    protocol, url, model, clients, seconds, file = sys.argv[1:]
    with np.load(file) as arrays:
        request = Request(protocol, model, dict(arrays))
    taken: list[float] = []
    began = time.perf_counter()
    run = over_http if protocol == "http" else over_grpc
    run(url, int(clients), request, began + float(seconds), taken)
    median, p99 = np.percentile(taken, (50, 99)) * 1e3
    print(json.dumps({"requests": len(taken), "seconds": time.perf_counter() - began, "median": median, "p99": p99}))


if __name__ == "__main__":
    main()
