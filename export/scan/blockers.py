"""Find every operator of a traced program without a translation to ONNX; an export stops at the first one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.onnx._internal.exporter import _decomp, _registration

from ...errors import UnsupportedModelError
from ..capture.cleanup.describe import node_origin
from ..capture.complex.rewrite import without_complex
from ..capture.translations.table import TRANSLATIONS
from ..quiet import quiet
from ..targets import target_names
from .finding import Finding

_REMEDY = "write this step with operators of ONNX"


def blockers(program: torch.export.ExportedProgram) -> Iterator[Finding]:
    """Yield a finding for each call of an operator that neither torch.onnx nor attnexport translates."""
    with quiet():
        try:
            program = without_complex(program)
        except UnsupportedModelError as error:
            yield Finding.of("cannot", "complex numbers", target_names(), error.problem, None)
            return
        registry = _registration.ONNXRegistry.from_torchlib()
        for operator, function in TRANSLATIONS.items():
            registry.register_op(operator, function)
        known = set(_decomp.get_onnx_implemented_overloads(registry))
        program = program.run_decompositions(_decomp.create_onnx_friendly_decomposition_table(known))
    for node in program.graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if registry.get_decomps(node.target) or node.target.namespace in ("_operator", "prim"):
            continue
        if not node.users:  # an assertion, which torch.onnx drops
            continue
        yield Finding.of(
            "cannot", str(node.target), target_names(), f"no translation to ONNX: {_REMEDY}", node_origin(node)
        )
