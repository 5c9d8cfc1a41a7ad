"""F.interpolate with antialias=True as two products with the exact weights of its kernel.

    y = W_h x W_w^T,   W_h (H', H) and W_w (W', W): the kernel's own response to each single pixel

Resize has an attribute for it that TensorRT refuses, and whose kernel is not torch's. The filter is linear and separable, so its weights
are read from torch itself, in FP64. Refused with a reason where a size is free: then the weights are not known before the model runs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from ....errors import UnsupportedModelError
from .shared import Translations, aten


def weights(
    kernel: Callable[..., torch.Tensor], size: int, wanted: int, align_corners: bool, scale: float | None
) -> torch.Tensor:
    """(wanted, size), float64: what each of ``size`` pixels gives to each of ``wanted``. ``scale``: the factor, where one was given."""
    pixels = torch.eye(size, dtype=torch.float64)[None, None]
    return kernel(pixels, [wanted, size], align_corners, scale, None)[0, 0]


def _resize(kernel: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    def translated(
        x: Any, size: Any, align_corners: bool, scale_h: float | None = None, scale_w: float | None = None
    ) -> Any:
        before, after = list(x.shape[-2:]), list(size)
        if not all(isinstance(length, int) for length in (*before, *after)):
            raise UnsupportedModelError(
                "interpolate with antialias=True resizes an axis of free length, whose weights are not known before the model runs",
                "fix height and width, or leave antialias out",
            )
        kind = x.dtype.numpy() if x.dtype in (ir.DataType.DOUBLE, ir.DataType.FLOAT16) else np.float32
        for axis, scale in ((-2, scale_h), (-1, scale_w)):
            if before[axis] == after[axis] and scale in (None, 1.0):
                continue
            matrix = weights(kernel, before[axis], after[axis], align_corners, scale).numpy().astype(kind)
            tensor = ir.tensor(matrix if axis == -2 else matrix.T.copy())
            constant = op.Constant(value=ir.serde.serialize_tensor(tensor))
            x = op.MatMul(constant, x) if axis == -2 else op.MatMul(x, constant)
        return x

    return translated


ANTIALIAS: Translations = {
    aten._upsample_bilinear2d_aa.default: _resize(aten._upsample_bilinear2d_aa.default),
    aten._upsample_bicubic2d_aa.default: _resize(aten._upsample_bicubic2d_aa.default),
}
