"""Compare outputs with the reference: names, shapes, dtypes and sane values first, then the error."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ParityError
from ..bundle.figures import Figures
from ..spec import TensorSpec

_SMALLEST = (("FP16", 2.0**-24), ("FP32", 2.0**-149))
"""The smallest numbers above 0. The outputs of an untrained network may be smaller, and then PyTorch's are 0, too."""


def check_outputs(
    expected: Sequence[TensorSpec],
    got: Mapping[str, np.ndarray],
    *,
    reference: Mapping[str, np.ndarray] | None = None,
    sizes: Mapping[str, int] | None = None,
    of: str = "the model",
    rows: Mapping[str, int] | None = None,
    noise: Mapping[str, float] | None = None,
) -> None:
    """Compare outputs with their specs, and check that their values are sane; :class:`ErrorMeter` measures the error.

    The shape must be the reference's; without a reference the spec's fixed axes, and its symbols as
    ``sizes`` has them (ranges of outputs are only inferred). NaN, Inf and all zeros fail unless the
    reference has them at the same places. ``rows``: by output, an axis whose size may differ (selected rows). ``of``
    names the model in messages. ``noise``: by output, PyTorch's rms error at that precision; zeros pass if the reference
    itself is not larger, as a difference of equal numbers is.
    Raise ParityError for: missing, extra, rank, shape, dtype, NaN, Inf, all zeros.
    """
    names = [s.name for s in expected]
    listed = ", ".join(names)
    if missing := [n for n in names if n not in got]:
        raise ParityError(f"output {missing[0]!r} of {of} is missing", f"the model has {listed}")
    if extra := [n for n in got if n not in names]:
        raise ParityError(f"{of} has an extra output {extra[0]!r}", f"the model has {listed}")
    for spec in expected:
        array = got[spec.name]
        true = None if reference is None else reference[spec.name]
        what = f"output {spec.name!r} of {of}"
        free = (rows or {}).get(spec.name)
        _check_shape(spec, array, true, sizes or {}, what, free)
        if array.dtype != spec.numpy_dtype:
            raise ParityError(f"{what} has dtype {array.dtype} and must have {spec.dtype}")
        near = (noise or {}).get(spec.name, 0.0)
        _check_values(array, true if true is None or array.shape == true.shape else np.ones_like(array), what, near)


def _check_shape(
    spec: TensorSpec, array: np.ndarray, true: np.ndarray | None, sizes: Mapping[str, int], what: str, free: int | None
) -> None:
    rank = len(spec.axes) if true is None else true.ndim
    if array.ndim != rank:
        raise ParityError(f"{what} has rank {array.ndim} (shape {array.shape}) and must have rank {rank}")
    if true is not None:
        expected: tuple[int | None, ...] = tuple(None if i == free else n for i, n in enumerate(true.shape))
    else:
        expected = tuple(a.opt if a.symbol is None else sizes.get(a.symbol) for a in spec.axes)
    if any(w is not None and w != n for w, n in zip(expected, array.shape, strict=True)):
        shown = "(" + ", ".join("?" if w is None else str(w) for w in expected) + ")"
        raise ParityError(f"{what} has shape {array.shape} and must have {shown}")


def _check_values(array: np.ndarray, true: np.ndarray | None, what: str, noise: float) -> None:
    if np.issubdtype(array.dtype, np.floating):
        for word, test in (("NaN", np.isnan), ("Inf", np.isinf)):
            bad = test(array) if true is None else test(array) & ~test(true)
            if count := int(np.count_nonzero(bad)):
                raise ParityError(f"{what} holds {count} {word} of {array.size} values and the reference has none")
    if true is not None and array.dtype.kind == "f" and array.size and not array.any() and true.any():
        if np.isfinite(true).all() and float(np.sqrt(np.mean(np.square(true, dtype=np.float64)))) <= noise:
            return
        largest = float(np.abs(true).max())
        small = [f"{name} holds nothing below {least:.0e}" for name, least in _SMALLEST if largest < least]
        why = f": the largest value is {largest:.1e}, and {small[-1]}" if small else ""
        remedy = "for an untrained network use --random-weights, which scales its weights" if small else ""
        raise ParityError(f"{what} is all zeros and the reference is not{why}", remedy)


class ErrorMeter:
    """The difference of one output from its FP64 reference, accumulated over batches in FP64."""

    def __init__(self) -> None:
        self._count = 0
        self._max = 0.0
        self._error = self._true = self._got = self._dot = 0.0

    def add(self, got: np.ndarray, reference: np.ndarray) -> None:
        """Add one batch, of equal shapes, any dtypes. Equal infinities, and NaN at the same place, do not count as a difference.

        Raise ParityError for unequal shapes, which broadcasting would hide.
        """
        if got.shape != reference.shape:
            raise ParityError(f"shapes {got.shape} and {reference.shape} cannot be compared")
        if not got.size:
            return
        a, b = got.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            if not (finite | same).all():
                self._max = self._error = math.inf
            a, b = a[finite], b[finite]
        difference = a - b
        self._count += got.size
        self._max = max(self._max, float(np.abs(difference).max(initial=0.0)))
        self._error += float(difference @ difference)
        self._true += float(b @ b)
        self._got += float(a @ a)
        self._dot += float(a @ b)

    @property
    def count(self) -> int:
        """The number of values so far."""
        return self._count

    def merge(self, other: "ErrorMeter") -> None:
        """Add everything that ``other`` has."""
        self._count += other._count
        self._max = max(self._max, other._max)
        self._error += other._error
        self._true += other._true
        self._got += other._got
        self._dot += other._dot

    def figures(self) -> Figures:
        """The figures over all batches. Raise ParityError without any value."""
        if not self._count:
            raise ParityError("nothing was compared", "give at least one case with at least one value")
        rms = math.sqrt(self._error / self._count)
        reference_rms = math.sqrt(self._true / self._count)
        norms = math.sqrt(self._true) * math.sqrt(self._got)
        alike = float(self._true == self._got)  # no direction to compare
        cosine = max(-1.0, min(1.0, self._dot / norms)) if norms > 0.0 else alike
        relative = 0.0 if rms == 0.0 else rms / reference_rms if reference_rms > 0.0 else math.inf
        return Figures(rms, self._max, relative, cosine, reference_rms, self._count)
