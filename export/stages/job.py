"""One export in progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..engine.flavour import Flavour
from ..options import ExportOptions
from ..progress import Reporter, Stages


@dataclass
class Job:
    """One export under way: what was asked for, the stages so far, and what the user should know of them."""

    options: ExportOptions
    reporter: Reporter
    stages: Stages
    flavour: Flavour | None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: ExportOptions, reporter: Reporter, flavour: Flavour | None) -> Job:
        """A job with nothing done."""
        return cls(options, reporter, Stages(reporter), flavour)

    def note(self, text: str) -> None:
        """Keep a fact for the manifest, and tell it."""
        self.notes.append(text)
        self.reporter.note(text)
