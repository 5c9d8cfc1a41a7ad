"""A model that came as ONNX enters here: at one opset, cleaned, with names, and with what the domain covers raised to it.

Raised are the standard operators that TensorRT does not take or takes wrongly: Col2Im, AffineGrid (opset 20), DeformConv (opset 19; RTX has
none), and GridSample, whose opset-20 spelling ``linear`` some versions read as nearest. Windows spelled out are raised by ``raising``.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import onnx
import onnx_ir as ir
from onnx import helper

from ...errors import UnsupportedModelError, first_line
from ..domain import DOMAIN, VERSION, register_schemas
from ..graph.model import opset_of
from ..graph.older_opsets import brought_to
from ..graph.origin import Origin, Origins
from ..quiet import quiet
from ..raising import raise_windows
from ..simplify.settle_shapes import settle_shapes
from . import Captured
from .cleanup.clean import clean
from .to_onnx import OPSET

_MODES = {"linear": "bilinear", "cubic": "bicubic", "bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest"}


def from_onnx(model: onnx.ModelProto) -> Captured:
    """Prepare a checked model of opset 7 or later. Raises UnsupportedModelError where it cannot be brought to opset 18."""
    register_schemas()
    model = _at_least(model, OPSET)
    try:
        with quiet():
            # Constants first: an operator is raised only where its window is known.
            cleaned = clean(ir.from_proto(model))
            origins = _name(cleaned)
            proto = ir.to_proto(cleaned)
        _keep_both_caches(proto.graph)
    except Exception as error:
        raise UnsupportedModelError(
            f"the ONNX model cannot be cleaned: {first_line(error)}", "check it with onnx.checker"
        ) from error
    return raised(proto, origins)


def raised(proto: onnx.ModelProto, origins: Origins) -> Captured:
    """Raise windows and other operators of the domain from the standard operators of a cleaned graph."""
    windows = raise_windows(proto)
    # Behind windows, axes are followed: shapes must be as well known as they can be.
    proto = settle_shapes(windows.model).model if windows.counts else windows.model
    standard = Counter(_raise(proto.graph))
    if standard and not windows.counts:
        proto.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    notes = tuple(f"windows of node {left.node!r} stay as they are: {left.reason}" for left in windows.refused)
    kept = dict(standard + Counter(windows.counts))
    return Captured(proto, origins, kept, notes, raised=windows.applied, refused=windows.refused)


def _at_least(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        with quiet():
            return brought_to(model, opset)
    except Exception as error:
        raise UnsupportedModelError(
            f"the ONNX model is of opset {opset_of(model)} and cannot be brought to {opset}: {first_line(error)}",
            f"export it with opset_version={opset}",
        ) from error


def _raise(graph: onnx.GraphProto) -> list[str]:
    """Replace, in this graph and in bodies, each node that has a counterpart in the domain; the kinds replaced."""
    found: list[str] = []
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*graph.input, *graph.value_info, *graph.output)
        if v.type.tensor_type.HasField("shape")
    }
    ranks.update({t.name: len(t.dims) for t in graph.initializer})
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                found += _raise(attribute.g)
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        replaced = None if rule is None else rule(node, graph, ranks)
        if replaced is not None:
            replaced.name = node.name
            node.CopyFrom(replaced)
            found.append(node.op_type)
    return found


def _keep_both_caches(graph: onnx.GraphProto) -> None:
    """Attention with present_key gives present_value, too: ONNX Runtime 1.31 fails on the one without the other."""
    for node in graph.node:
        if node.op_type == "Attention" and len(node.output) == 2:
            node.output.append(f"{node.output[1]}/present_value")
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                _keep_both_caches(attribute.g)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _grid_sample(node: onnx.NodeProto, graph: onnx.GraphProto, ranks: dict[str, int]) -> onnx.NodeProto | None:
    found = _attributes(node)
    mode = _MODES[_text(found.get("mode", "linear"))]
    rank = ranks.get(node.input[0]) or ranks.get(node.input[1])
    if rank not in (4, 5) or (rank == 5 and mode == "bicubic"):
        return None
    return helper.make_node(
        "GridSample" if rank == 4 else "GridSample3d", list(node.input), list(node.output), domain=DOMAIN,
        mode=mode, padding_mode=_text(found.get("padding_mode", "zeros")), align_corners=found.get("align_corners", 0),
    )  # fmt: skip


def _affine_grid(node: onnx.NodeProto, graph: onnx.GraphProto, ranks: dict[str, int]) -> onnx.NodeProto:
    align = _attributes(node).get("align_corners", 0)
    return helper.make_node("AffineGrid", list(node.input), list(node.output), domain=DOMAIN, align_corners=align)


def _col2im(node: onnx.NodeProto, graph: onnx.GraphProto, ranks: dict[str, int]) -> onnx.NodeProto | None:
    """Col2Im takes its block shape as an input: only a constant one of two axes is a window."""
    found = _attributes(node)
    block = next((t for t in graph.initializer if t.name == node.input[2]), None)
    if block is None or list(block.dims) != [2]:
        return None
    return helper.make_node(
        "Col2Im", [node.input[0], node.input[1]], list(node.output), domain=DOMAIN,
        kernel=onnx.numpy_helper.to_array(block).tolist(), **_window(found),
    )  # fmt: skip


def _deform_conv(node: onnx.NodeProto, graph: onnx.GraphProto, ranks: dict[str, int]) -> onnx.NodeProto | None:
    """The standard operator takes the bias before the mask, ours after it. Of images only."""
    if ranks.get(node.input[0]) != 4:
        return None
    found = _attributes(node)
    x, weight, offset, *rest = node.input
    bias, mask = [*rest, "", ""][:2]
    return helper.make_node(
        "DeformConv",
        [x, weight, offset, mask, bias] if bias else [x, weight, offset, mask] if mask else [x, weight, offset],
        list(node.output), domain=DOMAIN, group=found.get("group", 1), offset_group=found.get("offset_group", 1),
        **_window(found),
    )  # fmt: skip


def _window(found: dict[str, Any]) -> dict[str, Any]:
    """Dilation, pads and stride under the names of the domain."""
    return {
        "dilation": found.get("dilations", [1, 1]),
        "pads": found.get("pads", [0, 0, 0, 0]),
        "stride": found.get("strides", [1, 1]),
    }


_Rule = Callable[[onnx.NodeProto, onnx.GraphProto, dict[str, int]], onnx.NodeProto | None]
_RULES: dict[str, _Rule] = {
    "GridSample": _grid_sample, "AffineGrid": _affine_grid, "Col2Im": _col2im, "DeformConv": _deform_conv,
}  # fmt: skip


def _name(model: ir.Model) -> Origins:
    """Unique names: the exporter's own where it gave one (``/layer1/conv/Conv``), else the operator and a number."""
    origins: Origins = {}
    used: Counter[str] = Counter()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        base = node.name or f"root/{node.op_type}"
        node.name = base
        while node.name in origins:  # another node may already be called base_2
            used[base] += 1
            node.name = f"{base}_{used[base] + 1}"
        module = base.strip("/").rpartition("/")[0].replace("/", ".")
        origins[node.name] = Origin(module, node.op_type, "")
    return origins
