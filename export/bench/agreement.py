"""Compare each contender's outputs with the bundle's FP32 model, and that model with the golden cases."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ParityError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.check.compare import ErrorMeter, check_outputs
from ...runtime.sessions.ort import OrtSession
from ...runtime.spec import TensorSpec
from .contenders import Feeds
from .measured_model import MeasuredModel

LIMITS = {"float32": 1e-2, "float16": 0.1, "bfloat16": 0.2, "int8": 0.5, "float8": 0.5}
"""Limit of the relative rms error by precision: far above rounding, far below a wrong formula. The gates of the export
decide whether it is accurate."""


class ReferenceModel:
    """The bundle's FP32 model on ONNX Runtime's CPU provider. Raises ParityError if it fails the first golden case."""

    def __init__(self, model: MeasuredModel, threads: int) -> None:
        path = model.file("model-fp32")
        self._session = OrtSession(path, threads=threads)
        self._specs = model.outputs
        for case in StoredBundle.open(model.bundle).golden()[:1]:
            reference = {spec.name: case.reference[spec.name] for spec in self._specs}
            difference(self._specs, self.outputs(case.feeds), reference, "float32", path.name)

    def outputs(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Return the outputs of the model by name."""
        outputs = self._session.run(feeds)
        return {spec.name: outputs[spec.name] for spec in self._specs}

    def close(self) -> None:
        """Free the session."""
        self._session.close()


def difference(
    specs: Sequence[TensorSpec],
    outputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    precision: str,
    who: str,
) -> float:
    """Return the largest error of an output: the relative rms error of floats, the share of integers that differ.

    Raises ParityError for a missing output, another shape or dtype, NaN or all zeros, and an error above :data:`LIMITS`.
    ``who`` names the contender in its message.
    """
    check_outputs(specs, outputs, reference=reference, of=who)
    worst = 0.0
    for spec in specs:
        output, expected = outputs[spec.name], reference[spec.name]
        if output.dtype.kind == "f":
            meter = ErrorMeter()
            meter.add(output, expected)
            error = meter.figures().relative if output.size else 0.0
        else:
            error = float(np.mean(output != expected)) if output.size else 0.0
        if not error <= LIMITS[precision]:
            raise ParityError(
                f"output {spec.name!r} of {who}: error is {error:.2g} of its rms; the limit is {LIMITS[precision]:g}"
            )
        worst = max(worst, error)
    return worst
