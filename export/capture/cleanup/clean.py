"""Constant folding, batch-norm folding and dead code, by kept libraries, on the exporter's own representation.

The exporter runs with ``optimize=False``: its default rule set deletes ``+ eps`` for eps <= 1e-8, which turns a zero row into NaN. What is
wanted of it is done here one by one. TensorRT needs reduction axes and shapes as initializers, so constants are lifted; batch norms are
folded into the convolution before them here, once, so that no target and no precision rounds between the two.
"""

import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules import common as rules

_BATCH_NORMS = [
    rules.fuse_batchnorm_into_conv_rule, rules.fuse_batchnorm_into_conv_transpose_rule, rules.fuse_batchnorm_into_gemm_rule,
]  # fmt: skip
_SMALL = 4096
_FOLDED = 2**20
"""Elements of a constant that is worked out here, not in FP16 on a GPU: relative embeddings and matrices of a spline are some."""


def _small_fill(node: ir.Node) -> bool | None:
    """Fold what folding leaves for the model's size, where it is small: shapes that the TorchScript exporter fills with ones."""
    if node.op_type != "ConstantOfShape" or node.inputs[0] is None or node.inputs[0].const_value is None:
        return None
    return int(node.inputs[0].const_value.numpy().prod()) <= _SMALL or None


def clean(model: ir.Model) -> ir.Model:
    """Fold constants and batch norms, merge equal subexpressions, drop what is unused; in place, also returned."""
    optimizer.fold_constants(model, input_size_limit=_FOLDED, output_size_limit=_FOLDED, should_fold=_small_fill)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    # Before initializers are merged: the rule leaves a weight alone that has a second user.
    rewriter.rewrite(model, pattern_rewrite_rules=_BATCH_NORMS)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.RemoveUnusedFunctionsPass()(model)
    passes.RemoveUnusedOpsetsPass()(model)
    return model
