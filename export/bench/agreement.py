"""Only correct contenders are timed: outputs are compared with the bundle's FP32 model, and that model with golden outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ParityError, StageError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.check.compare import ErrorMeter, check_outputs
from ...runtime.sessions.ort import OrtSession
from ...runtime.spec import TensorSpec
from .contenders import Feeds
from .measured_model import MeasuredModel

LIMITS = {"float32": 1e-2, "float16": 0.1, "bfloat16": 0.2, "int8": 0.5, "float8": 0.5}
"""Rms difference allowed, over the rms of the outputs, by precision: far above rounding, far below a wrong formula. Whether an
export is accurate is the gate's matter, not this one's."""


class ReferenceModel:
    """The bundle's FP32 model on ONNX Runtime's CPU provider. Raises ParityError where it misses the golden outputs."""

    def __init__(self, model: MeasuredModel, threads: int) -> None:
        path = model.file("model-fp32")
        if path is None:
            raise StageError("bench", f"{model.bundle} has no FP32 model", "export it again")
        self._session = OrtSession(path, threads=threads)
        self._specs = model.outputs
        for case in StoredBundle.open(model.bundle).golden()[:1]:
            expected = {spec.name: case.reference[spec.name] for spec in self._specs}
            difference(self._specs, self.outputs(case.feeds), expected, "float32", path.name)

    def outputs(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """What the model gives for inputs."""
        found = self._session.run(feeds)
        return {spec.name: found[spec.name] for spec in self._specs}

    def close(self) -> None:
        """Free the session."""
        self._session.close()


def difference(
    specs: Sequence[TensorSpec],
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    precision: str,
    who: str,
) -> float:
    """The rms difference over the rms of ``expected``, of the output where it is largest; of integers the share that differs.

    Raises ParityError for a missing output, another shape or dtype, NaN or all zeros, and a difference beyond
    :data:`LIMITS`.
    """
    check_outputs(specs, found, reference=expected, of=who)
    worst = 0.0
    for spec in specs:
        got, true = found[spec.name], expected[spec.name]
        if got.dtype.kind == "f":
            meter = ErrorMeter()
            meter.add(got, true)
            error = meter.figures().relative if got.size else 0.0
        else:
            error = float(np.mean(got != true)) if got.size else 0.0
        if not error <= LIMITS[precision]:
            raise ParityError(
                f"output {spec.name!r} of {who} is off by {error:.2g} of its rms ({LIMITS[precision]:g} is allowed)"
            )
        worst = max(worst, error)
    return worst
