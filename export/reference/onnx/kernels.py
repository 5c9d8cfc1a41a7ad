"""All kernels of this folder, by domain and operator."""

from collections.abc import Mapping

from . import (
    activations,
    attention,
    attention_microsoft,
    convolution,
    elementwise,
    losses,
    normalisation,
    pooling,
    products,
    quantisation,
    quantised_products,
    recurrent,
    reductions,
    regions,
    resize,
    sequences,
    spectral,
    tensors,
)  # fmt: skip
from .call import Kernel

_STANDARD = (
    activations, attention, convolution, elementwise, losses, normalisation, pooling, products, quantisation, recurrent,
    reductions, regions, resize, sequences, spectral, tensors,
)  # fmt: skip
_MICROSOFT = (activations, attention_microsoft, convolution, normalisation, products, quantised_products, tensors)
_SHARED = ("DequantizeLinear", "GridSample", "QuantizeLinear")
"""Operators that com.microsoft defines as the standard does."""

MICROSOFT = "com.microsoft"
KERNELS: Mapping[tuple[str, str], Kernel] = {
    **{("", name): kernel for module in _STANDARD for name, kernel in module.KERNELS.items()},
    **{(MICROSOFT, name): kernel for module in _STANDARD for name, kernel in module.KERNELS.items() if name in _SHARED},
    **{(MICROSOFT, name): kernel for module in _MICROSOFT for name, kernel in module.MICROSOFT.items()},
}
"""The kernel of each operator that has one here."""
