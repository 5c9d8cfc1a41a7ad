"""Who takes part: the contenders that were asked for, or all that can run here, and what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import AttnexportError, InputError, StageError, first_line
from ...runtime.bundle.bench_report import ABSENT, MEASURED, Entrant, MemoryUse
from .contenders import CONTENDERS, NAMES, Contender, Runner
from .options import BenchOptions
from .site import Site


@dataclass
class Participant:
    """A contender under way."""

    contender: Contender
    runner: Runner | None = None
    state: str = MEASURED
    reason: str = ""
    error: float | None = None
    opened: float | None = None
    memory: tuple[MemoryUse, ...] = ()
    failure: str = ""
    """Why it did not get further in a process of its own: it is run as far as it got there."""
    notes: tuple[str, ...] = ()

    def give_up(self, state: str, reason: str) -> None:
        """It is not run any more."""
        self.state, self.reason = state, reason
        self.close()

    def close(self) -> None:
        """Free what it holds."""
        if self.runner is not None:
            self.runner.close()
            self.runner = None

    def record(self, site: Site) -> Entrant:
        """What a report says of it."""
        one = self.contender
        return Entrant(
            one.name, one.title, one.precision(site), site.device, self.state, self.reason, self.error, self.opened
        )


def said(error: Exception) -> str:
    """What an error says, without the stage that the table names anyway."""
    if isinstance(error, StageError):
        return error.problem.removeprefix(f"{error.stage}: ")
    return error.problem if isinstance(error, AttnexportError) else f"{type(error).__name__}: {first_line(error)}"


def check_names(options: BenchOptions) -> None:
    """Raise InputError for the name of no contender, and a chart that cannot be drawn, before anything is done."""
    for option, names in (
        ("--contenders", options.contenders),
        ("--baseline", (options.baseline,) if options.baseline else ()),
    ):
        if unknown := [name for name in names if name not in NAMES]:
            raise InputError(f"{option} {unknown[0]} is not known", f"use some of {', '.join(NAMES)}")
    if options.baseline and options.contenders and options.baseline not in options.contenders:
        raise InputError(f"--baseline {options.baseline} is not among --contenders", "add it there")
    if options.png is not None:
        from .chart import require_matplotlib

        require_matplotlib()


def participants(options: BenchOptions, site: Site) -> list[Participant]:
    """Those that take part, and those that would if they were here."""
    found = []
    for contender in CONTENDERS:
        wanted = contender.name in options.contenders
        if options.contenders and not wanted:
            continue
        reason = contender.absent(site)
        if reason is None:
            found.append(Participant(contender))
        elif wanted or contender.name == options.baseline:
            raise InputError(f"{contender.name} cannot run here: {reason}", "leave it out, or bring what it needs")
        elif contender.common:
            found.append(Participant(contender, state=ABSENT, reason=reason))
    return found
