"""Inference over HTTP or gRPC with Triton's client, as an external client would do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ...errors import StageError, first_line
from ..closing import Closing
from .admin import client_module
from .endpoints import Endpoints

Protocol = Literal["http", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")

_NAMES = {
    "float16": "FP16", "float32": "FP32", "float64": "FP64", "int8": "INT8", "int16": "INT16", "int32": "INT32",
    "int64": "INT64", "uint8": "UINT8", "bool": "BOOL",
}  # fmt: skip

_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # The channels of a process share connections and their retry delays: a client of an ended server would make the clients of
    # the next one fail at once.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # the address is local
]


class Wire(Closing):
    """A connection by one protocol; HTTP sends arrays as bytes, not as JSON. ``patience``: seconds for one request."""

    def __init__(self, endpoints: Endpoints, protocol: Protocol, patience: float) -> None:
        self.protocol = protocol
        self._module = client_module(protocol)
        self._timeout: dict[str, float] = {}
        arguments: dict[str, Any]
        if protocol == "http":
            where, arguments = endpoints.http, {"connection_timeout": 5.0, "network_timeout": patience}
        else:
            where, arguments = endpoints.grpc, {"channel_args": _CHANNEL}
            self._timeout = {"client_timeout": patience}
        self._client = self._module.InferenceServerClient(f"{endpoints.local}:{where}", **arguments)

    def infer(self, model: str, feeds: Mapping[str, np.ndarray], version: str = "") -> dict[str, np.ndarray]:
        """Return outputs by name. Raise StageError with the server's message if it refuses or does not answer."""
        inputs: list[Any] = []
        for name, array in feeds.items():
            tensor = self._module.InferInput(name, list(array.shape), _NAMES[array.dtype.name])
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            inputs.append(tensor)
        try:
            answer = self._client.infer(model, inputs, model_version=version, **self._timeout)
        except Exception as error:  # the clients raise errors of several libraries
            raise StageError("serve", f"model {model!r} over {self.protocol}: {first_line(error)}") from error
        response = answer.get_response()
        if self.protocol == "http":
            names = [output["name"] for output in response.get("outputs", ())]
        else:
            names = [output.name for output in response.outputs]
        try:
            return {name: answer.as_numpy(name) for name in names}
        except ValueError as error:  # a Python backend under NumPy 2 sends no bytes at all
            raise StageError(
                "serve",
                f"model {model!r} over {self.protocol} returns other bytes than its shape needs: {first_line(error)}",
            ) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
