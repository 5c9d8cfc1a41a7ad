"""HTTP for the demo page: a server that calls four functions of the page and answers errors with a status and one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ....errors import AttnexportError, InputError, MissingBackendError, first_line

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


@dataclass(frozen=True)
class Routes:
    """The functions that answer requests.

    ``get(path, query)`` and ``post(path, query, read_body)`` raise HttpError or AttnexportError.
    ``allows(host, origin)`` decides by two headers whether a request is answered. ``log`` receives
    a line for each request.
    """

    get: Callable[[str, Query], Answer]
    post: Callable[[str, Query, Callable[[], bytes]], Answer]
    allows: Callable[[str, str | None], bool]
    log: Callable[[str], None]


class PageServer(ThreadingHTTPServer):
    """A server with a thread for each request. Raise OSError if the port cannot be opened."""

    daemon_threads = True

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        if ":" in host:
            self.address_family = AF_INET6
        self.routes = routes
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "attnexport", ""
    timeout = 30.0

    def do_GET(self) -> None:
        self._answer(self.server.routes.get)

    def do_POST(self) -> None:
        self._answer(lambda path, query: self.server.routes.post(path, query, self._body))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "the request has no Content-Length")
        if int(length) > LARGEST:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file has {int(length)} bytes, more than {LARGEST}"
            )
        return self.rfile.read(int(length))

    def _answer(self, route: Callable[[str, Query], Answer]) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        status = HTTPStatus.OK
        try:
            if not self.server.routes.allows(self.headers.get("Host", ""), self.headers.get("Origin")):
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
        self.server.routes.log(format % arguments)


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
