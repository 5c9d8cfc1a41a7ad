"""Operators of a traced program that nothing translates to ONNX: all of them at once, where an export stops at the first."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.onnx._internal.exporter import _decomp, _registration

from ...errors import UnsupportedModelError
from ..capture.complex.rewrite import without_complex
from ..capture.describe import node_origin
from ..capture.translations.table import translations
from ..quiet import quiet
from ..targets import target_names
from .finding import Finding

_REMEDY = "write that step with operators that ONNX has"


def blockers(program: torch.export.ExportedProgram) -> Iterator[Finding]:
    """A finding for each call of an operator that torch.onnx and attnexport have no translation for."""
    with quiet():
        try:
            program = without_complex(program)
        except UnsupportedModelError as error:
            yield Finding.of("cannot", "complex numbers", target_names(), error.problem, None)
            return
        registry = _registration.ONNXRegistry.from_torchlib()
        for operator, function in translations().items():
            registry.register_op(operator, function)
        known = set(_decomp.get_onnx_implemented_overloads(registry))
        program = program.run_decompositions(_decomp.create_onnx_friendly_decomposition_table(known))
    for node in program.graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if registry.get_decomps(node.target) or node.target.namespace in ("_operator", "prim"):
            continue
        if _asserts(node):
            continue
        yield Finding.of(
            "cannot", str(node.target), target_names(), f"no translation to ONNX: {_REMEDY}", node_origin(node)
        )


def _asserts(node: torch.fx.Node) -> bool:
    """Whether a node only checks something: torch.onnx drops what nothing reads."""
    return not node.users
