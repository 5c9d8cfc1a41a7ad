"""Clients of servers, in a process of their own: ``serving_client.py HTTP_OR_GRPC CLIENTS SECONDS ROUNDS FEEDS.npz MODEL@URL …``.

Each client sends its next request when it has the answer to the last; the servers are loaded in turns, in an order that alternates.
Prints one JSON list of rounds, each with requests, seconds and latencies in milliseconds by server. A request that fails ends the run.
"""

from __future__ import annotations

import importlib
import json
import selectors
import socket
import sys
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
    """One event loop for all clients, each with a channel of its own, and a message that is made once."""
    import asyncio

    import grpc
    from tritonclient.grpc import service_pb2_grpc

    message = request.message()

    async def one() -> None:
        async with grpc.aio.insecure_channel(url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            while (began := time.perf_counter()) < until:
                await call(message)
                taken.append(time.perf_counter() - began)

    async def everybody() -> None:
        await asyncio.gather(*(one() for _ in range(clients)))

    asyncio.run(everybody())


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
        self.feeds = feeds

    def message(self) -> Any:
        """The same as gRPC's message."""
        from tritonclient.grpc import service_pb2

        made = service_pb2.ModelInferRequest(model_name=self.model)
        for tensor in self.inputs:
            made.inputs.add(name=tensor.name(), datatype=tensor.datatype(), shape=tensor.shape())
            made.raw_input_contents.append(self.feeds[tensor.name()].tobytes())
        return made


def main() -> None:
    """All rounds."""
    protocol, clients, seconds, rounds, file, *servers = sys.argv[1:]
    with np.load(file) as arrays:
        feeds = dict(arrays)
    run = over_http if protocol == "http" else over_grpc
    asked = [(Request(protocol, model, feeds), url) for model, url in (server.split("@") for server in servers)]
    found: list[list[Any]] = []
    for number in range(int(rounds) + 1):  # the first is thrown away
        one: list[Any] = [None] * len(asked)
        order = range(len(asked))
        for i in order if number % 2 else reversed(order):
            request, url = asked[i]
            taken: list[float] = []
            began = time.perf_counter()
            run(url, int(clients), request, began + float(seconds), taken)
            latencies = [round(1e3 * latency, 3) for latency in taken]
            one[i] = {"requests": len(taken), "seconds": time.perf_counter() - began, "latencies": latencies}
        found.append(one)
    print(json.dumps(found[1:]))


if __name__ == "__main__":
    main()
