"""Starts Triton, proves it, watches it, starts it again, and drains it: the one loop of ``attnexport serve``."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from ...errors import AttnexportError, StageError
from ..bundle.bundle import StoredBundle
from ..device import cuda_device
from ..triton.options import WrittenModel
from ..triton.repository import write_repository
from .admin import HEADER, RESTRICTED, Admin
from .child import Child
from .endpoints import Endpoints, find_endpoints
from .example import write_example
from .gate import ReadinessGate
from .log import Says
from .options import ServeOptions
from .program import Triton, find_triton
from .reload import Reloader
from .run_folder import RunFolder
from .verify import CLIENT_ROLES, DeployedModel
from .wire import PROTOCOLS, Wire

_BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_STEADY = 60.0
"""Seconds of service after which failures are counted from the beginning."""
_TICK = 0.25
_UNLOADING = 5.0
"""Seconds for Triton to unload its models once nothing is left to be answered."""


class Stopped(Exception):
    """The server was told to stop, while it was starting."""


def serve(
    options: ServeOptions, say: Says, on_ready: Sequence[Callable[[Endpoints, Sequence[WrittenModel]], None]] = ()
) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit code. ``on_ready`` is called each time that the server becomes ready, or
    has reloaded.

    Everything that can be refused is, before anything is started. Call it in the main thread.

    Raises InputError for an option, a port that is occupied, a missing model or a broken bundle, MissingBackendError where no
    Triton can be had, StageError or ParityError where it does not come up or answers wrongly at its start.
    """
    return Supervisor(options, say, on_ready).run()


