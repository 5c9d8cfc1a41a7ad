"""What a check found: a row per output of a stage, or per decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..bundle.codec import encode_fields

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class CheckRow:
    """One output of one stage. ``error`` is the rms against the truth; the figures are None where nothing was measured.

    ``verdict`` is ``passed``, ``failed`` or ``not run``; ``reason`` says why for the latter two. ``how`` names what
    ran the file. A decode has no error: ``how`` says how many of its tokens are the original's.
    """

    stage: str
    file: str
    output: str
    error: float | None
    relative: float | None
    ratio: float | None
    factor: float
    verdict: str
    reason: str
    how: str


@dataclass(frozen=True)
class CheckResult:
    """All rows. A row that could not run here is no failure, but at least one must have passed."""

    bundle: str
    cases: int
    files: int
    rows: tuple[CheckRow, ...]

    @property
    def passed(self) -> bool:
        """Whether something was proved and nothing failed."""
        verdicts = {row.verdict for row in self.rows}
        return PASSED in verdicts and FAILED not in verdicts

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the verdict included."""
        return {"passed": self.passed, **encode_fields(self)}
