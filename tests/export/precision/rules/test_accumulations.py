"""Sums that an FP16 accumulator cannot hold are a hazard."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide

STOPS = "; beyond 2048 a sum in FP16 stops growing"
FIRES = {
    "AveragePool": ("float[1, 2, 56, 56] x", "float[1, 2, 1, 1] y", "y = AveragePool<kernel_shape = [56, 56]>(x)",
        f"it sums over 3136 elements{STOPS}"),
    "ReduceSum": ("float[2, 2049] x", "float[2, 1] y", "y = ReduceSum(x, last)", f"it sums over 2049 elements{STOPS}"),
    "an unknown number": ("float[1, 2, h, w] x", "float[1, 2, 1, 1] y", "y = GlobalAveragePool(x)",
        f"it sums over a number of elements that is not known{STOPS}"),
    "CumSum": ("float[2, 4] x", "float[2, 4] y", "y = CumSum(x, axis)", "a running sum loses its last terms in FP16"),
}  # fmt: skip
STAYS = {
    "ReduceSum": ("float[2, 2048] x", "float[2, 1] y", "y = ReduceSum(x, last)"),
    "ReduceMax": ("float[2, 4096] x", "float[2, 1] y", "y = ReduceMax(x, last)"),
}
SHELL = "g ({}) => ({}) <int64[1] last = {{-1}}, int64 axis = {{1}}> {{ {} }}"


@pytest.mark.parametrize("case", FIRES)
def test_a_sum_that_is_too_long_is_a_hazard(model, case):
    *parts, reason = FIRES[case]
    found = decide(model(SHELL.format(*parts)))
    assert [(d.node, d.rule, d.reason, d.severity) for d in found] == [("y", "accumulations", reason, "hazard")]


@pytest.mark.parametrize("case", STAYS)
def test_a_shorter_one_is_not(model, case):
    assert decide(model(SHELL.format(*STAYS[case])), only="hazard") == []
