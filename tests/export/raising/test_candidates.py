"""Models that cannot hold windows are recognised as such early, at a cost linear in the nodes; models with windows never are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
def test_whether_a_model_can_hold_windows(body: str, expected: bool) -> None:
    assert possible(model(body)) is expected


def layers(count: int) -> onnx.ModelProto:
    """``5 * count + 1`` nodes without windows."""
    lines, x = [], "x"
    for i in range(count):
        lines.append(f"s{i} = Slice({x}, a0, b2, ax) t{i} = Slice({x}, a1, b1, ax) c{i} = Concat<axis = 1>(s{i}, t{i})")
        lines.append(f"m{i} = Mul(c{i}, c{i}) y{i} = Add(m{i}, {x})")
        x = f"y{i}"
    return model(" ".join(lines) + f" y = Identity({x})")


def test_a_model_without_windows_is_returned_before_shapes_are_inferred(
    monkeypatch: pytest.MonkeyPatch, count_calls: Callable[..., tuple[int, Any]]
) -> None:
    monkeypatch.delattr("attnexport.export.raising.inferred")
    costs = []
    for count in (100, 400):
        large = layers(count)
        calls, raised = count_calls(raise_windows, large)
        assert raised.model is large
        costs.append(calls)
    assert costs[1] < 4.5 * costs[0]
