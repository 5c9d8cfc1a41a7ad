"""The demo page: it takes an image, asks Triton by gRPC, and answers with the numbers that the page draws.

It serves only its own page: no other file, no address but Triton's, no request from another site
(the Origin of a request must be the page's, and its Host an address of this server).
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ....errors import AttnexportError, InputError
from ...closing import Closing
from ...inputs.picture import Picture, numbers, pillow, read_picture
from ...triton.options import WrittenModel
from ..client import Wire
from ..log import Log
from ..options import Endpoints, refused
from .findings import findings, image
from .http import Answer, HttpError, PageServer, Query, Routes, to_json
from .image_models import HiddenModel, ImageModel, image_models

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
        self._log = log
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._endpoints: Endpoints | None = None
        self._models: dict[str, ImageModel] = {}
        self._hidden: list[HiddenModel] = []
        routes = Routes(self._get, self._post, self.allows, lambda line: log("debug", "demo", line))
        try:
            self._server = PageServer(host, port, routes)
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
            self._log("error", "demo", f"the page keeps its models: {error}")
            return
        self._models = {model.name: model for model in shown}
        first, self._endpoints = self._endpoints is None, endpoints
        if first:
            self._thread.start()
        names = ", ".join(self._models) or "no model that takes an image"
        self._log("info", "demo", f"{self.url} shows {names}", url=self.url, models=list(self._models))

    def models(self) -> dict[str, Any]:
        """The models on the page, and the others with the reasons."""
        hidden = [{"name": model.name, "reason": model.reason} for model in self._hidden]
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

    def _get(self, path: str, query: Query) -> Answer:
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

    def _post(self, path: str, query: Query, read_body: Callable[[], bytes]) -> Answer:
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
    return read_picture(BytesIO(body), model.input, mean, std, most=MOST_PIXELS)
