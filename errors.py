"""Every error that a user can meet, in one place: one line that says what is wrong, with what value, and what to do.

Exit codes of the command line follow the class: 2 for a bad input, 1 for a failed stage or a failed parity gate.
"""

from __future__ import annotations


def _one_line(text: str) -> str:
    return " ".join(text.split())


def first_line(error: BaseException) -> str:
    """What a library's exception says, as part of a line of ours: its first line, at most 300 characters, or its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


class AttnexportError(Exception):
    """Base of all errors that attnexport raises on purpose.

    ``problem`` says what is wrong, with the value; ``remedy`` says what to do. Both are folded to one line.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = _one_line(problem).rstrip(".")
        self.remedy = _one_line(remedy).rstrip(".")
        super().__init__(f"{self.problem}. {self.remedy}." if self.remedy else f"{self.problem}.")


class InputError(AttnexportError):
    """What the user handed in cannot be used: a file, an option, a shape, a dtype."""

    exit_code = 2


class UnsupportedModelError(InputError):
    """The model itself cannot be exported: data-dependent control flow, an operator without a translation."""


class BundleError(InputError):
    """A bundle on disk is missing, damaged, of another schema version, or made for another machine."""


class ForeignEngineError(BundleError):
    """An engine of a bundle was made for another GPU, TensorRT version or flavour than is here; the remedy rebuilds it."""


class StageError(AttnexportError):
    """A stage of the export failed on an input that looked right. ``stage`` names it."""

    def __init__(self, stage: str, problem: str, remedy: str = "") -> None:
        self.stage = stage
        super().__init__(f"{stage}: {problem}", remedy)


class EngineError(StageError):
    """TensorRT refused the model or failed while it built the engine."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("engine", problem, remedy)


class ParityError(StageError):
    """An exported model does not reproduce the original within its gate."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("verify", problem, remedy)


class MissingBackendError(InputError):
    """An optional library is needed and not installed; the remedy names the extra that brings it."""
