"""Outputs of the type that torch gives them.

torch computes sums, products and the like of float16 in float32 and rounds at the end, and so does torch.onnx: Cast, ReduceSum, Cast.
Where such a result is an output of the model, torch.onnx takes the value before the last Cast for the output, since the signature of the
program still names the reduction: the model then returns float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir
import torch
from onnx_ir import tensor_adapters
from torch.export.graph_signature import OutputKind, TensorArgument


def restore_output_types(model: ir.Model, program: torch.export.ExportedProgram, names: Sequence[str]) -> ir.Model:
    """Cast every output whose floating type is not the traced program's; in place, also returned. ``names``: the outputs'."""
    outputs = model.graph.outputs
    for place, (value, wanted, name) in enumerate(zip(list(outputs), _types(program), names, strict=True)):
        if not wanted.is_floating_point or value.dtype == (to := tensor_adapters.from_torch_dtype(wanted)):
            continue
        value.name = f"{name}_before_cast"
        cast = ir.node("Cast", [value], {"to": to})
        cast.outputs[0].name, cast.outputs[0].type, cast.outputs[0].shape = name, ir.TensorType(to), value.shape
        producer = value.producer()
        if producer is not None:
            cast.metadata_props.update(producer.metadata_props)
        model.graph.append(cast)
        outputs[place] = cast.outputs[0]
    return model


def _types(program: torch.export.ExportedProgram) -> Iterator[torch.dtype]:
    """Of the outputs that are tensors, in their order."""
    (returned,) = program.graph.output_node().args
    assert isinstance(returned, tuple | list)
    for spec, node in zip(program.graph_signature.output_specs, returned, strict=True):
        if spec.kind == OutputKind.USER_OUTPUT and isinstance(spec.arg, TensorArgument):
            assert isinstance(node, torch.fx.Node)
            yield node.meta["val"].dtype
