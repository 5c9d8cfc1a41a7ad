"""Attention layers may be taken apart where no kernel fits: else TensorRT refuses to build FP32 ones and odd head sizes.

Seen on TensorRT-RTX 1.7.1: without this, FP32 of any head size, and FP16 and BF16 of head sizes 8 and 512, end in
"Attention operation was not supported by a dedicated kernel". The parser has no way to ask for it; the layer has.
"""

from __future__ import annotations

from typing import Any

_BOUNDARY = "ATTENTION_INPUT"


def allow_decomposition(trt: Any, network: Any) -> int:
    """Mark every Attention of ``network`` as decomposable; returns how many there are. Older TensorRT has none."""
    boundary = getattr(trt, "IAttentionInputLayer", None)
    if boundary is None:
        return 0
    count = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name != _BOUNDARY:
            continue
        layer.__class__ = boundary  # get_layer gives the base class, which hides the attention
        layer.attention.decomposable = True
        count += 1
    return count
