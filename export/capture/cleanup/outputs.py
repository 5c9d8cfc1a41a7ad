"""Every output a value of its own, under its own name, of the type that torch gives it.

torch.onnx names outputs by renaming the values behind them: a value returned twice gets the last name twice, and an input that is
returned is renamed with it. An Identity keeps the two apart.

torch computes sums, products and the like of float16 in float32 and rounds at the end, and so does torch.onnx: Cast, ReduceSum, Cast.
Where such a result is an output of the model, torch.onnx takes the value before the last Cast for the output, since the signature of the
program still names the reduction: the model then returns float32.
"""

from collections.abc import Iterator, Sequence

import onnx_ir as ir
import torch
from onnx_ir import tensor_adapters
from torch.export.graph_signature import OutputKind, TensorArgument


def separate_outputs(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
    """Give inputs and outputs their names and an Identity to each output that is an input or stands before; in place, also returned."""
    held = model.graph.outputs
    for value, name in zip(model.graph.inputs, inputs, strict=True):
        value.name = name
    taken = {id(value) for value in model.graph.inputs}
    for place, (value, name) in enumerate(zip(list(held), outputs, strict=True)):
        if id(value) not in taken:
            taken.add(id(value))
            value.name = name
            continue
        identity = ir.node("Identity", [value])
        copy = identity.outputs[0]
        copy.name, copy.type, copy.shape = name, value.type, value.shape
        producer = value.producer()
        if producer is not None:
            identity.metadata_props.update(producer.metadata_props)
        model.graph.append(identity)
        held[place] = copy
    return model


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
