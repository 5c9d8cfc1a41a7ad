"""The options of a server: bundles, addresses, limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ..triton.options import RepositoryOptions

_KEY = re.compile(r"[A-Za-z0-9_.~-]{8,256}")


@dataclass(frozen=True)
class ServeOptions:
    """``host`` and the ports are what clients connect to; port 0 is any free port, printed in the ready line.

    ``models`` are the options of the repository. ``triton`` is the path of tritonserver; by default
    the one on PATH or in NVIDIA's image, else the wheel's. ``drain``: seconds for requests in
    flight after a stop signal. ``start``: seconds to load and verify the models. ``restarts``:
    failures in a row before the server gives up. ``admin_key`` opens Triton's calls that load
    models; a random secret by default.

    Raise InputError for a value that is not valid.
    """

    bundles: tuple[Path, ...]
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    models: RepositoryOptions = field(default_factory=RepositoryOptions)
    triton: Path | None = None
    drain: int = 30
    start: int = 600
    restarts: int = 5
    admin_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.bundles:
            raise InputError("there is no bundle", "name one: attnexport serve NAME.attn")
        ports = {"http": self.http_port, "grpc": self.grpc_port, "metrics": self.metrics_port}
        for name, port in ports.items():
            if not 0 <= port <= 65535:
                raise InputError(f"--{name}-port {port} is not a port", "give 1 to 65535, or 0 for any free one")
        fixed = [port for port in ports.values() if port]
        if len(set(fixed)) < len(fixed):
            options = ", ".join(f"--{name}-port {port}" for name, port in ports.items())
            raise InputError(f"two of {options} are the same", "give three different ports")
        for name, number, least in (("drain", self.drain, 1), ("start", self.start, 1), ("restarts", self.restarts, 0)):
            if number < least:
                raise InputError(f"--{name} {number} is below {least}", f"give {least} or more")
        if self.admin_key is not None and not _KEY.fullmatch(self.admin_key):
            raise InputError(
                "the admin key is not 8 to 256 letters, digits or -_.~", "take one from: openssl rand -hex 16"
            )
