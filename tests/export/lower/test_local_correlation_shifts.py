"""local_correlation_shifts: scores of every window and composition, static and dynamic."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.domain.window import count
from attnexport.export.lower import LOWERINGS, Where

FORM = "local_correlation_shifts"
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [2], "pads": [2, 2], "stride": [1]}),
    "2-d": ((9, 8), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "uneven": ((9, 8), {"kernel": [3, 2], "dilation": [2, 1], "pads": [0, 1, 3, 2], "stride": [2, 3]}),
    "3-d": ((4, 5, 6), {"kernel": [3, 3, 2], "dilation": [1, 1, 1], "pads": [1, 1, 1, 1, 1, 0], "stride": [1, 2, 1]}),
}


def tensors(space, attrs, heads: int, channels: int, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"query": (2, heads, channels, *count(space, **attrs)), "key": (2, heads, channels, *space)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def free(*axes: int) -> set[str]:
    return {f"{name}{axis}" for name in ("query", "key") for axis in (0, *axes)}


@pytest.mark.pairwise
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("compose", ["product", "squared_difference", "absolute_difference"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("relative", [None, "computed", "constant"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_window(name, compose, channels, relative, dynamic, lowered) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, 2, channels)
    if relative:
        shape = (2, channels, int(np.prod(attrs["kernel"])))
        inputs["relative"] = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    constants = ["relative"] if relative == "constant" else []
    symbols = free(*range(3, 3 + len(space))) if dynamic else False
    settings = {**attrs, "compose": compose}
    form = lowered("LocalCorrelation", inputs, settings, dynamic=symbols, constants=constants, only=FORM)
    form.check(inputs, atol=2e-5)
    assert not form.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compose": "cosine"}, "compose 'cosine' is not one of product, squared_difference, absolute_difference"),
        ({"query": None}, "the rank of query is not known"),
        ({"key": [2, 2, 3, 9]}, "key has 4 axes, not 5"),
    ],
)
def test_refusals(change, reason) -> None:
    (rule,) = (rule for rule in LOWERINGS if rule.name == FORM)
    shapes = {"query": [2, 2, 3, 9, 8], "key": [2, 2, 3, 9, 8]} | change
    values = [gs.Variable(name, np.float32, shapes[name]) for name in ("query", "key")]
    settings = SPACES["2-d"][1] | {name: value for name, value in change.items() if name == "compose"}
    assert rule.refuse(gs.Node("LocalCorrelation", "node", settings, values), Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt(dtype, lowered, builds) -> None:
    space, attrs = SPACES["uneven"]
    inputs = tensors(space, attrs, 2, 3, dtype)
    builds(lowered("LocalCorrelation", inputs, attrs, dynamic=free(3, 4), only=FORM), inputs)
