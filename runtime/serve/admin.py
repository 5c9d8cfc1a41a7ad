"""Triton's administration calls, by its own client: list, load and unload models. They need the key of this server."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import MissingBackendError, StageError, first_line
from .endpoints import Endpoints

HEADER = "attnexport-admin-key"
"""The HTTP header with the key; over gRPC it has the prefix ``triton-grpc-protocol-``."""
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""Calls that need the key: loading a model can run code, and a page in a browser can post to this machine."""


def client_module(name: str) -> Any:
    """Return ``tritonclient.http`` or ``tritonclient.grpc``. Raise MissingBackendError if it is not installed."""
    try:
        return importlib.import_module(f"tritonclient.{name}")
    except ImportError as error:
        raise MissingBackendError(
            f"serving needs tritonclient ({first_line(error)})", "install it with: pip install 'attnexport[serve]'"
        ) from error


class Admin:
    """The administration calls of one server. Every call raises StageError with Triton's message if Triton refuses it.

    Use it in a short ``with`` block: a Triton that stops waits until every connection is closed.
    """

    def __init__(self, endpoints: Endpoints, key: str, patience: float) -> None:
        module = client_module("http")
        self._client = module.InferenceServerClient(
            f"{endpoints.local}:{endpoints.http}", connection_timeout=5.0, network_timeout=patience
        )
        self._headers = {HEADER: key}

    def live(self) -> bool:
        """Whether Triton answers."""
        try:
            return bool(self._client.is_server_live())
        except Exception:  # the client raises errors of several libraries
            return False

    def ready(self) -> bool:
        """Whether Triton reports to be ready."""
        try:
            return bool(self._client.is_server_ready())
        except Exception:  # as above
            return False

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

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _call(self, what: str, method: str, *arguments: str) -> Any:
        try:
            return getattr(self._client, method)(*arguments, headers=self._headers)
        except Exception as error:  # as above
            raise StageError("serve", f"{what}: {first_line(error)}") from error
