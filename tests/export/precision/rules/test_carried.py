"""The update of a state that a loop carries stays FP32; what layers compute on the way does not."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.precision import convert, decide, to_half_model
from attnexport.runtime.sessions.emulated import open_emulated

LOOP = """g (float[2,2] x, int64 n, bool c) => (float[2,2] y) <float[2,2] w = {1, 2, 3, 4}> {
  y = Loop(n, c, x) <body = b (int64 i, bool ci, float[2,2] s) => (bool co, float[2,2] so) { co = Identity(ci)  BODY }> }"""
SCAN = """g (float[2] x, float[5,2] z) => (float[2] y, float[5,2] all) {
  y, all = Scan(x, z) <num_scan_inputs = 1,
    body = b (float[2] s, float[2] a) => (float[2] so, float[2] t) { t = Sigmoid(a)  so = Add(s, t) }> }"""
CASES = {
    "a sum": (LOOP.replace("BODY", "d = Sigmoid(x)  so = Add(s, d)"), {"so"}),
    "a gated cell": (LOOP.replace("BODY", "f = Sigmoid(x)  m = Mul(f, s)  g = Mul(f, f)  so = Add(m, g)"), {"m", "so"}),
    "moved on the way": (LOOP.replace("BODY", "t = Transpose(s)  u = Transpose(t)  so = Add(u, x)"), {"so"}),
    "through a layer only": (LOOP.replace("BODY", "d = MatMul(s, w)  so = Sigmoid(d)"), set()),
    "a scan": (SCAN, {"so"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_nodes_between_the_old_and_the_new_state_stay_fp32(model, case):
    text, outputs = CASES[case]
    found = [decision for decision in decide(model(text)) if decision.rule == "carried"]
    assert len(found) == len(outputs)
    assert all(decision.severity == "hazard" for decision in found)
    assert {decision.reason for decision in found} <= {
        "it updates state 's' of a loop, and FP16 rounding adds up over the steps"
    }


def test_an_if_that_updates_a_carried_state_stays_fp32_as_a_whole(model):
    source = model("""g (float[2] x, int64 n, bool c) => (float[2] y) {
      y = Loop(n, c, x) <body = b (int64 i, bool ci, float[2] s) => (bool co, float[2] so) {
        co = Identity(ci)
        so = If(c) <
          then_branch = t () => (float[2] p) { p = Add(s, x) }, else_branch = e () => (float[2] q) { q = Abs(s) }> }> }""")
    assert [decision.node for decision in decide(source) if decision.rule == "carried"] == ["If"]
    assert convert(source).counts.half_nodes == 0


def test_a_counter_that_fp16_would_stop(model):
    source = model("""g (float[2] x, int64 n, bool c) => (float[2] y) {
      y = Loop(n, c, x) <body = b (int64 i, bool ci, float[2] s) => (bool co, float[2] so) {
        co = Identity(ci)  k = Constant<value = float {1}>()  so = Add(s, k) }> }""")
    feeds = {"x": np.array([2047, 5], np.float32), "n": np.array(9), "c": np.array(True)}
    for typed, expected in ((convert(source).model, [2056, 14]), (to_half_model(source, []), [2048, 14])):
        with open_emulated(typed) as session:
            np.testing.assert_array_equal(session.run(feeds)["y"], expected)
