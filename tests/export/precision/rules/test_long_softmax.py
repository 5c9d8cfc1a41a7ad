"""A softmax over more keys than FP16 counts is a hazard, whole or spelled out; a shorter one is a caution."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide

STOPS = "; beyond 2048 a normaliser in FP16 stops growing"
SPELLED = "m = ReduceMax(x, last)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, last)  y = Div(e, s)"
CASES = {
    "2048 keys": ("float[2, 2048] x", "y = Softmax(x)", {"y": ("softmax", "caution")}),
    "2049 keys": ("float[2, 2049] x", "y = Softmax(x)", {"y": ("long_softmax", "hazard")}),
    "along another axis": ("float[2049, 2] x", "y = Softmax<axis = 0>(x)", {"y": ("long_softmax", "hazard")}),
    "an unknown number": ("float[2, n] x", "y = LogSoftmax(x)", {"y": ("long_softmax", "hazard")}),
    "spelled out": ("float[2, 2049] x", SPELLED, dict.fromkeys("mdesy", ("long_softmax", "hazard"))),
    "spelled out, unknown": ("float[2, n] x", SPELLED, dict.fromkeys("mdesy", ("long_softmax", "hazard"))),
    "spelled out, short": ("float[2, 64] x", SPELLED, dict.fromkeys("mdesy", ("softmax", "caution"))),
    "the logarithm of the sum": ("float[2, 2049] x", "y = ReduceLogSumExp(x)", {"y": ("long_softmax", "hazard")}),
}  # fmt: skip


def built(model, given: str, body: str):
    opset = 18 if "LogSum" not in body else 13
    return model(f"g ({given}) => (float[a, b] y) <int64[1] last = {{1}}> {{ {body} }}", opset=opset)


@pytest.mark.parametrize("case", CASES)
def test_the_number_of_keys_makes_the_class(model, case):
    given, body, expected = CASES[case]
    assert {d.node: (d.rule, d.severity) for d in decide(built(model, given, body))} == expected


def test_the_reason_says_how_many(model):
    (known,) = decide(built(model, "float[2, 65536] x", "y = Softmax(x)"))
    (unknown,) = decide(built(model, "float[2, n] x", "y = Softmax(x)"))
    assert known.reason == f"a softmax over 65536 keys{STOPS}"
    assert unknown.reason == f"a softmax over a number of keys that is not known{STOPS}"
