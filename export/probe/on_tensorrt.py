"""A case on TensorRT: built by the engine stage as a model would be, and run where a GPU that it knows is here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import AttnexportError, MissingBackendError
from ...runtime.sessions.tensorrt import TensorRTSession
from ...runtime.spec import Axis, TensorSpec
from ..engine import EngineOptions, Flavour, build_engine
from ..progress import Silent
from ..targets.matrix import Status
from .case import Outcome, ProbeCase, judge, shortened

BUILT = "built, not run"


class TensorRTProbe:
    """Measures on one TensorRT that is installed."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self.library = flavour.title

    def measure(self, case: ProbeCase) -> Outcome:
        """Build one case, and run it where that can be. Never raises for what the backend does."""
        try:
            with _stderr_closed():
                plan = build_engine(case.model, _specs(case), self._flavour, EngineOptions(), {}, Silent()).plan
        except AttnexportError as error:
            text = error.problem.removeprefix("engine: ").removeprefix("TensorRT failed to build: ")
            status: Status = "wrong" if "TensorRT parses it as" in text else "fails"
            return Outcome(status, BUILT, shortened(text))
        try:
            session = TensorRTSession(plan, self._flavour.name)
        except MissingBackendError:
            return Outcome("ok", BUILT)
        try:
            (y, *_) = session.run(case.feeds).values()
        except AttnexportError as error:
            return Outcome("fails", "ran", error.problem[:200])
        finally:
            session.close()
        return judge(case, y, "ran")


def _specs(case: ProbeCase) -> list[TensorSpec]:
    """The model's inputs; a free axis may be two longer than it is fed."""
    specs = []
    for value in case.model.graph.input:
        fed = case.feeds[value.name]
        dims = value.type.tensor_type.shape.dim
        axes = [
            Axis(size, size, size + 2, dim.dim_param) if dim.dim_param else Axis.fixed(size)
            for size, dim in zip(fed.shape, dims, strict=True)
        ]
        specs.append(TensorSpec(value.name, fed.dtype.name, tuple(axes)))
    return specs


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """TensorRT's compiler writes its complaints to the process' standard error, beside giving them as messages."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
