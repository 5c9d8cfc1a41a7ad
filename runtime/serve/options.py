"""The options of a server: bundles, addresses, limits; and its three ports, which must be free."""

import errno
import re
import socket
from contextlib import ExitStack
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
    failures to survive (:mod:`~attnexport.runtime.serve.restarts`). ``admin_key`` opens Triton's calls that load
    models; a random secret by default. ``front``: whether Envoy reads every request before Triton,
    with ``max_body`` MiB for one (by default what the models take), ``receive`` seconds to send it,
    and ``connections`` to a port.

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
    front: bool = True
    max_body: int | None = None
    receive: int = 30
    connections: int = 512
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
        for name, number, least in (
            ("drain", self.drain, 1), ("start", self.start, 1), ("restarts", self.restarts, 0),
            ("max-body", self.max_body, 1), ("receive", self.receive, 1), ("connections", self.connections, 2),
        ):  # fmt: skip
            if number is not None and number < least:
                raise InputError(f"--{name} {number} is below {least}", f"give {least} or more")
        if self.admin_key is not None and not _KEY.fullmatch(self.admin_key):
            raise InputError("the admin key is not 8 to 256 letters, digits or -_.~", "make one: openssl rand -hex 16")


_ANYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class Endpoints:
    """An address and its ports. ``local`` is the address for clients on this machine."""

    address: str
    http: int
    grpc: int
    metrics: int

    @property
    def local(self) -> str:
        """The address for clients on this machine."""
        return "127.0.0.1" if self.address == _ANYWHERE else self.address

    def to_json(self) -> dict[str, str]:
        """URLs by name."""
        return {
            "http": f"http://{self.local}:{self.http}",
            "grpc": f"{self.local}:{self.grpc}",
            "metrics": f"http://{self.local}:{self.metrics}/metrics",
        }


def find_endpoints(options: ServeOptions) -> Endpoints:
    """Return the address of the host and three free ports.

    Raise InputError for a host that is not an address of this machine, a port in use, or a port
    that needs more rights.
    """
    address = _address(options.host)
    ports = {"http": options.http_port, "grpc": options.grpc_port, "metrics": options.metrics_port}
    free: dict[str, int] = {}
    with ExitStack() as stack:  # open all three at once, so that free ports differ
        for name, port in ports.items():
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # allow the port of a server that has just ended
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError as error:
                raise refused(error, f"--{name}-port {port}", options.host) from error
            free[name] = probe.getsockname()[1]
    return Endpoints(address, free["http"], free["grpc"], free["metrics"])


def private_endpoints(public: Endpoints) -> Endpoints:
    """Three free ports of loopback for a Triton behind a front on ``public``."""
    hidden = ServeOptions((Path(),), http_port=0, grpc_port=0, metrics_port=0)
    while True:
        found = find_endpoints(hidden)
        if {found.http, found.grpc, found.metrics}.isdisjoint({public.http, public.grpc, public.metrics}):
            return found


def _address(host: str) -> str:
    """The IPv4 address of a host name: Triton 2.51 listens on IPv4 only."""
    try:
        addresses = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(
            f"--host {host!r} is not an IPv4 address ({error.strerror or error})", "give an IP address of this machine"
        ) from error
    return str(addresses[0][4][0])


def refused(error: OSError, option: str, host: str) -> InputError:
    """The error for an address that cannot be opened, with the option of its port."""
    if error.errno == errno.EADDRINUSE:
        return InputError(f"{option} on {host} is in use", "stop what listens there, or give another port")
    if error.errno == errno.EACCES:
        return InputError(f"{option} needs more rights than this user has", "give a port from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return InputError(f"--host {host} is not an address of this machine", "give 127.0.0.1, or 0.0.0.0 for all")
    return InputError(f"{option} on {host} cannot be opened: {error.strerror}", "give another port")
