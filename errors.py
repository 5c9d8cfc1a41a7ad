"""All errors for users: one line with the problem, its value, and a remedy.

The exit code of the command line follows the class: 2 for invalid input, 1 for a failed stage or
parity gate.
"""

from __future__ import annotations

_LONGEST = 4000


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * _LONGEST].split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 300 characters; its class name if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


class AttnexportError(Exception):
    """Base class of the errors that attnexport raises on purpose.

    ``problem`` is what is wrong, with the value; ``remedy`` is what to do. Both are joined to one
    line.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = _one_line(problem).rstrip(".")
        self.remedy = _one_line(remedy).rstrip(".")
        super().__init__(f"{self.problem}. {self.remedy}." if self.remedy else f"{self.problem}.")


class InputError(AttnexportError):
    """An input of the user is not valid: a file, an option, a shape, a dtype."""

    exit_code = 2


class UnsupportedModelError(InputError):
    """The model cannot be exported: data-dependent control flow, or an operator without a translation."""


class BundleError(InputError):
    """A bundle is missing, damaged, of another schema version, or built for another machine."""

    def __init__(self, problem: str, remedy: str = "export the bundle again") -> None:
        super().__init__(problem, remedy)


class ForeignEngineError(BundleError):
    """An engine was built for another GPU, TensorRT version or flavour; the remedy rebuilds it."""


class StageError(AttnexportError):
    """A stage of the export failed on valid input. ``stage`` is its name."""

    def __init__(self, stage: str, problem: str, remedy: str = "") -> None:
        self.stage = stage
        super().__init__(f"{stage}: {problem}", remedy)


class EngineError(StageError):
    """TensorRT refused the model or failed to build the engine."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("engine", problem, remedy)


class ParityError(StageError):
    """An exported model differs from the original by more than its gate allows."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("verify", problem, remedy)


class MissingBackendError(InputError):
    """An optional library is needed and not installed; the remedy names the extra that installs it."""
