"""The loop of ``attnexport serve``: start Triton, verify it, watch it, restart it, and drain it."""

import secrets
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ...errors import AttnexportError, StageError
from ..bundle.bundle import StoredBundle
from ..triton.options import WrittenModel
from ..triton.repository import write_repository
from .child import Child
from .client import PROTOCOLS, Admin, Wire
from .deployed_model import CLIENT_ROLES, DeployedModel, write_example
from .front.keeper import FrontKeeper
from .gate import ReadinessGate
from .log import Log
from .options import Endpoints, ServeOptions, find_endpoints
from .program import Triton, find_triton, triton_command
from .reload import Reloader
from .restarts import RestartBudget
from .run_folder import RunFolder
from .signals import Signals

_TICK = 0.25
_UNLOADING = 5.0
"""Seconds for Triton to unload its models after the last answer."""


class Stopped(Exception):
    """The server got a stop signal while it was starting."""


def serve(
    options: ServeOptions, log: Log, on_ready: Sequence[Callable[[Endpoints, Sequence[WrittenModel]], None]] = ()
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. ``on_ready`` is called after every restart or reload.

    All inputs are checked before anything is started. Call it in the main thread.

    Raise InputError for an option, a port in use, a missing model or a damaged bundle,
    MissingBackendError without a Triton, StageError or ParityError if the server does not start or
    answers wrongly at its start.
    """
    return Supervisor(options, log, on_ready).run()


class Supervisor:
    """The state of :func:`serve`, which outlives a single Triton process."""

    def __init__(
        self, options: ServeOptions, log: Log, on_ready: Sequence[Callable[[Endpoints, Sequence[WrittenModel]], None]]
    ) -> None:
        self._options, self._log, self._on_ready = options, log, on_ready
        self._key = options.admin_key or secrets.token_hex(16)
        self._signals = Signals()

    def run(self) -> int:
        """Run the server until it ends."""
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            try:
                self._endpoints = find_endpoints(self._options)
                for path in self._options.bundles:
                    StoredBundle.open(path)  # check all before anything is installed or copied
                self._front = FrontKeeper(self._options, self._endpoints, self._log)
                self._folder = stack.enter_context(RunFolder())
                stack.callback(self._front.close)
                triton = find_triton(self._options.triton, self._log)
                self._models = self._write(triton)
                return self._supervise(triton)
            except (Stopped, AttnexportError):
                if not self._signals.stops:  # a signal to the whole process group is not a failure
                    raise
                self._log("info", "stopped", "stopped before it was ready")
                return 0

    def _write(self, triton: Triton) -> list[DeployedModel]:
        self._repository_options = replace(self._options.models, backends=triton.backends)
        written = write_repository(self._options.bundles, self._folder.repository, self._repository_options)
        for model in written:
            self._log(
                "info", "model", f"{model.name} version {model.version} from {model.bundle}: {model.backend} backend",
                model=model.name, version=model.version, bundle=str(model.bundle), backend=model.backend,
            )  # fmt: skip
            for note in model.notes:
                self._log("warning", "note", f"{model.name}: {note}", model=model.name)
        return [DeployedModel(model) for model in written]

    def _supervise(self, triton: Triton) -> int:
        budget = RestartBudget(self._options.restarts)
        served = False
        while True:
            ready = None
            child = self._start(triton)
            try:
                try:
                    self._front.open(self._folder.path, self._models)
                    self._make_ready(child)
                    served = True
                    ready = time.monotonic()
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
                    if self._signals.stops:
                        return self._drain(child)
                    problem = f"Triton {child.how_it_ended()}" if self._front.sound else self._front.how_it_ended()
            finally:
                child.kill()
                self._folder.free_shared_memory()
            budget = budget.after_failure(0.0 if ready is None else time.monotonic() - ready)
            if budget.exhausted:
                problem = f"{problem}; {budget.failures} failures with too little time in service between them"
                raise StageError("serve", problem, "look at the log above")
            self._log(
                "error", "crashed",
                f"{problem}; starting again in {budget.pause:g} s (failure {budget.failures} of {budget.size})",
                failures=budget.failures, pause=budget.pause,
            )  # fmt: skip
            self._signals.sleep(budget.pause)
            if self._signals.stops:
                return 0

    def _start(self, triton: Triton) -> Child:
        self._gate = ReadinessGate(self._folder.gates)
        packages = self._folder.packages
        names = [*dict.fromkeys(s.written.name for s in self._models), self._gate.name]
        command = triton_command(
            triton, self._front.private, self._folder, names, key=self._key, drain=self._options.drain
        )
        child = Child(command, triton.environment(packages), packages, self._log)
        self._log(
            "info", "starting", f"{triton.program} as process {child.pid}", pid=child.pid, program=str(triton.program),
            **self._endpoints.to_json(),
        )  # fmt: skip
        return child

    def _make_ready(self, child: Child) -> None:
        """Wait until Triton answers, verify the models, and open the gate. Raise StageError, ParityError or Stopped."""
        began = time.monotonic()
        with self._admin() as admin:
            slow = f"Triton does not answer after {self._options.start} s"
            self._wait_for(admin.live, child, began, StageError("serve", slow, "give it more --start"))
            self._check_loaded(admin)
        self._verify_all(child, self._models)
        with self._admin() as admin:
            self._gate.open(admin, self._models[0].config)
            problem = "Triton reports not to be ready although every model is loaded and verified"
            # Triton removes the gate model a moment after it is unloaded.
            self._wait_for(admin.ready, child, began, StageError("serve", problem, "look at the log above"))
        urls = self._endpoints.to_json()
        names = [model.written.name for model in self._models if model.written.role in CLIENT_ROLES]
        self._log(
            "info", "ready", f"{', '.join(names)} on {urls['http']}, gRPC {urls['grpc']}, metrics {urls['metrics']}",
            models=names, seconds=round(time.monotonic() - began, 3), **urls,
        )  # fmt: skip
        self._announce()

    def _wait_for(self, condition: Callable[[], bool], child: Child, began: float, late: StageError) -> None:
        while not condition():
            self._still_starting(child)
            if time.monotonic() - began > self._options.start:
                raise late
            self._signals.sleep(0.05)

    def _announce(self) -> None:
        for model in self._models:
            if (example := write_example(model, self._endpoints, self._folder.examples)) is not None:
                command, expected = example
                message = f"{command}   # {expected}" if expected else command
                self._log("info", "try", message, model=model.written.name, command=command, expected=expected)
        for call in self._on_ready:
            call(self._endpoints, [model.written for model in self._models])

    def _admin(self) -> Admin:
        return Admin(self._front.private, self._key, self._options.start)

    def _check_loaded(self, admin: Admin) -> None:
        states = {(row["name"], row.get("version", "")): row for row in admin.index()}
        for model in self._models:
            name, version = model.written.name, str(model.written.version)
            row = states.get((name, version)) or states.get((name, "")) or {}
            if row.get("state") != "READY":
                reason = (row.get("reason") or "Triton does not list it; see its log").partition("  At:")[0]
                raise StageError(
                    "serve", f"model {name!r} cannot be loaded: {reason}", "try attnexport check on its bundle"
                )

    def _verify_all(self, child: Child, models: Sequence[DeployedModel]) -> None:
        for protocol in PROTOCOLS:
            with Wire(self._front.private, protocol, self._options.start) as wire:
                for model in models:
                    self._verify(model, wire, child)
                    self._still_starting(child)

    def _verify(self, model: DeployedModel, wire: Wire, child: Child) -> None:
        name, version = model.written.name, model.written.version
        file, how = child.files.get((name, str(version)), (None, model.written.how))
        verification = model.verify(wire, file, lambda: bool(self._signals.stops))
        if verification is not None and wire.protocol == "http":
            runs = f"{file} on {how}" if file else how
            cases, error = verification
            self._log(
                "info", "verified", f"{name} version {version}, {runs}: {cases} golden cases over HTTP, {error}",
                model=name, version=version, runs=runs, cases=cases,
            )  # fmt: skip

    def _still_starting(self, child: Child) -> None:
        if self._signals.stops:
            raise Stopped
        if not child.alive:
            raise StageError("serve", f"Triton {child.how_it_ended()}", "look at the log above")

    def _watch(self, child: Child) -> None:
        """Watch Triton until it ends or must stop. Raise StageError or ParityError if a model cannot recover from a lost process."""
        there = child.workers()
        while child.alive and self._front.sound and not self._signals.stops:
            self._signals.sleep(_TICK)
            now = child.workers()
            lost = {code for pid, code in there.items() if pid not in now}
            if child.alive and not self._signals.stops:
                if lost:
                    self._recover(child, lost)
                if self._signals.take_reload():
                    self._exchange(child)
                now = child.workers()
            there = now

    def _exchange(self, child: Child) -> None:
        reloader = Reloader(
            self._folder, self._repository_options, self._gate, self._admin, lambda new: self._verify_all(child, new), self._log
        )  # fmt: skip
        self._models = reloader.reload(self._models)
        self._announce()

    def _recover(self, child: Child, lost: Collection[Path]) -> None:
        """Reload models that lost a process: Triton itself would still report them ready, and refuse their requests.

        Other processes of the model serve meanwhile. The server is not ready until the model is
        verified again.
        """
        broken = [model for model in self._models if {*lost} & {*model.code}]
        with self._admin() as admin:
            ready = {(row["name"], row.get("version", "")) for row in admin.index() if row.get("state") == "READY"}
            broken = [s for s in broken if (s.written.name, str(s.written.version)) in ready]
            if not broken:
                return  # somebody with the key has unloaded it
            self._gate.close(admin)
            for model in broken:
                name = model.written.name
                self._log("error", "lost", f"a process of model {name} has ended; loading the model again", model=name)
                for code in model.code:
                    code.touch()  # Triton reloads only changed files
                admin.load(name)
            bundles = {model.written.bundle for model in broken}
            self._verify_all(child, [s for s in self._models if s.written.bundle in bundles])
            self._gate.open(admin, self._models[0].config)
        for model in broken:
            self._log("info", "recovered", f"model {model.written.name} answers again", model=model.written.name)

    def _drain(self, child: Child) -> int:
        """Wait until every accepted request is answered; a second signal or the time limit ends the wait."""
        name = signal.Signals(self._signals.stops[0]).name
        self._log("info", "draining", f"{name}: requests in flight have {self._options.drain} s", signal=name)
        until = time.monotonic() + self._options.drain + _UNLOADING
        passed_on = self._front.empty(until - _UNLOADING, lambda: len(self._signals.stops) > 1)
        child.drain()
        while passed_on and not child.wait(_TICK):
            if child.drained:  # only unloading is left, which never ends for a model that lost a process
                until = min(until, time.monotonic() + _UNLOADING)
            if len(self._signals.stops) > 1 or time.monotonic() > until:
                break
        child.kill()  # and read the end of its log
        if passed_on and child.drained:
            self._log("info", "stopped", "every accepted request was answered")
            return 0
        if len(self._signals.stops) > 1:
            self._log("error", "killed", "a second signal: requests in flight are lost")
            return 1
        problem = f"clients kept connections open for {self._options.drain} s; requests in flight are lost"
        self._log("warning", "stopped", problem)
        return 0
