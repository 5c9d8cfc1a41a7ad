"""How stages report while they run: a protocol that the command line and the Python API implement. Nothing in export/ prints."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ..runtime import whereabouts
from ..runtime.bundle.stage import Stage


@dataclass
class StageRun:
    """One stage of a run: its wall time in seconds and one line about its result.

    ``stage`` is a :class:`~attnexport.runtime.bundle.stage.Stage` in an export, and any word elsewhere; ``model_type`` is the
    type that the typed stage converts to, ``part`` the part of an encoder-decoder network.
    """

    stage: str
    model_type: str = ""
    part: str = ""
    seconds: float = 0.0
    detail: str = ""

    @property
    def name(self) -> str:
        """The name on the console: ``lower``, ``fp16``, ``encoder: lower``."""
        label = self.stage.label(self.model_type) if isinstance(self.stage, Stage) else self.stage
        return f"{self.part}: {label}" if self.part else label


class Reporter(Protocol):
    """Receives events in order: started, any notes and progress, then finished, unless the stage raises."""

    def started(self, stage: str) -> None:
        """A stage starts."""

    def note(self, text: str) -> None:
        """A fact for the user in one line: a prefix is stripped, a fallback is used."""

    def progress(self, done: float, text: str) -> None:
        """The progress of the running stage, 0.0 to 1.0, and its current work. May come from another thread."""

    def finished(self, record: StageRun) -> None:
        """The stage has finished."""


class Silent:
    """A reporter that keeps the notes and prints nothing; the default of the Python API."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def started(self, stage: str) -> None:
        """Print nothing."""

    def note(self, text: str) -> None:
        """Keep the note."""
        self.notes.append(text)

    def progress(self, done: float, text: str) -> None:
        """Print nothing."""

    def finished(self, record: StageRun) -> None:
        """Print nothing."""


@dataclass
class Stages:
    """Runs the stages of one export: times each and calls the reporter."""

    reporter: Reporter
    records: list[StageRun] = field(default_factory=list)

    @contextmanager
    def run(self, stage: str, model_type: str = "") -> Iterator[StageRun]:
        """Time the block, which fills ``detail``. A block that raises is not recorded."""
        record = StageRun(stage, model_type)
        self.reporter.started(record.name)
        whereabouts.at_stage(record.name)
        start = time.perf_counter()
        yield record
        record.seconds = time.perf_counter() - start
        self.records.append(record)
        self.reporter.finished(record)
