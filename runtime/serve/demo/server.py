"""The demo page: it takes an image, asks Triton by gRPC, and answers with the numbers that the page draws.

It serves only its own page: no other file, no address but Triton's, no request from another site
(the Origin of a request must be the page's, and its Host an address of this server).
"""

import ipaddress
import json
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from socket import AF_INET6
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ....errors import AttnexportError, InputError, MissingBackendError, first_line
from ...closing import Closing
from ...inputs.picture import Picture, Scale, numbers, pillow, read_picture
from ...triton.options import WrittenModel
from ..client import Wire
from ..log import Log
from ..options import Endpoints, refused
from .findings import findings, image
from .image_models import ImageModel, image_models

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LARGEST = 16 << 20
"""The largest body of a request, in bytes."""

Answer = tuple[bytes, str]
"""The body of an answer and its content type."""
Query = dict[str, str]


class HttpError(Exception):
    """A request that is answered with an error status and one line."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """A server with a thread for each request. Raise OSError if the port cannot be opened."""

    daemon_threads = True

    def __init__(self, host: str, port: int, demo: "Demo") -> None:
        if ":" in host:
            self.address_family = AF_INET6
        self.demo = demo
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "attnexport", ""
    timeout = 30.0

    def do_GET(self) -> None:
        self._answer(self.server.demo.get)

    def do_POST(self) -> None:
        self._answer(lambda path, query: self.server.demo.post(path, query, self._body))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "the request has no Content-Length")
        if int(length) > LARGEST:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file has {length} bytes, more than {LARGEST}")
        return self.rfile.read(int(length))

    def _answer(self, route: Callable[[str, Query], Answer]) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        status = HTTPStatus.OK
        try:
            if not self.server.demo.allows(self.headers.get("Host", ""), self.headers.get("Origin")):
                raise HttpError(HTTPStatus.FORBIDDEN, "this page answers only its own site")
            body, kind = route(address.path, query)
        except Exception as error:
            status, message = _error(error)
            body, kind = to_json({"error": message})
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        self.server.demo.log("debug", "demo", format % arguments)


def _error(error: Exception) -> tuple[HTTPStatus, str]:
    """The status and the message that an exception is answered with."""
    if isinstance(error, HttpError):
        return error.status, str(error)
    if isinstance(error, MissingBackendError):
        return HTTPStatus.NOT_IMPLEMENTED, str(error)
    if isinstance(error, AttnexportError):
        return HTTPStatus.BAD_REQUEST if isinstance(error, InputError) else HTTPStatus.BAD_GATEWAY, str(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, f"a bug in attnexport, {type(error).__name__}: {first_line(error)}"


def to_json(value: dict[str, Any]) -> Answer:
    """An answer of JSON. Raise ValueError for NaN and infinities."""
    return json.dumps(value, allow_nan=False).encode(), "application/json"


PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
}
MOST_PIXELS = 50_000_000
"""The most pixels of an image, after decompression: 150 MB in colour."""
AT_ONCE = 4
"""The most images that are processed at the same time."""
PATIENCE = 60.0


class Demo(Closing):
    """The page on ``host`` and ``port`` (0: any free port). It answers once the server is ready, until it is closed.

    Raise InputError for a port that is in use, MissingBackendError without Pillow.
    """

    def __init__(self, host: str, port: int, log: Log) -> None:
        pillow()
        self.log = log
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._endpoints: Endpoints | None = None
        self._models: dict[str, ImageModel] = {}
        self._hidden: dict[str, str] = {}
        try:
            self._server = PageServer(host, port, self)
        except OSError as error:
            raise refused(error, f"--demo-port {port}", host) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="demo")
        bound, self.port = self._server.server_address[:2]
        self._address = str(bound)

    @property
    def url(self) -> str:
        """The address of the page for a browser on this machine."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._address, self._address)
        return f"http://{f'[{local}]' if ':' in local else local}:{self.port}/"

    def ready(self, endpoints: Endpoints, written: Sequence[WrittenModel]) -> None:
        """Show the models that are served now. A damaged bundle is logged, and the page keeps its models."""
        try:
            shown, self._hidden = image_models(written)
        except AttnexportError as error:
            self.log("error", "demo", f"the page keeps its models: {error}")
            return
        self._models = {model.name: model for model in shown}
        first, self._endpoints = self._endpoints is None, endpoints
        if first:
            self._thread.start()
        names = ", ".join(self._models) or "no model that takes an image"
        self.log("info", "demo", f"{self.url} shows {names}", url=self.url, models=list(self._models))

    def models(self) -> dict[str, Any]:
        """The models on the page, and the others with the reasons."""
        hidden = [{"name": name, "reason": reason} for name, reason in self._hidden.items()]
        return {"models": [model.to_json() for model in self._models.values()], "left": hidden}

    def look(self, name: str, body: bytes, query: Query) -> dict[str, Any]:
        """Run a model on an image file, or on an example. ``query``: mean, std and example, as the page sends them.

        Raise HttpError for an unknown model or too many requests, AttnexportError for an image or
        answer that is not valid.
        """
        model = self._model(name)
        if not self._turns.acquire(blocking=False):
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, f"{AT_ONCE} images are in progress; try again")
        try:
            picture = _picture(model, body, query)
            assert self._endpoints is not None, "the page answers only after the server is ready"
            # A new connection for each request: an old one may belong to a Triton that has ended.
            with Wire(self._endpoints, "grpc", PATIENCE) as wire:
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
        """Whether a request with these headers is answered: its host is this server, and no other site sent it."""
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:  # anybody can point a name at this address, so names need a page that is open to all
            return self._address in ("0.0.0.0", "::")
        return True

    def close(self) -> None:
        """Stop the page."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def get(self, path: str, query: Query) -> Answer:
        """Answer a GET request. Raise HttpError or AttnexportError."""
        if path in PAGES:
            file, kind = PAGES[path]
            return Path(__file__).with_name(file).read_bytes(), kind
        if path == "/models":
            return to_json(self.models())
        if path == "/example":
            index = query.get("index", "")
            example = self._model(query.get("model", "")).example(int(index) if index.isdecimal() else -1)
            return to_json({"image": image(example.shown)})
        raise HttpError(HTTPStatus.NOT_FOUND, f"{path} does not exist")

    def post(self, path: str, query: Query, read_body: Callable[[], bytes]) -> Answer:
        """Answer a POST request, whose body is read only if the path is known. Raise HttpError or AttnexportError."""
        if path != "/look":
            raise HttpError(HTTPStatus.NOT_FOUND, f"{path} does not exist")
        return to_json(self.look(query.get("model", ""), read_body(), query))

    def _model(self, name: str) -> ImageModel:
        if name not in self._models:
            raise HttpError(HTTPStatus.NOT_FOUND, f"the page has no model {name!r}")
        return self._models[name]


def _picture(model: ImageModel, body: bytes, query: Query) -> Picture:
    if "example" in query:
        if not query["example"].isdecimal():
            raise InputError(f"{query['example']!r} is not the number of an example", "give 0 or above")
        return model.example(int(query["example"]))
    mean, std = (
        numbers(query[name], name) if name in query else getattr(model.scale, name) for name in ("mean", "std")
    )
    return read_picture(BytesIO(body), model.input, Scale(mean, std), most=MOST_PIXELS)
