"""The model files of a bundle, and the precision that each is verified at."""

from __future__ import annotations

from ..reference.original import Precision

FP32 = "model.onnx"

HALF = {"fp16": "model.fp16.onnx", "bf16": "model.bf16.onnx"}
"""The file of a 16-bit model, by type."""

TYPED = {**HALF, "int8": "model.int8.onnx", "fp8": "model.fp8.onnx"}
"""The file of a typed model, by type."""

EIGHT: dict[str, Precision] = {"int8": "int8+float16", "fp8": "fp8+float16"}
PRECISION: dict[str, Precision] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", **EIGHT}
"""The precision at which PyTorch's error is the reference, by type."""
