"""Every output a value of its own, under its own name.

torch.onnx names outputs by renaming the values behind them: a value returned twice gets the last name twice, and an input that is
returned is renamed with it. An Identity keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir


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