class Supervisor:
    """What :func:`serve` is, with its state between one Triton and the next."""

    def __init__(
        self,
        options: ServeOptions,
        say: Says,
        on_ready: Sequence[Callable[[Endpoints, Sequence[WrittenModel]], None]] = (),
    ) -> None:
        self._options, self._say, self._on_ready = options, say, on_ready
        self._key = options.admin_key or secrets.token_hex(16)
        self._wake = threading.Event()
        self._signals: list[int] = []
        self._reload = False

    def run(self) -> int:
        """The whole life of the server."""
        with ExitStack() as stack:
            stack.enter_context(self._listening())
            try:
                self._endpoints = find_endpoints(self._options)
                for path in self._options.bundles:
                    StoredBundle.open(path)  # before anything is installed or copied
                self._folder = stack.enter_context(RunFolder())
                triton = find_triton(self._options.triton, self._say)
                self._subjects = self._write(triton)
                return self._supervise(triton)
            except (Stopped, AttnexportError):
                if not self._signals:  # what a signal to the whole process group interrupts is no failure
                    raise
                self._say("info", "stopped", "stopped before it was ready")
                return 0

    def _write(self, triton: Triton) -> list[DeployedModel]:
        self._models = replace(self._options.models, backends=triton.backends)
        written = write_repository(self._options.bundles, self._folder.repository, self._models)
        for model in written:
            self._say(
                "info", "model", f"{model.name} version {model.version} from {model.bundle}: {model.backend} backend",
                model=model.name, version=model.version, bundle=str(model.bundle), backend=model.backend,
            )  # fmt: skip
            for note in model.notes:
                self._say("warning", "note", f"{model.name}: {note}", model=model.name)
        return [DeployedModel(model) for model in written]

    def _supervise(self, triton: Triton) -> int:
        failures = 0
        served = False
        while True:
            began = time.monotonic()
            child = self._start(triton)
            try:
                try:
                    self._make_ready(child)
                    served = True
                    self._watch(child)
                except Stopped:
                    if not served or not child.alive:
                        raise
                    return self._drain(child)
                except AttnexportError as error:
                    if not served:
                        raise
                    problem = error.problem
                else:
                    if self._signals:
                        return self._drain(child)
                    problem = f"Triton {child.how_it_ended()}"
            finally:
                child.kill()
                self._folder.free_shared_memory()
            failures = 1 if time.monotonic() - began > _STEADY else failures + 1
            if failures > self._options.restarts:
                raise StageError("serve", f"{problem}; that was failure {failures} in a row", "look at the log above")
            pause = _BACKOFF[min(failures, len(_BACKOFF)) - 1]
            self._say(
                "error", "crashed", f"{problem}; starting again in {pause:g} s (failure {failures} of {self._options.restarts})",
                failures=failures, pause=pause,
            )  # fmt: skip
            self._sleep(pause)
            if self._signals:
                return 0

    def _start(self, triton: Triton) -> Child:
        self._gate = ReadinessGate(self._folder.gates)
        packages = self._folder.packages
        child = Child(self._command(triton), triton.environment(packages), packages, self._say)
        self._say(
            "info", "starting", f"{triton.program} as process {child.pid}", pid=child.pid, program=str(triton.program),
            **self._endpoints.to_json(),
        )  # fmt: skip
        return child

    def _command(self, triton: Triton) -> list[str]:
        end, options = self._endpoints, self._options
        restricted = f"{','.join(RESTRICTED)}:{HEADER}={self._key}"
        names = [*dict.fromkeys(s.written.name for s in self._subjects), self._gate.name]
        words = {
            "http-address": end.address, "http-port": end.http, "grpc-address": end.address, "grpc-port": end.grpc,
            "metrics-address": end.address, "metrics-port": end.metrics, "http-restricted-api": restricted,
            "grpc-restricted-protocol": restricted, "model-control-mode": "explicit", "strict-readiness": "true",
            "exit-on-error": "false", "disable-auto-complete-config": None, "log-format": "ISO8601",
            "exit-timeout-secs": options.drain, "backend-config": f"python,shm-region-prefix-name={self._folder.shared_memory}",
        }  # fmt: skip
        if cuda_device() is None:
            words |= {"allow-gpu-metrics": "false", "pinned-memory-pool-byte-size": 0}
        if triton.backends is not None:
            words["backend-directory"] = str(triton.backends)
        return [
            str(triton.program),
            *(f"--{name}" if value is None else f"--{name}={value}" for name, value in words.items()),
            *(
                f"--model-repository={path}"
                for path in (self._folder.repository, self._folder.candidates, self._folder.gates)
            ),
            *(f"--load-model={name}" for name in names),
        ]

    def _make_ready(self, child: Child) -> None:
        """Wait until Triton answers, prove it, and let it be ready. Raises StageError, ParityError or Stopped."""
        began = time.monotonic()
        with self._admin() as admin:
            while not admin.live():
                self._still_starting(child)
                if time.monotonic() - began > self._options.start:
                    raise StageError(
                        "serve", f"Triton does not answer after {self._options.start} s", "give it more --start"
                    )
                self._sleep(0.05)
            self._check_loaded(admin)
        self._prove_all(child, self._subjects)
        with self._admin() as admin:
            self._gate.open(admin, self._subjects[0].config)
            while not admin.ready():  # what stood for the gate goes a moment after Triton has said that it is unloaded
                self._still_starting(child)
                if time.monotonic() - began > self._options.start:
                    problem = "Triton says that it is not ready although every model is loaded and proved"
                    raise StageError("serve", problem, "look at the log above")
                self._sleep(0.05)
        urls = self._endpoints.to_json()
        names = [subject.written.name for subject in self._subjects if subject.written.role in CLIENT_ROLES]
        self._say(
            "info", "ready", f"{', '.join(names)} on {urls['http']}, gRPC {urls['grpc']}, metrics {urls['metrics']}",
            models=names, seconds=round(time.monotonic() - began, 3), **urls,
        )  # fmt: skip
        self._tell()

    def _tell(self) -> None:
        for subject in self._subjects:
            if (example := write_example(subject, self._endpoints, self._folder.examples)) is not None:
                command, expected = example
                message = f"{command}   # {expected}" if expected else command
                self._say("info", "try", message, model=subject.written.name, command=command, expected=expected)
        for call in self._on_ready:
            call(self._endpoints, [subject.written for subject in self._subjects])

    def _admin(self) -> Admin:
        return Admin(self._endpoints, self._key, self._options.start)

    def _check_loaded(self, admin: Admin) -> None:
        states = {(row["name"], row.get("version", "")): row for row in admin.index()}
        for subject in self._subjects:
            name, version = subject.written.name, str(subject.written.version)
            row = states.get((name, version)) or states.get((name, "")) or {}
            if row.get("state") != "READY":
                reason = (row.get("reason") or "Triton does not list it; its log says why").partition("  At:")[0]
                raise StageError(
                    "serve", f"model {name!r} cannot be loaded: {reason}", "try attnexport check on its bundle"
                )

    def _prove_all(self, child: Child, subjects: Sequence[DeployedModel]) -> None:
        for protocol in PROTOCOLS:
            with Wire(self._endpoints, protocol, self._options.start) as wire:
                for subject in subjects:
                    self._prove(subject, wire, child)
                    self._still_starting(child)

    def _prove(self, subject: DeployedModel, wire: Wire, child: Child) -> None:
        name, version = subject.written.name, subject.written.version
        file, how = child.files.get((name, str(version)), (None, subject.written.how))
        proof = subject.prove(wire, file, lambda: bool(self._signals))
        if proof is not None and wire.protocol == "http":
            runs = f"{file} on {how}" if file else how
            self._say(
                "info", "proved",
                f"{name} version {version}, {runs}: {proof.cases} golden cases through the wire, {proof.held}",
                model=name, version=version, runs=runs, cases=proof.cases,
            )  # fmt: skip

    def _still_starting(self, child: Child) -> None:
        if self._signals:
            raise Stopped
        if not child.alive:
            raise StageError("serve", f"Triton {child.how_it_ended()}", "look at the log above")

    def _watch(self, child: Child) -> None:
        """Until Triton ends, or is to end. Raises StageError or ParityError where a model that lost a process does not recover."""
        there = child.workers()
        while child.alive and not self._signals:
            self._sleep(_TICK)
            now = child.workers()
            lost = {code for pid, code in there.items() if pid not in now}
            if child.alive and not self._signals:
                if lost:
                    self._recover(child, lost)
                if self._reload:
                    self._reload = False
                    self._exchange(child)
                now = child.workers()
            there = now

    def _exchange(self, child: Child) -> None:
        reloader = Reloader(
            self._folder, self._models, self._gate, self._admin, lambda new: self._prove_all(child, new), self._say
        )
        self._subjects = reloader.reload(self._subjects)
        self._tell()

    def _recover(self, child: Child, lost: Collection[Path]) -> None:
        """Load models again that lost a process: Triton itself would go on to call them ready, and refuse what they are sent.

        Other processes of the model serve meanwhile. The server is not ready until the model has been proved again.
        """
        broken = [subject for subject in self._subjects if {*lost} & {*subject.code}]
        with self._admin() as admin:
            ready = {(row["name"], row.get("version", "")) for row in admin.index() if row.get("state") == "READY"}
            broken = [s for s in broken if (s.written.name, str(s.written.version)) in ready]
            if not broken:
                return  # unloaded by somebody who has the key
            self._gate.close(admin)
            for subject in broken:
                name = subject.written.name
                self._say("error", "lost", f"a process of model {name} has ended; loading the model again", model=name)
                for code in subject.code:
                    code.touch()  # Triton loads nothing again that has not changed
                admin.load(name)
            bundles = {subject.written.bundle for subject in broken}
            self._prove_all(child, [s for s in self._subjects if s.written.bundle in bundles])
            self._gate.open(admin, self._subjects[0].config)
        for subject in broken:
            self._say("info", "recovered", f"model {subject.written.name} answers again", model=subject.written.name)

    def _drain(self, child: Child) -> int:
        """Every request that was taken is answered; a second signal, or too long a time, ends that."""
        name = signal.Signals(self._signals[0]).name
        self._say("info", "draining", f"{name}: requests in flight have {self._options.drain} s", signal=name)
        child.drain()
        until = time.monotonic() + self._options.drain + _UNLOADING
        while not child.wait(_TICK):
            if child.drained:  # what is left is unloading, which never ends for a model that has lost a process
                until = min(until, time.monotonic() + _UNLOADING)
            if len(self._signals) > 1 or time.monotonic() > until:
                if child.drained:
                    break
                why = "a second signal" if len(self._signals) > 1 else "time is up"
                self._say("error", "killed", f"{why}: what was in flight is lost")
                return 1
        child.kill()  # and hear the last that it said
        if not child.drained:
            problem = (
                f"clients kept connections open for {self._options.drain} s; what was in flight on them then is lost"
            )
            self._say("warning", "stopped", problem)
            return 0
        self._say("info", "stopped", "every request that was taken has been answered")
        return 0

    def _sleep(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        self._wake.wait(seconds)
        self._wake.clear()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def hear(number: int, _: FrameType | None) -> None:
            if number == signal.SIGHUP:
                self._reload = True
            else:
                self._signals.append(number)
            self._wake.set()

        before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
