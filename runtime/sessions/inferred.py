"""Shape inference that accepts what a file declares where onnx is known to infer other sizes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_WINDOWS_RIGHT_SINCE = 22


def infer_light(light: "ModelProto", *, strict: bool, check_type: bool = False) -> "ModelProto":
    """Infer types and shapes of a model without large weights. Raises InferenceError as onnx does, if it is ``strict``.

    It is not strict with a model for which onnx is known to infer other sizes than the operator has: before opset 22, pools
    with ceil_mode get a last window that would begin behind the image, which the declared sizes do not have.
    """
    import onnx

    def infer(model: "ModelProto", strict_mode: bool) -> "ModelProto":
        return onnx.shape_inference.infer_shapes(model, check_type=check_type, strict_mode=strict_mode, data_prop=True)

    try:
        return infer(light, strict)
    except onnx.shape_inference.InferenceError:
        if not strict or not any(_rounds_up(node) for node in light.graph.node):
            raise
        opset = next((entry.version for entry in light.opset_import if entry.domain in ("", "ai.onnx")), 0)
        if opset < _WINDOWS_RIGHT_SINCE:
            return infer(light, False)
        bare = onnx.ModelProto()  # sizes that were inferred before the model was brought to this opset
        bare.CopyFrom(light)
        del bare.graph.value_info[:]
        return infer(bare, True)


def _rounds_up(node: "NodeProto") -> bool:
    return node.op_type in ("AveragePool", "LpPool", "MaxPool") and any(
        attribute.name == "ceil_mode" and attribute.i for attribute in node.attribute
    )
