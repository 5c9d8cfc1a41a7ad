"""The result of a check: a row for each output of a stage, or for each decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..bundle.codec import encode_fields

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class CheckRow:
    """One output of one stage. ``error`` is the rms against the reference; the figures are None if nothing was measured.

    ``verdict`` is ``passed``, ``failed`` or ``not run``, with the ``reason`` of the latter two.
    ``how`` describes what ran the file. A decode has no error: ``how`` has the number of tokens
    that equal the original's.
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
    """All rows. A row that could not run here does not fail, but at least one must pass."""

    bundle: str
    cases: int
    files: int
    rows: tuple[CheckRow, ...]

    @property
    def passed(self) -> bool:
        """Whether at least one row passed and none failed."""
        verdicts = {row.verdict for row in self.rows}
        return PASSED in verdicts and FAILED not in verdicts

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the verdict included."""
        return {"passed": self.passed, **encode_fields(self)}
