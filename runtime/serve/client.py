"""Triton's own client: inference over HTTP or gRPC, as an external client does it, and administration with the server's key."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ...errors import StageError, first_line
from ..closing import Closing
from ..triton.config import TYPES, client_module
from .options import Endpoints

HEADER = "attnexport-admin-key"
"""The HTTP header with the key; over gRPC it has the prefix ``triton-grpc-protocol-``."""
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""Calls that need the key: loading a model can run code, and a page in a browser can post to this machine."""


class Admin(Closing):
    """The administration calls of one server. Every call raises StageError with Triton's message if Triton refuses it.

    Use it in a short ``with`` block: a Triton that stops waits until every connection is closed.
    """

    def __init__(self, endpoints: Endpoints, key: str, patience: float) -> None:
        module = client_module("http", "serving")
        self._client = module.InferenceServerClient(
            f"{endpoints.local}:{endpoints.http}", connection_timeout=5.0, network_timeout=patience
        )
        self._headers = {HEADER: key}

    def live(self) -> bool:
        """Whether Triton answers."""
        return self._confirms("is_server_live")

    def ready(self) -> bool:
        """Whether Triton reports to be ready."""
        return self._confirms("is_server_ready")

    def index(self) -> list[dict[str, str]]:
        """Every version that Triton knows: ``name``, ``version``, ``state``, ``reason``."""
        rows: list[dict[str, str]] = self._call("the list of models", "get_model_repository_index")
        return rows

    def load(self, model: str) -> None:
        """Load a model, or its new versions."""
        self._call(f"model {model!r}", "load_model", model)

    def unload(self, model: str) -> None:
        """Unload a model once its requests are answered."""
        self._call(f"model {model!r}", "unload_model", model)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _confirms(self, question: str) -> bool:
        try:
            return bool(getattr(self._client, question)())
        except Exception:  # the client raises errors of several libraries
            return False

    def _call(self, what: str, method: str, *arguments: str) -> Any:
        try:
            return getattr(self._client, method)(*arguments, headers=self._headers)
        except Exception as error:  # as above
            raise StageError("serve", f"{what}: {first_line(error)}") from error


Protocol = Literal["http", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")

_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # The channels of a process share connections and their retry delays: a client of an ended server would make the clients of
    # the next one fail at once.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # the address is local
]


def type_name(array: np.ndarray) -> str:
    """The word of Triton's protocol for an array's type: ``FP32``."""
    return TYPES[array.dtype.name].removeprefix("TYPE_")


class Wire(Closing):
    """A connection by one protocol; HTTP sends arrays as bytes, not as JSON. ``patience``: seconds for one request."""

    def __init__(self, endpoints: Endpoints, protocol: Protocol, patience: float) -> None:
        self.protocol = protocol
        self._module = client_module(protocol, "serving")
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
            tensor = self._module.InferInput(name, list(array.shape), type_name(array))
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
