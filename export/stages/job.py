"""One export in progress."""

from dataclasses import dataclass, field

from ..engine.flavour import Flavour
from ..options import ExportOptions
from ..progress import Reporter, Stages


@dataclass
class Job:
    """One export in progress: its options, the finished stages, and the notes for the manifest."""

    options: ExportOptions
    reporter: Reporter
    stages: Stages
    flavour: Flavour | None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: ExportOptions, reporter: Reporter, flavour: Flavour | None) -> "Job":
        """Return a job without finished stages."""
        return cls(options, reporter, Stages(reporter), flavour)

    def note(self, text: str) -> None:
        """Add a note to the manifest and report it."""
        self.notes.append(text)
        self.reporter.note(text)
