"""An infinite mask stays FP32 where it is added or chosen, as a caution."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone, which is a caution."""
    found = [d for d in decide(model) if d.rule == "infinities"]
    assert {d.severity for d in found} <= {"caution"}
    return {d.node: d.reason for d in found}


@pytest.mark.parametrize(
    "op, stays",
    [("a = Add(x, m)", False), ("a = Where(c, x, m)", False), ("a = Max(x, m)", True), ("a = Pad(x, p, m)", True)],
)
def test_an_infinite_mask_stays_fp32_where_it_is_added(model, op, stays):
    source = model(
        f"g (float[2, 4] x, bool[2, 4] c) => (float[2, 4] y) <float m = {{1}}, int64[4] p = {{0, 0, 0, 0}}"
        f"> {{ {op}  y = Relu(a) }}"
    )
    source.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(-np.inf, np.float32), "m"))
    reason = "constant 'm' is infinite: in FP16 an overflowed value plus it would be NaN"
    assert decided(source) == ({} if stays else {"a": reason})
