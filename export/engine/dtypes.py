"""Names of TensorRT's and ONNX's element types: NumPy's name if NumPy has the type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

_TENSORRT = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool", "UINT8": "uint8", "FP8": "float8", "INT4": "int4", "FP4": "float4", "E8M0": "float8e8m0",
}  # fmt: skip


_ONNX = {
    1: "float32", 10: "float16", 11: "float64", 16: "bfloat16", 2: "uint8", 3: "int8", 5: "int16", 6: "int32",
    7: "int64", 9: "bool", 17: "float8", 22: "int4", 23: "float4", 24: "float8e8m0",
}  # fmt: skip


def dtype_name(dtype: Any) -> str:
    """The name of a ``trt.DataType``: ``HALF`` is ``float16``."""
    return _TENSORRT.get(dtype.name, str(dtype.name).lower())


def onnx_dtype_name(elem_type: int) -> str:
    """The name of an ``onnx.TensorProto`` element type: 10 is ``float16``."""
    return _ONNX.get(elem_type, f"onnx type {elem_type}")


def float64_values(model: onnx.ModelProto) -> list[str]:
    """Initializers and casts of the main graph that are float64, by name: TensorRT converts them to float32 without a message."""
    double = 11
    casts = [
        n
        for n in model.graph.node
        if n.op_type == "Cast" and any(a.name == "to" and a.i == double for a in n.attribute)
    ]
    return [t.name for t in model.graph.initializer if t.data_type == double] + [n.output[0] for n in casts]
