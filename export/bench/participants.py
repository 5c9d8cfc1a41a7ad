"""The contenders of one benchmark and their states."""

from dataclasses import dataclass

from ...errors import AttnexportError, InputError, StageError, first_line
from ...runtime.bundle.bench_report import ABSENT, MEASURED, Entrant, MemoryUse
from .contenders import CONTENDERS, Contender, Runner
from .options import BenchOptions
from .site import Site


@dataclass
class Participant:
    """A contender and its state during a benchmark.

    ``failure``: why it failed in its own process; it is measured only at the points before that failure.
    """

    contender: Contender
    runner: Runner | None = None
    state: str = MEASURED
    reason: str = ""
    error: float | None = None
    opened: float | None = None
    memory: tuple[MemoryUse, ...] = ()
    failure: str = ""
    notes: tuple[str, ...] = ()

    def give_up(self, state: str, reason: str) -> None:
        """Exclude the contender from the rest of the benchmark."""
        self.state, self.reason = state, reason
        self.close()

    def close(self) -> None:
        """Close the runner."""
        if self.runner is not None:
            self.runner.close()
            self.runner = None

    def record(self, site: Site) -> Entrant:
        """Return the record for the report."""
        name, title, precision = self.contender.name, self.contender.title, self.contender.precision(site)
        return Entrant(name, title, precision, site.device, self.state, self.reason, self.error, self.opened)


def message_of(error: Exception) -> str:
    """Return the message of an error without its stage, which the table shows anyway."""
    if isinstance(error, StageError):
        return error.problem.removeprefix(f"{error.stage}: ")
    return error.problem if isinstance(error, AttnexportError) else f"{type(error).__name__}: {first_line(error)}"


def check_names(options: BenchOptions) -> None:
    """Raise InputError for an unknown contender, MissingBackendError for a chart without matplotlib."""
    known = [contender.name for contender in CONTENDERS]
    for option, names in (("--contenders", options.contenders), ("--baseline", filter(None, [options.baseline]))):
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"{option} {unknown[0]} is not known", f"use some of {', '.join(known)}")
    if options.baseline and options.contenders and options.baseline not in options.contenders:
        raise InputError(f"--baseline {options.baseline} is not among --contenders", "add it there")
    if options.png is not None:
        from .chart import require_matplotlib

        require_matplotlib()


def participants(options: BenchOptions, site: Site) -> list[Participant]:
    """Return the named contenders, or all that can run here and the common ones that cannot.

    Raises InputError for a named contender or a baseline that cannot run here.
    """
    chosen = []
    for contender in CONTENDERS:
        named = contender.name in options.contenders
        if options.contenders and not named:
            continue
        reason = contender.absent(site)
        if reason is None:
            chosen.append(Participant(contender))
        elif named or contender.name == options.baseline:
            raise InputError(f"{contender.name} cannot run here: {reason}", "omit it, or install what it needs")
        elif contender.common:
            chosen.append(Participant(contender, state=ABSENT, reason=reason))
    return chosen
