"""A ReLU behind a MaxPool behind a convolution goes before the pool, where the convolution takes it in.

    Relu(MaxPool(Conv(x)))  ->  MaxPool(Relu(Conv(x)))

The largest of some values, or 0, is the same in either order, since Relu never falls; every window holds a value of
the map, so padding is never chosen. Targets fuse Conv and Relu; a pool between them leaves Relu a node of its own.
Refused where another node reads what lies between, or where the pool gives indices: those are of the map before Relu.
"""

from __future__ import annotations

from collections import Counter

import onnx

_LAYERS = ("Conv", "ConvTranspose")


def relu_before_pool(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with such ReLUs moved; nodes keep their names, and the output its name. ``model`` is not changed.

    Where there is none, it is returned as it is.
    """
    if not {"MaxPool", "Relu"} <= {node.op_type for node in model.graph.node}:
        return model
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    graph = moved.graph
    producers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    readers.update(_captured(graph))
    infos = {value.name: value for value in graph.value_info}
    places = {id(node): place for place, node in enumerate(graph.node)}
    order = list(graph.node)
    for relu in graph.node:
        pool = producers.get(relu.input[0]) if relu.op_type == "Relu" and not relu.domain else None
        if pool is None or pool.op_type != "MaxPool" or pool.domain or len([o for o in pool.output if o]) != 1:
            continue
        layer = producers.get(pool.input[0])
        if layer is None or layer.op_type not in _LAYERS or layer.domain:
            continue
        between, pooled, result = pool.input[0], pool.output[0], relu.output[0]
        if readers[between] != 1 or readers[pooled] != 1:
            continue
        order[places[id(pool)]], order[places[id(relu)]] = relu, pool
        # The pooled tensor's name is free now, and goes to the map after Relu, with that map's shape.
        relu.input[0], relu.output[0] = between, pooled
        pool.input[0], pool.output[0] = pooled, result
        if (info := infos.get(pooled)) is not None:
            if between in infos:
                info.type.CopyFrom(infos[between].type)
            else:
                graph.value_info.remove(info)
        producers[pooled], producers[result] = relu, pool
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del graph.node[:]
    graph.node.extend(copies)
    return moved


def _captured(graph: onnx.GraphProto) -> Counter[str]:
    """How often bodies of If and Loop read a tensor from outside, counted generously."""
    found: Counter[str] = Counter()
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                found.update(name for inner in body.node for name in inner.input)
                found.update(value.name for value in body.output)
                found.update(_captured(body))
    return found
