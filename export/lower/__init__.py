"""Lowering: each operator of the ``attnexport`` domain becomes the cheapest standard form right for all targets.

``LOWERINGS`` is the whole list for the domain; ``EXACT`` has forms of ONNX's own operators, for FP32 models. A lowering refuses a node
with a reason; of those that do not refuse, the one with the lowest cost estimate is built. What was chosen, and why the others were not,
is returned beside the model.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx.inliner
import onnx_graphsurgeon as gs

from ...errors import StageError, UnsupportedModelError
from ..domain import DOMAIN, domain_nodes, register_schemas, strip_bodies
from ..graph.builder import GraphBuilder
from ..graph.model import check_model, copy_interface, export_graph, inferred, skeleton, with_weights
from ..targets import DEFAULT_CPU, resolve, target_of
from . import (
    adaptive_average_matmul,
    adaptive_blocks,
    adaptive_max_gather,
    affine_grid_axes,
    affine_grid_matmul,
    col2im_conv_transpose,
    col2im_native,
    col2im_pad_add,
    deform_conv_gather,
    deform_conv_native,
    grid_sample_3d_gather,
    grid_sample_gather,
    grid_sample_native,
    im2col_blocks,
    im2col_rows,
    im2col_slices,
    instance_norm_stages,
    local_aggregate_shifts,
    local_aggregate_skewed,
    local_attention_blocks,
    local_attention_shifts,
    local_attention_skewed,
    local_attention_windows,
    local_correlation_shifts,
    local_outlook_shifts,
    local_outlook_windows,
    roll_slices,
    sdpa_decomposed,
    sdpa_fused,
    unfold_blocks,
    unfold_slices,
)
from .lowering import Lowering, Where, note_opt_shapes

__all__ = ["LOWERINGS", "Applied", "Lowering", "LoweringResult", "Measure", "Where", "lower"]

LOWERINGS: tuple[Lowering, ...] = (
    im2col_slices.LOWERING,
    im2col_rows.LOWERING,
    im2col_blocks.LOWERING,
    unfold_slices.LOWERING,
    unfold_blocks.LOWERING,
    local_attention_shifts.LOWERING,
    local_attention_skewed.LOWERING,
    local_attention_blocks.LOWERING,
    local_attention_windows.LOWERING,
    local_correlation_shifts.LOWERING,
    local_aggregate_shifts.LOWERING,
    local_aggregate_skewed.LOWERING,
    local_outlook_shifts.LOWERING,
    local_outlook_windows.LOWERING,
    col2im_native.LOWERING,
    col2im_conv_transpose.LOWERING,
    col2im_pad_add.LOWERING,
    grid_sample_native.LOWERING,
    grid_sample_gather.LOWERING,
    grid_sample_3d_gather.LOWERING,
    affine_grid_matmul.LOWERING,
    affine_grid_axes.LOWERING,
    roll_slices.LOWERING,
    adaptive_blocks.AVERAGE,
    adaptive_blocks.MAX,
    adaptive_average_matmul.LOWERING,
    adaptive_max_gather.LOWERING,
    deform_conv_native.LOWERING,
    deform_conv_gather.LOWERING,
    sdpa_decomposed.LOWERING,
    sdpa_fused.LOWERING,
)

EXACT: tuple[Lowering, ...] = (instance_norm_stages.LOWERING,)
"""Forms of standard operators, more exact than ONNX Runtime's kernels: for FP32 models."""


@dataclass(frozen=True)
class Applied:
    """One node lowered: which form was chosen for which targets, and why each other form of the operator was not."""

    node: str
    op: str
    lowering: str
    refused: dict[str, str]
    targets: tuple[str, ...]
    milliseconds: dict[str, float] = field(default_factory=dict)
    """What each form took where they were timed."""


Measure = Callable[[Any, Sequence[Lowering], Where], Mapping[str, float] | None]
"""Milliseconds of each form of a node on the preferred target, by name; None where it cannot be timed."""


@dataclass(frozen=True)
class LoweringResult:
    """The model in standard operators, and what was done to it, in the order of the graph."""

    model: onnx.ModelProto
    applied: list[Applied] = field(default_factory=list)


