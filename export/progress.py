"""How the stages speak while they work: a reporter that the command line and the Python API each fulfil. Nothing in export/ prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass
class StageRun:
    """One stage as it was run: wall time in seconds, one line of what it did, and figures that the manifest keeps beside it."""

    name: str
    seconds: float = 0.0
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Reporter(Protocol):
    """Receives what happens, in order: started, any notes and progress, finished (or nothing more, if the stage raised)."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def note(self, text: str) -> None:
        """A fact that the user should know (a prefix stripped, a fallback taken). One line."""

    def progress(self, done: float, text: str) -> None:
        """How far the running stage is, 0.0 to 1.0, and what it does at this moment. May come from another thread."""

    def finished(self, record: StageRun) -> None:
        """The stage is done."""


class Silent:
    """A reporter that keeps the notes and shows nothing; the default of the Python API."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def started(self, stage: str) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Keep the note."""
        self.notes.append(text)

    def progress(self, done: float, text: str) -> None:
        """Nothing to show."""

    def finished(self, record: StageRun) -> None:
        """Nothing to show."""


@dataclass
class Stages:
    """Runs the stages of one export: times each and tells the reporter."""

    reporter: Reporter
    records: list[StageRun] = field(default_factory=list)

    @contextmanager
    def run(self, name: str) -> Iterator[StageRun]:
        """Time the block; it fills ``detail``. A block that raises is not recorded."""
        record = StageRun(name)
        self.reporter.started(name)
        start = time.perf_counter()
        yield record
        record.seconds = time.perf_counter() - start
        self.records.append(record)
        self.reporter.finished(record)
