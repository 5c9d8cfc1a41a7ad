"""Allow TensorRT to decompose attention layers without a fused kernel: otherwise it refuses FP32 and unusual head sizes.

Seen on TensorRT-RTX 1.7.1: without this, FP32 of any head size, and FP16 and BF16 of head sizes 8 and 512, end in
"Attention operation was not supported by a dedicated kernel". The parser has no option for this; the layer has one.
"""

from __future__ import annotations

from typing import Any

_BOUNDARY = "ATTENTION_INPUT"


def allow_decomposition(trt: Any, network: Any) -> int:
    """Mark each Attention of ``network`` as decomposable, and return their number. Older TensorRT has no such layer."""
    boundary = getattr(trt, "IAttentionInputLayer", None)
    if boundary is None:
        return 0
    count = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name != _BOUNDARY:
            continue
        layer.__class__ = boundary  # get_layer returns the base class, which hides the attention
        layer.attention.decomposable = True
        count += 1
    return count
