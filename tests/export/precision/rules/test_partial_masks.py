"""A constant mask that leaves a value in every row is a caution; any other one is a hazard, of the rule on constants."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from attnexport.export.precision import convert, decide

MASKED, CARRIES = (
    "the mask 'm' is beyond FP16 where it hides",
    "it carries the large values that the mask 'm' brings in",
)
ROWS = {
    "causal": ([[0, -1e9], [0.5, 0]], "partial_masks"),
    "a row in full": ([[0, 0], [-1e9, -1e9]], "constants"),
    "a number": (-1e9, "constants"),
    "large weights": ([[0, 1e9], [0, 0]], "constants"),
    "large both ways": ([[1e9, -1e9], [0, 0]], "constants"),
    "within FP16": ([[0, -6e4], [0, 0]], None),
}


def masked(model, values, op: str = "Add(x, m)"):
    source = model(
        f"g (float[2, 2] x, bool[2, 2] c) => (float[2, 2] y) <float[1] m = {{1}}> {{ s = {op}  t = Neg(s)  y = Softmax(t) }}"
    )
    source.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(values, np.float32), "m"))
    return source


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("op", ["Add(x, m)", "Where(c, x, m)"])
def test_what_a_mask_is_depends_on_its_rows(model, case, op):
    values, rule = ROWS[case]
    found = {d.node: (d.rule, d.severity) for d in decide(masked(model, values, op)) if d.node != "y"}
    severity = {"partial_masks": "caution", "constants": "hazard"}.get(rule)
    assert found == ({} if rule is None else {"s": (rule, severity), "t": (rule, severity)})


def test_reasons_name_the_mask(model):
    found = {d.node: d.reason for d in decide(masked(model, ROWS["causal"][0]), only="caution")}
    assert (found["s"], found["t"]) == (MASKED, CARRIES)


def test_a_mask_saturates_at_half_of_the_range_so_that_scores_can_be_added(model, emulated):
    source = masked(model, ROWS["causal"][0], "Add(x, m)")
    result = convert(source, decisions=())
    typed = result.model
    mask = numpy_helper.to_array(typed.graph.initializer[0])
    np.testing.assert_array_equal(mask, np.array([[0, -32752], [0.5, 0]], np.float16))
    assert list(result.warnings) == [
        "mask 'm': 1 of 4 values exceed FP16's +-65504 (largest 1e+09) and were set to half of it, so that scores can be added"
    ]
    scores = emulated(typed, x=np.full((2, 2), -300, np.float32), c=np.zeros((2, 2), bool))[0]
    assert np.isfinite(scores).all()
