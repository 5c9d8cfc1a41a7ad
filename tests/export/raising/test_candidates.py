"""Models without windows are told at once, and no model that has them is."""

from __future__ import annotations

import time

import onnx
import pytest
from onnx import parser

from attnexport.export.raising import raise_windows
from attnexport.export.raising.candidates import possible

SLICES = " ".join(f"s{i} = Slice(x, a{i}, b{i}, ax)" for i in range(3))
VALUES = {"a0": 0, "a1": 1, "a2": 2, "b0": 4, "b1": 5, "b2": 6, "ax": 1}
CONSTANTS = f"<{', '.join(f'int64[1] {name} = {{{value}}}' for name, value in VALUES.items())}>"


def model(body: str) -> onnx.ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : 18]> g (float[N,9] x) => (float[N,M] y) {CONSTANTS} {{ {body} }}'
    return parser.parse_model(text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"{SLICES} y = Concat<axis = 1>(s0, s1, s2)", True),
        (f"{SLICES} q0 = Mul(s0, s1) q1 = Mul(s1, s2) q2 = Mul(s0, s2) t = Add(q0, q1) y = Add(t, q2)", True),
        (f"{SLICES} q0 = Mul(s0, s1) t = Add(q0, s1) y = Add(t, s2)", False),
        (f"{SLICES} r0 = Relu(s0) r1 = Relu(s1) r2 = Relu(s2) y = Concat<axis = 1>(r0, r1, r2)", False),
        (f"{SLICES} y = Concat<axis = 1>(s0, s1)", False),
        ("q = Mul(x, x) y = Add(q, x)", False),
    ],
    ids=["slices joined", "a sum of products", "too few products", "of no operator of a branch", "two", "none"],
)
def test_what_can_hold_a_window(body: str, expected: bool) -> None:
    assert possible(model(body)) is expected


def test_ten_thousand_nodes_without_windows_take_no_time() -> None:
    lines, x = [], "x"
    for i in range(2000):
        lines.append(f"s{i} = Slice({x}, a0, b2, ax) t{i} = Slice({x}, a1, b1, ax) c{i} = Concat<axis = 1>(s{i}, t{i})")
        lines.append(f"m{i} = Mul(c{i}, c{i}) y{i} = Add(m{i}, {x})")
        x = f"y{i}"
    large = model(" ".join(lines) + f" y = Identity({x})")
    assert len(large.graph.node) == 10_001
    start = time.perf_counter()
    raised = raise_windows(large)
    assert time.perf_counter() - start < 1
    assert raised.model is large
