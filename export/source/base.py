"""A loaded model, whatever file it came from: the interface of the input kinds, and what capturing one returns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle.sections import AttentionRecord
from ...runtime.spec import TensorSpec
from ..capture import Captured
from ..options import SourceOptions
from ..reference.original import Original
from .sniff import FileFormat


@dataclass(frozen=True)
class CapturedModel:
    """A captured graph and the original that it is compared with.

    ``inputs`` are those that were captured. ``attention`` describes the outputs that are attention maps.
    """

    captured: Captured
    original: Original
    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...]
    attention: tuple[AttentionRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """A loaded model, before anything is exported. Each subclass is one kind of input.

    The stages use :meth:`capture` and the fields below, and need not know which kind it is.
    """

    kind: str
    """Where the model came from, for the manifest: ``checkpoint``, ``state_dict``, ``pickle``, ``onnx``, …"""
    name: str
    inputs: tuple[TensorSpec, ...]
    path: Path | None = None
    sha256: str | None = None
    """The SHA-256 of the file at ``path``."""
    outputs: tuple[str, ...] = ()
    """The names of the outputs, if the model stores them."""
    task: str | None = None
    arch: str | None = None
    explicit_dynamic: bool = False
    """Whether the dynamic axes come from the user or the file; if not, the axes named ``batch`` are only assumed."""
    notes: tuple[str, ...] = ()
    """Decisions made while loading that the user should know, one line each."""

    @abstractmethod
    def capture(self, outputs: Sequence[str], seed: int, *, attention: bool = False) -> CapturedModel:
        """Return the ONNX graph of the model and the reference to compare it with.

        ``outputs`` names the outputs; if it is empty, the names come from the model. ``seed`` draws the example inputs.
        ``attention`` adds the attention maps as outputs. Raises FixedAxisError if the model accepts only one size of
        a dynamic axis, UnsupportedModelError if it cannot be captured, and InputError for options that do not fit it.
        """


@dataclass(frozen=True)
class Reader:
    """How files of one format become a :class:`Source`."""

    format: FileFormat
    read: Callable[[Path, SourceOptions], Source]
    """Raises InputError for a file that cannot be used."""
    has_architecture: bool = False
    """Whether the file contains the architecture, so that ``--arch``, ``--factory`` and ``--kwargs`` are refused."""
