"""How the stages speak while they work: a reporter that the command line, JSON mode and tests each fulfil."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives what happens. Stages call it; nothing in export/ prints."""

    def note(self, text: str) -> None:
        """A fact that the user should know (a prefix stripped, a fallback taken). One line."""

    def progress(self, done: float, text: str) -> None:
        """How far the running stage is, 0.0 to 1.0, and what it does at this moment."""


class Silent:
    """A reporter that keeps the notes and shows nothing; the default of the Python API."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep the note."""
        self.notes.append(text)

    def progress(self, done: float, text: str) -> None:
        """Nothing to show."""


