"""A comparison of a tensor with a choice of its own values needs the same rounding on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.precision import decide, to_half_model
from attnexport.runtime.sessions.emulated import open_emulated

OF_T = "p = MaxPool <kernel_shape = [3], pads = [1, 1]> (t)"
POOL = "p = MaxPool <kernel_shape = [3], pads = [1, 1]> (s)"
CASES = {
    "local maximums": (f"s = Exp(x)  {POOL}  y = Equal(s, p)", {"p", "y"}),
    "the pool first": (f"s = Exp(x)  {POOL}  y = Equal(p, s)", {"p", "y"}),
    "at least the pool": (f"s = Exp(x)  {POOL}  y = GreaterOrEqual(s, p)", {"p", "y"}),
    "moved before": (f"s = Exp(x)  t = Transpose <perm = [0, 1, 2]> (s)  {OF_T}  y = Less(s, p)", {"p", "y"}),
    "two choices": (f"s = Exp(x)  {POOL}  q = MaxPool <kernel_shape = [3], pads = [1, 1]> (p)  y = Equal(q, p)", {"p", "q", "y"}),
    "of the input itself": ("p = MaxPool <kernel_shape = [3], pads = [1, 1]> (x)  y = Equal(x, p)", {"p", "y"}),
    "another tensor": (f"s = Exp(x)  t = Sigmoid(x)  {OF_T}  y = Equal(s, p)", set()),
    "computed between": (f"s = Exp(x)  {POOL}  n = Neg(p)  y = Equal(s, n)", set()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_comparison_and_the_choosing_nodes_stay_fp32(model, case):
    body, expected = CASES[case]
    decided = decide(model(f"g (float[1, 2, 9] x) => (bool[1, 2, 9] y) {{ {body} }}"))
    assert {d.node for d in decided if d.rule == "comparisons"} == expected
    assert all(d.severity == "hazard" for d in decided if d.rule == "comparisons")


def test_the_same_places_are_found_in_fp16_when_their_tensor_stays_fp32(model):
    """Without the rule the pool rounds, and no place equals its own maximum."""
    net = model(f"g (float[1, 2, 9] x) => (bool[1, 2, 9] y) {{ s = Exp(x)  {POOL}  y = Equal(s, p) }}")
    x = np.random.default_rng(0).uniform(0.0, 1.0, (1, 2, 9)).astype(np.float32)
    s = np.exp(x)
    padded = np.pad(s, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    expected = s == np.max([padded[..., i : i + 9] for i in range(3)], axis=0)
    keep = {"s", *(d.node for d in decide(net) if d.rule == "comparisons")}
    with open_emulated(to_half_model(net, keep)) as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], expected)
    with open_emulated(to_half_model(net, {"s"})) as session:
        assert session.run({"x": x})["y"].sum() < expected.sum()
