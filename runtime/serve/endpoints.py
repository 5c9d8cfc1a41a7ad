"""The three ports of a server: check that they are free, and print their URLs."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from ...errors import InputError
from .options import ServeOptions

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
        return InputError(
            f"--host {host} is not an address of this machine", "give 127.0.0.1, or 0.0.0.0 for all of them"
        )
    return InputError(f"{option} on {host} cannot be opened: {error.strerror}", "give another port")
