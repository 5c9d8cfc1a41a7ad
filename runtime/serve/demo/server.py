"""The page's own small server: it takes an image, asks Triton by gRPC, and answers with what the page draws.

It serves its own page alone: no file of the disk, no address but Triton's, no call from another site (the Origin of a request has to be
its own, and its Host one that this server has).
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from socket import AF_INET6
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ....errors import AttnexportError, InputError, MissingBackendError, first_line
from ...inputs.picture import Picture, numbers, pillow, read_picture
from ...triton.options import WrittenModel
from ..endpoints import Endpoints, refused
from ..log import Says
from ..wire import Wire
from .findings import findings, image
from .image_models import HiddenModel, ImageModel, image_models

PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LARGEST = 16 << 20
"""Bytes of an image file."""
MOST_PIXELS = 50_000_000
"""Of an image, whatever it unpacks from: 150 MB in colour."""
AT_ONCE = 4
"""Images that are looked at together."""
PATIENCE = 60.0


class HttpError(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Demo:
    """The page on ``host`` and ``port`` (0 for any free one), from the first time that the server is ready until it is closed.

    Raises InputError at once for a port that is occupied, MissingBackendError without Pillow.
    """

    def __init__(self, host: str, port: int, say: Says) -> None:
        pillow()
        self._say = say
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._endpoints: Endpoints | None = None
        self._models: dict[str, ImageModel] = {}
        self._left: list[HiddenModel] = []
        try:
            self._server = _server(host)((host, port), _handler(self))
        except OSError as error:
            raise refused(error, f"--demo-port {port}", host) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="demo")
        bound, self.port = self._server.server_address[:2]
        self._address = str(bound)

    @property
    def url(self) -> str:
        """Where a browser here finds the page."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._address, self._address)
        return f"http://{f'[{local}]' if ':' in local else local}:{self.port}/"

    def ready(self, endpoints: Endpoints, written: Sequence[WrittenModel]) -> None:
        """Begin to show what is served; called again, once more with what is served then. A page that cannot is no end of the server."""
        try:
            shown, self._left = image_models(written)
        except AttnexportError as error:
            self._say("error", "demo", f"the page stays as it was: {error}")
            return
        self._models = {model.name: model for model in shown}
        first, self._endpoints = self._endpoints is None, endpoints
        if first:
            self._thread.start()
        names = ", ".join(self._models) or "no model that takes an image"
        self._say("info", "demo", f"{self.url} shows {names}", url=self.url, models=list(self._models))

    def models(self) -> dict[str, Any]:
        """What the page offers."""
        left = [{"name": model.name, "reason": model.reason} for model in self._left]
        return {"models": [model.to_json() for model in self._models.values()], "left": left}

    def example(self, name: str, index: int) -> dict[str, Any]:
        """An example's picture."""
        return {"image": image(self._model(name).example(index).shown)}

    def look(self, name: str, body: bytes, words: dict[str, str]) -> dict[str, Any]:
        """What a model makes of an image file, or of an example. ``words``: mean, std, example, as the page writes them.

        Raises Refused and AttnexportError.
        """
        model = self._model(name)
        if not self._turns.acquire(blocking=False):
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, f"{AT_ONCE} images are being looked at; try again")
        try:
            picture = _picture(model, body, words)
            assert self._endpoints is not None, "nothing is asked before the server is ready"
            with Wire(
                self._endpoints, "grpc", PATIENCE
            ) as wire:  # of its own: it knows nothing of a Triton that has gone
                began = time.perf_counter()
                outputs = wire.infer(model.name, {model.input.name: picture.feed}, str(model.version))
                milliseconds = (time.perf_counter() - began) * 1000
            return {
                "model": model.name, "version": model.version, "milliseconds": round(milliseconds, 2),
                **findings(model, picture, outputs),
            }  # fmt: skip
        finally:
            self._turns.release()

    def allows(self, host: str, origin: str | None) -> bool:
        """Whether a request with these headers may be answered: its host is this server, and no other site has sent it."""
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        try:
            ipaddress.ip_address(name)
        except (
            ValueError
        ):  # a name that somebody may have pointed at this address: only where the page is for others, too
            return self._address in ("0.0.0.0", "::")
        return True

    def said(self, text: str) -> None:
        """Log a request."""
        self._say("debug", "demo", text)

    def close(self) -> None:
        """Stop to answer."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Demo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _model(self, name: str) -> ImageModel:
        if name not in self._models:
            raise HttpError(HTTPStatus.NOT_FOUND, f"no model {name!r} is shown here")
        return self._models[name]


def _picture(model: ImageModel, body: bytes, words: dict[str, str]) -> Picture:
    if "example" in words:
        if not words["example"].isdecimal():
            raise InputError(f"{words['example']!r} is no number of an example", "give 0 or above")
        return model.example(int(words["example"]))
    mean, std = (
        numbers(words[name], name) if name in words else getattr(model.scale, name) for name in ("mean", "std")
    )
    return read_picture(BytesIO(body), model.input, mean, std, most=MOST_PIXELS)


def _server(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else ThreadingHTTPServer.address_family
        daemon_threads = True

    return Server


def _handler(demo: Demo) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "attnexport", ""
        timeout = 30.0

        def do_GET(self) -> None:
            self._answer(self._get)

        def do_POST(self) -> None:
            self._answer(self._post)

        def _get(self, path: str, words: dict[str, str]) -> tuple[bytes, str]:
            if path in PAGES:
                file, kind = PAGES[path]
                return Path(__file__).with_name(file).read_bytes(), kind
            if path == "/models":
                return _json(demo.models())
            if path == "/example":
                index = words.get("index", "")
                return _json(demo.example(words.get("model", ""), int(index) if index.isdecimal() else -1))
            raise HttpError(HTTPStatus.NOT_FOUND, f"{path} is not here")

        def _post(self, path: str, words: dict[str, str]) -> tuple[bytes, str]:
            if path != "/look":
                raise HttpError(HTTPStatus.NOT_FOUND, f"{path} is not here")
            return _json(demo.look(words.get("model", ""), self._body(), words))

        def _body(self) -> bytes:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                raise HttpError(HTTPStatus.LENGTH_REQUIRED, "a request says how long it is")
            if int(length) > LARGEST:
                raise HttpError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file has {int(length)} bytes, more than {LARGEST}"
                )
            return self.rfile.read(int(length))

        def _answer(self, work: Any) -> None:
            address = urlsplit(self.path)
            words = {name: values[-1] for name, values in parse_qs(address.query).items()}
            status = HTTPStatus.OK
            try:
                if not demo.allows(self.headers.get("Host", ""), self.headers.get("Origin")):
                    raise HttpError(HTTPStatus.FORBIDDEN, "this page answers its own site alone")
                body, kind = work(address.path, words)
            except HttpError as error:
                status, (body, kind) = error.status, _json({"error": str(error)})
            except AttnexportError as error:
                status = HTTPStatus.BAD_REQUEST if isinstance(error, InputError) else HTTPStatus.BAD_GATEWAY
                if isinstance(error, MissingBackendError):
                    status = HTTPStatus.NOT_IMPLEMENTED
                body, kind = _json({"error": str(error)})
            except Exception as error:
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                body, kind = _json({"error": f"a fault in attnexport, {type(error).__name__}: {first_line(error)}"})
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            demo.said(format % arguments)

    return Handler


def _json(value: dict[str, Any]) -> tuple[bytes, str]:
    return json.dumps(value, allow_nan=False).encode(), "application/json"