def lower(
    model: onnx.ModelProto,
    targets: Collection[str],
    lowerings: Collection[Lowering] = LOWERINGS,
    *,
    prefer: str = DEFAULT_CPU,
    measure: Measure | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> LoweringResult:
    """Replace every node of the ``attnexport`` domain, also inside If, Loop and local functions, by standard operators.

    Also those standard operators that ``lowerings`` has a form for, where that does not refuse.

    ``targets`` are names, families or aliases (see ``targets.resolve``); each form chosen is right for all of them, and
    of those it is the one that should be quickest on ``prefer``, the name of one target: by ``measure`` where it can tell
    (see export/lower/tune.py), else by the forms' own estimates, for ``shapes`` of values by name where they are given.
    ``model`` is not changed. Graph inputs and outputs keep names, types and symbolic shapes; what replaces node ``N``
    is named ``N/<part>``. The result passes ``onnx.checker`` with full (strict) shape inference and carries the inferred types of its
    values.

    Raises UnsupportedModelError, with the reason of every refusal, where no form is right; InputError for an unknown
    target; StageError when the lowered graph is not valid ONNX.
    """
    names = resolve(targets)
    register_schemas()
    standard = {form.op for form in lowerings if form.standard}
    wanted = any(node.op_type in standard for node in model.graph.node)
    if not wanted and not model.functions and all(entry.domain != DOMAIN for entry in model.opset_import):
        return LoweringResult(model)  # no copy: weights may be of gigabytes
    source = _inlined(strip_bodies(model))
    if not wanted and not any(True for _ in domain_nodes(source.graph)):
        return LoweringResult(source)
    graph = gs.import_onnx(_inferred(source))
    note_opt_shapes(graph.tensors().values(), shapes or {})
    where = Where(names, graph.opset, target_of(prefer).name)
    applied = _lower_graph(graph, where, lowerings, _taken_names(graph), measure)
    if not applied:
        return LoweringResult(source)
    return LoweringResult(_exported(graph, source), applied)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its local functions inlined, if one of them holds a domain node."""
    if any(True for function in model.functions for _ in domain_nodes(function)):
        return with_weights(onnx.inliner.inline_local_functions(skeleton(model)), model)
    return model


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inferred(model, strict=True)
    except onnx.shape_inference.InferenceError as error:
        raise StageError("lower", f"shapes do not fit together: {error}") from error


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    yield from graph.subgraphs(recursive=True)


def _taken_names(graph: Any) -> set[str]:
    """The names of all nodes and values, after every domain node has been given a name of its own."""
    graphs = list(_graphs(graph))
    counts = Counter(node.name for inner in graphs for node in inner.nodes)
    for inner in graphs:
        for node in inner.nodes:
            if node.domain == DOMAIN and (not node.name or counts[node.name] > 1):
                node.name = node.outputs[0].name
    taken = {node.name for inner in graphs for node in inner.nodes}
    return taken.union(*(inner.tensors().keys() for inner in graphs))


def _lower_graph(
    graph: Any, where: Where, lowerings: Collection[Lowering], taken: set[str], measure: Measure | None
) -> list[Applied]:
    applied, nodes = [], []
    standard = {form.op for form in lowerings if form.standard}
    for node in graph.nodes:
        for inner in node.subgraphs():
            applied += _lower_graph(inner, where, lowerings, taken, measure)
        choice = None
        if node.domain == DOMAIN or (node.domain in ("", "ai.onnx", None) and node.op in standard):
            choice = _choose(node, where, lowerings, measure)
        if choice is None:
            nodes.append(node)
            continue
        lowering, record = choice
        emit = GraphBuilder(node, taken, where.opset)
        emit.finish(lowering.build(emit, node))
        node.inputs.clear()
        nodes += emit.nodes
        applied.append(record)
    graph.nodes = nodes
    return applied


def _choose(
    node: Any, where: Where, lowerings: Collection[Lowering], measure: Measure | None
) -> tuple[Lowering, Applied] | None:
    """The form and its record; None for an operator of ONNX that stays as it is. Raises UnsupportedModelError for one of the domain."""
    refused: dict[str, str] = {}
    right: list[Lowering] = []
    for lowering in lowerings:
        if lowering.op != node.op:
            continue
        reason = lowering.refuse(node, where)
        if reason is None:
            right.append(lowering)
        else:
            refused[lowering.name] = reason
    if not right and node.domain != DOMAIN:
        return None
    if not right:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items()) or "no lowering is known"
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}) has no standard form for {', '.join(where.targets)} ({reasons})",
            "give the operator's inputs a known rank and supported options, or export without this target",
        )
    timed = dict(measure(node, right, where) or {}) if measure is not None and len(right) > 1 else {}
    costs = timed or {lowering.name: lowering.cost_on(node, where.prefer) for lowering in right}
    best = min(right, key=lambda lowering: costs[lowering.name])
    for other in right:
        if other is not best:
            a, b = (f"{costs[form.name]:.3g}{' ms' if timed else ''}" for form in (other, best))
            how = "measured" if timed else "an estimate of"
            refused[other.name] = f"valid, but slower on {where.prefer}: {how} {a} against {b} for {best.name}"
    return best, Applied(node.name, node.op, best.name, refused, where.targets, timed)


def _exported(graph: Any, source: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as a checked model of standard operators. Raises StageError if it is not valid ONNX."""
    graph.cleanup().toposort()
    imports = [entry for entry in source.opset_import if entry.domain != DOMAIN]
    model = export_graph(graph, source, imports)
    try:
        check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise StageError("lower", f"the lowered model is not valid ONNX: {error}") from error
    model = _inferred(model)
    copy_interface(source, model)
    return model
