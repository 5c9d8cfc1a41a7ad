"""The result of a check: a row for each output of a stage, or for each decode."""

from dataclasses import dataclass
from typing import Any

from ..bundle.codec import encode_fields

PASSED, UNSTABLE, FAILED, NOT_RUN = "passed", "unstable", "failed", "not run"


@dataclass(frozen=True)
class CheckRow:
    """One output of one stage. ``error`` is the rms against the reference; the figures are None if nothing was measured.

    ``agreement``: the share of equal values or rows of a discrete or selected output, else None. ``verdict`` is
    ``passed``, ``unstable`` (PyTorch's error is too large to judge an export), ``failed`` or ``not run``, with the
    ``reason`` of the last three.
    ``factor`` is the limit of the check and ``recorded`` the manifest's.
    ``how`` describes what ran the file. A decode has no error: ``how`` has the number of tokens
    that equal the original's.
    """

    stage: str
    file: str
    output: str
    error: float | None
    relative: float | None
    cosine: float | None
    agreement: float | None
    ratio: float | None
    factor: float
    recorded: float | None
    verdict: str
    reason: str
    how: str


@dataclass(frozen=True)
class CheckResult:
    """All rows. A row that could not run here does not fail, but at least one must pass.

    An unstable row counts as passed with ``allow_unstable``, and as failed without.
    """

    bundle: str
    cases: int
    files: int
    rows: tuple[CheckRow, ...]
    allow_unstable: bool = False

    @property
    def passed(self) -> bool:
        """Whether at least one row passed and none failed."""
        verdicts = {row.verdict for row in self.rows}
        passing = {PASSED, UNSTABLE} if self.allow_unstable else {PASSED}
        return bool(verdicts & passing) and not verdicts & ({FAILED, UNSTABLE} - passing)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the verdict included."""
        return {"passed": self.passed, **encode_fields(self)}
