"""The capture stage: program -> ONNX with our domain in it, cleaned, named, and with the specs' symbols."""

import re
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence

import onnx
import onnx_ir as ir
import torch

from ...errors import StageError, UnsupportedModelError, first_line
from ...runtime.spec import TensorSpec
from ..domain import DOMAIN, register_schemas
from ..quiet import quiet
from . import Captured
from .cleanup.clean import clean
from .cleanup.exact_scalars import restore_float64_scalars
from .cleanup.naming import describe_node, name_nodes
from .cleanup.outputs import restore_output_types, separate_outputs
from .complex.rewrite import without_complex
from .symbolic_numbers import without_symbolic_numbers
from .translations import TRANSLATIONS
from .translations.pooling import refuse_indices

OPSET = 18
"""Below 20, where GridSample is still spelled as every TensorRT version reads it."""


def to_onnx(program: torch.export.ExportedProgram, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> Captured:
    """Translate a traced program. ``outputs``: a name per flattened output.

    Raises UnsupportedModelError for an operator without a translation, naming its module and line.
    """
    register_schemas()
    refuse_indices(program)
    try:
        with quiet():
            program = without_complex(without_symbolic_numbers(program))
            onnx_program = torch.onnx.export(
                program, (), dynamo=True, optimize=False, verbose=False, opset_version=OPSET,
                input_names=[spec.name for spec in inputs], output_names=list(outputs),
                custom_translation_table=dict(TRANSLATIONS),
            )  # fmt: skip
    except Exception as error:
        raise _explain(error) from error
    if onnx_program is None:
        raise StageError("capture", "torch.onnx.export gave no program")
    return finished(onnx_program, inputs, outputs)


def finished(onnx_program: torch.onnx.ONNXProgram, inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> Captured:
    """Clean what torch.onnx made, and name its nodes, inputs and outputs."""
    model, program = onnx_program.model, onnx_program.exported_program
    assert program is not None
    with quiet():
        restore_float64_scalars(model)
        separate_outputs(model, [spec.name for spec in inputs], outputs)
        restore_output_types(model, program, outputs)
        clean(model)
        origins = name_nodes(model)
        _use_symbols(model, inputs)
        proto = ir.to_proto(model)
    kept = Counter(node.op_type for node in proto.graph.node if node.domain == DOMAIN)
    return Captured(_without_noise(proto), origins, dict(kept), program=program)


def _use_symbols(model: ir.Model, inputs: Sequence[TensorSpec]) -> None:
    """Give torch's symbols (``s77``) the names of the specs (``batch``), or their size where the spec is fixed, in every shape."""
    renamed: dict[str, str] = {}
    for value, spec in zip(model.graph.inputs, inputs, strict=True):
        for dim, axis in zip(value.shape or (), spec.axes, strict=True):
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
                renamed[str(dim.value)] = axis.symbol or str(axis.opt)
    if not renamed:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, renamed)) + r")\b")

    def rename(value: ir.Value) -> None:
        for i, dim in enumerate(value.shape or ()):
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None and value.shape is not None:
                text = pattern.sub(lambda m: renamed[m[0]], str(dim.value))
                value.shape[i] = int(text) if text.isdigit() else ir.SymbolicDim(text)

    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    for value in (*model.graph.inputs, *(output for node in nodes for output in node.outputs)):
        rename(value)


def _without_noise(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's metadata: traces hold absolute paths, and the origins carry what is wanted of them."""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        del value.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    proto.producer_name = "attnexport"
    return proto


_NO_FUNCTION = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)', overload='([^']+)'\)>")


def _explain(error: BaseException) -> UnsupportedModelError:
    chain = list(_chain(error))
    node = _failed_node(chain)
    if refusal := next((cause for cause in chain if isinstance(cause, UnsupportedModelError)), None):
        # A translation that refuses knows the operator and not where it stands: torch wraps what it raises, and has the node.
        if node is None or refusal is error:
            return refusal
        return UnsupportedModelError(f"{refusal.problem}, in {describe_node(node)}", refusal.remedy)
    where = describe_node(node) if node is not None else "the traced program"
    if match := _NO_FUNCTION.search("\n".join(map(str, chain))):
        return UnsupportedModelError(
            f"operator {match[1]} has no translation to ONNX, in {where}",
            "write that step with operators that ONNX has",
        )
    return UnsupportedModelError(
        f"torch.onnx cannot translate {where}: {first_line(chain[-1])}", "rewrite that step of the model"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _failed_node(chain: Sequence[BaseException]) -> torch.fx.Node | None:
    """The traced node that could not be translated. It exists only in the exporter's decomposed program, so its frames are asked."""
    frames = [frame for error in chain for frame, _ in traceback.walk_tb(error.__traceback__)]
    nodes = [node for frame in frames if isinstance(node := frame.f_locals.get("node"), torch.fx.Node)]
    return nodes[-1] if nodes else None
