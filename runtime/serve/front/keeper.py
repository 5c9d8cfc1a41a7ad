"""The front in the life of a server: started once, kept while Triton restarts, emptied before it ends. Without Envoy it does nothing."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..deployed_model import DeployedModel
from ..log import Log
from ..options import Endpoints, ServeOptions, private_endpoints
from .front import Front, choose_front
from .limits import FrontLimits, largest_body

_TICK = 0.1


class FrontKeeper:
    """``public`` is what clients connect to; ``private`` what Triton listens on, the same without a front.

    Raise MissingBackendError without Envoy for an address that other machines reach.
    """

    def __init__(self, options: ServeOptions, public: Endpoints, say: Log) -> None:
        self._options, self._say, self._public = options, say, public
        self._envoy = choose_front(options, public, say)
        self.private = public if self._envoy is None else private_endpoints(public)
        self._front: Front | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing of the front has ended."""
        return self._front is None or self._front.alive

    def open(self, folder: Path, models: Iterable[DeployedModel]) -> None:
        """Start the front in ``folder`` unless it runs. Raise StageError if it does not start."""
        if self._envoy is None or (self._front is not None and self._front.alive):
            return
        options = self._options
        body = options.max_body << 20 if options.max_body else largest_body(models)
        limits = FrontLimits(body, options.receive, options.connections)
        self._front = Front(self._envoy, folder, self._public, self.private, limits, self._say)
        self._front.wait_until_open()
        self._say(
            "info", "front", f"{self._envoy} as process {self._front.pid} takes requests of up to {body >> 20} MiB",
            pid=self._front.pid, program=str(self._envoy), body=body,
        )  # fmt: skip

    def how_it_ended(self) -> str:
        """How the process of a front that is not sound ended."""
        assert self._front is not None
        return f"the front {self._front.how_it_ended()}"

    def empty(self, until: float, hurried: Callable[[], bool]) -> bool:
        """Take no new connection, pass on the answers that are due, and end; whether none is lost.

        ``until`` is a time of :func:`time.monotonic`; the wait also ends if ``hurried`` returns True.
        """
        if self._front is None:
            return True
        self._front.close_ports()
        time.sleep(_TICK)  # for requests that the kernel has and Envoy has not read
        while (active := self._front.active) and time.monotonic() < until and not hurried():
            time.sleep(_TICK)
        self._front.kill()
        return active == 0

    def close(self) -> None:
        """End the front."""
        if self._front is not None:
            self._front.kill()
