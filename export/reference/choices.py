"""The scores behind an output that chooses one of several: arg-max, arg-min, the place of a maximum, a top-1.

    values[i, c]        the scores of choice i, larger is better
    other[i], gap[i]    the best place besides the chosen one, and by how much its score is less

Where the gap is within rounding, another place is a tie (:mod:`...runtime.check.case_errors`). An output belongs to scores if
its number i is a best place of row i, for all rows: so any reshaping between them does no harm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...runtime.bundle.figures import rounding_floor
from ...runtime.bundle.golden import Tie
from .onnx_model import OnnxOriginal
from .original import Arrays, Original, Precision

_ATEN = torch.ops.aten
_CHOOSES: Mapping[Any, bool] = {
    _ATEN.argmax.default: True,
    _ATEN.argmin.default: False,
    _ATEN.max.dim: True,
    _ATEN.min.dim: False,
}
"""Operators (x, axis, ...) and whether they choose the largest."""
_NODES = {"ArgMax": True, "ArgMin": False}


@dataclass(frozen=True)
class Scores:
    """The scores of one operator: ``values`` (choices, candidates) in FP64, larger is better."""

    values: npt.NDArray[np.float64]

    @classmethod
    def along(cls, array: np.ndarray, axis: int | None, largest: bool = True) -> "Scores":
        """The scores of a choice along ``axis``, or among all values."""
        rows = array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
        return cls(rows.astype(np.float64) * (1.0 if largest else -1.0))

    def tie(self, chosen: np.ndarray) -> Tie | None:
        """The second best of each choice; None if ``chosen`` are not best places of these scores."""
        places = chosen.reshape(-1)
        rows, candidates = self.values.shape
        if len(places) != rows or candidates < 2 or not rows or places.min() < 0 or places.max() >= candidates:
            return None
        best = self.values[np.arange(rows), places]
        if not (best == self.values.max(1)).all():
            return None
        others = self.values.copy()
        others[np.arange(rows), places] = -np.inf
        other = others.argmax(1)
        gap = best - others[np.arange(rows), other]
        return Tie(other.astype(np.int64).reshape(chosen.shape), gap.reshape(chosen.shape))

    def distance(self, other: "Scores") -> float:
        """The largest difference of a score; 0 for scores of another shape."""
        if self.values.shape != other.values.shape:
            return 0.0
        difference = np.abs(self.values - other.values)
        return float(np.nan_to_num(difference, nan=0.0, posinf=0.0).max(initial=0.0))

    def rounding(self, precision: str) -> float:
        """Half an ulp of ``precision`` at the rms of the best scores."""
        best = self.values.max(1)
        return (
            rounding_floor(precision, float(np.sqrt(np.mean(np.square(best[np.isfinite(best)]))))) if len(best) else 0.0
        )


class RecordScores(TorchDispatchMode):
    """Inside, the scores of each choice are kept, in order."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.scores: list[Scores] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _CHOOSES:
            self._keep(args[0], args[1] if len(args) > 1 else given.get("dim"), _CHOOSES[func])
        elif func is _ATEN.topk.default and args[1] == 1:
            place = dict(zip(("dim", "largest"), args[2:], strict=False)) | given
            self._keep(args[0], place.get("dim", -1), place.get("largest", True))
        return func(*args, **given)

    def _keep(self, scores: torch.Tensor, axis: int | None, largest: bool) -> None:
        if scores.is_floating_point() and scores.dim():
            self.scores.append(Scores.along(scores.double().numpy(), axis, largest))


def run_scored(
    original: Original, feeds: Arrays, precision: Precision
) -> tuple[dict[str, np.ndarray], tuple[Scores, ...]]:
    """The outputs at ``precision``, and the scores of all choices in order; of an ONNX file in FP64 only."""
    with RecordScores() as recorded:
        outputs = original.run(feeds, precision)
    if not isinstance(original, OnnxOriginal):
        return outputs, tuple(recorded.scores)
    nodes = [node for node in original.model.graph.node if node.op_type in _NODES and not node.domain]
    if precision != "float64" or not nodes:
        return outputs, ()
    tensors = original.tensors(feeds, [node.input[0] for node in nodes])
    axes = [next((a.i for a in node.attribute if a.name == "axis"), 0) for node in nodes]
    return outputs, tuple(
        Scores.along(tensors[node.input[0]], axis, _NODES[node.op_type]) for node, axis in zip(nodes, axes, strict=True)
    )


def find_ties(
    outputs: Arrays, truth: Sequence[Scores], runs: Mapping[Precision, Sequence[Scores]]
) -> tuple[dict[str, Tie], dict[Precision, dict[str, float]]]:
    """The ties of all outputs of whole numbers; and by precision and output the largest error of a score.

    ``outputs`` and ``truth`` are of one run in FP64. ``runs``: the scores at other precisions, the last of which are those
    of ``truth``. An error is at least half an ulp of the scores' rms: an exact score is rounded by a model in that type.
    """
    found: dict[str, Tie] = {}
    errors: dict[Precision, dict[str, float]] = {precision: {} for precision in runs}
    for name, array in outputs.items():
        if array.dtype.kind not in "iu":
            continue
        for back, scores in enumerate(reversed(truth), start=1):
            if (tie := scores.tie(array)) is None:
                continue
            found[name] = tie
            for precision, recorded in runs.items():
                other = recorded[-back] if len(recorded) >= len(truth) else scores
                errors[precision][name] = max(scores.distance(other), scores.rounding(precision))
            break
    return found, errors
