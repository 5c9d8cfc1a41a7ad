"""Long sums stay FP32, short ones do not, and those that are too long belong to another rule."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone, which is a caution."""
    found = [d for d in decide(model) if d.rule == "reductions"]
    assert {d.severity for d in found} <= {"caution"}
    return {d.node: d.reason for d in found}


FIRES = {
    "ReduceSum": ("float[2, 1025] x", "y = ReduceSum(x, last)", (
"it sums over 1025 elements; beyond 1024 FP16"
" loses terms"
)),
    "ReduceMean over all axes": ("float[32, 64] x", "y = ReduceMean(x)", (
"it sums over 2048 elements; beyond 1024"
" FP16 loses terms"
)),
    "GlobalAveragePool": ("float[1, 2, 33, 32] x", "y = GlobalAveragePool(x)", (
"it sums over 1056 elements;"
" beyond 1024 FP16 loses terms"
)),
}  # fmt: skip
STAYS = {
    "a hazard": ("float[2, 2049] x", "y = ReduceSum(x, last)"),
    "ReduceSum": ("float[2, 1024] x", "y = ReduceSum(x, last)"),
    "over a fixed axis beside a dynamic one": ("float[n, 64] x", "y = ReduceMean(x, last)"),
    "GlobalAveragePool": ("float[1, 4096, 32, 32] x", "y = GlobalAveragePool(x)"),
    "AveragePool": ("float[1, 2, h, w] x", "y = AveragePool<kernel_shape = [3, 3]>(x)"),
    "ReduceMax": ("float[2, 4096] x", "y = ReduceMax(x, last)"),
    "integers": ("int64[2, 4096] x", "s = ReduceSum(x, last)  y = Cast<to = 1>(s)"),
    "MatMul": ("float[4, 4096] x", "t = Transpose(x)  y = MatMul(x, t)"),
}
SHELL = "g ({}) => (float y) <int64[1] last = {{-1}}, int64 axis = {{1}}> {{ {} }}"


def build(model, given: str, body: str):
    import onnx

    text = SHELL.format(given, body)
    rank = onnx.shape_inference.infer_shapes(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text.replace("float y", "y")}')
    )
    dims = len(rank.graph.output[0].type.tensor_type.shape.dim)
    return model(text.replace("float y", f"float[{', '.join('?' * dims)}] y"))


@pytest.mark.parametrize("case", FIRES)
def test_a_long_sum_stays_fp32(model, case):
    given, body, reason = FIRES[case]
    assert decided(build(model, given, body)) == {"y": reason}


@pytest.mark.parametrize("case", STAYS)
def test_a_short_sum_is_left(model, case):
    assert decided(build(model, *STAYS[case])) == {}
