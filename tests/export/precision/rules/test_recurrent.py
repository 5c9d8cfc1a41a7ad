"""Recurrent operators stay FP32, in either 16-bit type."""

from __future__ import annotations

import pytest

from attnexport.export.precision import convert, decide

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def built(model, op: str, opset: int):
    gates = GATES[op] * 4
    return model(
        f"""g (float[5, 2, 3] x, float[1, {gates}, 3] w, float[1, {gates}, 4] r) => (float[5, 1, 2, 4] y)
        {{ a = Relu(x)  h = {op}<hidden_size = 4>(a, w, r)  y = Neg(h) }}""",
        opset=opset,
    )


@pytest.mark.parametrize("precision, title, opset", [("fp16", "FP16", 18), ("bf16", "BF16", 22)])
@pytest.mark.parametrize("op", GATES)
def test_a_recurrent_operator_is_a_hazard(model, types, op, precision, title, opset):
    source = built(model, op, opset)
    (found,) = decide(source, only="hazard", precision=precision)
    assert (found.node, found.rule) == ("h", "recurrent")
    assert found.reason == f"the state of {op} goes through every step, and {title} rounding adds up"
    half = precision.replace("p", "")
    assert types(convert(source, precision=precision).model) == {"a": half, "h": "f32", "y": half}
