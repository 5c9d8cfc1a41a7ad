"""Move a ReLU that follows a convolution and a MaxPool in front of the pool, where the convolution fuses with it.

    Relu(MaxPool(Conv(x)))  ->  MaxPool(Relu(Conv(x)))

Relu never decreases, so the maximum of some values or 0 is the same in either order. Every window holds a value of the map,
so the padding is never chosen. Targets fuse Conv and Relu; with a pool between them, Relu stays a separate node.
The pass refuses if another node reads a value in between, or if the pool returns indices: those refer to the map before Relu.
"""

from collections import Counter

import onnx

from ..graph.rewrites import Refusal, Rewrite, Simplified

_RULE = "relu_before_pool"
_LAYERS = ("Conv", "ConvTranspose")


def relu_before_pool(model: onnx.ModelProto) -> Simplified:
    """Move such ReLUs. Nodes keep their names, and the output its name. ``model`` is not changed."""
    if not {"MaxPool", "Relu"} <= {node.op_type for node in model.graph.node}:
        return Simplified(model)
    applied, refused = [], []
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
        if pool is None or pool.op_type != "MaxPool" or pool.domain:
            continue
        layer = producers.get(pool.input[0])
        if layer is None or layer.op_type not in _LAYERS or layer.domain:
            continue
        between, pooled, result = pool.input[0], pool.output[0], relu.output[0]
        if reason := _refuse(pool, readers):
            refused.append(Refusal(_RULE, relu.name or result, reason))
            continue
        applied.append(Rewrite(_RULE, relu.name or result, f"moved in front of {pool.name or pooled}"))
        order[places[id(pool)]], order[places[id(relu)]] = relu, pool
        # The map after Relu takes the pooled tensor's name, which is free now, and the shape of the map before the pool.
        relu.input[0], relu.output[0] = between, pooled
        pool.input[0], pool.output[0] = pooled, result
        if (info := infos.get(pooled)) is not None:
            if between in infos:
                info.type.CopyFrom(infos[between].type)
            else:
                graph.value_info.remove(info)
        producers[pooled], producers[result] = relu, pool
    if not applied:
        return Simplified(model, (), tuple(refused))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del graph.node[:]
    graph.node.extend(copies)
    return Simplified(moved, tuple(applied), tuple(refused))


def _refuse(pool: onnx.NodeProto, readers: Counter[str]) -> str | None:
    if len([name for name in pool.output if name]) != 1:
        return "its pool returns indices, which refer to the map before the ReLU"
    if readers[pool.input[0]] != 1 or readers[pool.output[0]] != 1:
        return "another node or an output reads a value between the layer and the ReLU"
    return None


def _captured(graph: onnx.GraphProto) -> Counter[str]:
    """An upper bound for how often bodies of If and Loop read a tensor from outside."""
    counts: Counter[str] = Counter()
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                counts.update(name for inner in body.node for name in inner.input)
                counts.update(value.name for value in body.output)
                counts.update(_captured(body))
    return counts
