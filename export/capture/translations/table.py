"""Every translation of an ATen operator that torch.onnx does not translate as this package needs it."""

from __future__ import annotations

from typing import Any

from onnxscript import opset18 as op

from .all_true import ALL_TRUE
from .antialias import ANTIALIAS
from .conv3d import CONVOLUTIONS
from .distance import DISTANCES
from .domain_operators import DOMAIN_OPERATORS
from .einsum import EINSUM
from .linear_systems import LINEAR_SYSTEMS
from .order import ORDER
from .pooling import POOLING
from .shared import Translations, aten


def _negated(x: Any) -> Any:
    """A view where torch keeps the imaginary part of a conjugate."""
    return op.Neg(x)


TRANSLATIONS: Translations = {
    **CONVOLUTIONS,
    **POOLING,
    **ANTIALIAS,
    **EINSUM,
    **DISTANCES,
    **ORDER,
    **LINEAR_SYSTEMS,
    **ALL_TRUE,
    **DOMAIN_OPERATORS,
    aten._neg_view.default: _negated,
}
"""The table for ``torch.onnx.export(custom_translation_table=...)``. The schemas of the domain must be registered before it is used."""
