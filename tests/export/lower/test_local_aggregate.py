"""LocalAggregate by shifts of both kinds: weighted sums over every window, static and dynamic."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.domain.window import count
from attnexport.export.lower import LOWERINGS, Where

FORMS = ("local_aggregate_shifts", "local_aggregate_skewed")
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [2], "pads": [2, 2], "stride": [1]}),
    "2-d": ((9, 8), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "uneven": ((9, 8), {"kernel": [3, 5], "dilation": [2, 1], "pads": [0, 1, 3, 5], "stride": [2, 3]}),
    "one tap": ((9, 8), {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]}),
    "3-d": ((4, 5, 6), {"kernel": [3, 3, 2], "dilation": [1, 1, 1], "pads": [1, 1, 1, 1, 1, 0], "stride": [1, 2, 1]}),
}

ONE_COLUMN = ("1-d", "one tap")
"""Windows that have nothing to move two ways."""


def tensors(space, attrs, heads: int = 2, channels: int = 3, batch: int = 2, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    taps = int(np.prod(attrs["kernel"]))
    shapes = {"weights": (batch, heads, taps, *count(space, **attrs)), "value": (batch, heads, channels, *space)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def free(*axes: int) -> set[str]:
    return {f"{name}{axis}" for name in ("weights", "value") for axis in (0, *axes)}


@pytest.mark.pairwise
@pytest.mark.parametrize(
    ("form", "name"), [(f, n) for f in FORMS for n in SPACES if f == FORMS[0] or n not in ONE_COLUMN]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_window(form, name, channels, dynamic, lowered) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, channels=channels)
    symbols = free(*range(3, 3 + len(space))) if dynamic else False
    model = lowered("LocalAggregate", inputs, attrs, dynamic=symbols, only=form)
    model.check(inputs, atol=3e-6)
    assert not model.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements"}


@pytest.mark.parametrize("form", FORMS)
def test_one_model_for_many_sizes(form, lowered) -> None:
    _, attrs = SPACES["uneven"]
    model = lowered("LocalAggregate", tensors((9, 8), attrs), attrs, dynamic=free(3, 4), only=form)
    for batch, *space in ((1, 6, 5), (3, 16, 9), (5, 13, 22)):
        model.check(tensors(space, attrs, batch=batch), atol=3e-6)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"weights": None}, "the rank of weights is not known"),
        ({"value": [2, 2, 3, 9]}, "value has 4 axes, not 5"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_refusals(form, shapes, reason) -> None:
    (rule,) = (rule for rule in LOWERINGS if rule.name == form)
    known = {"weights": [2, 2, 15, 9, 8], "value": [2, 2, 3, 9, 8]} | shapes
    values = [gs.Variable(name, np.float32, known[name]) for name in ("weights", "value")]
    assert rule.refuse(gs.Node("LocalAggregate", "node", SPACES["2-d"][1], values), Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("1-d", "one space axis has no other along which keys could move"),
        ("one tap", "a window of one column has nothing to share between columns"),
    ],
)
def test_what_cannot_move_two_ways(name, reason) -> None:
    (rule,) = (rule for rule in LOWERINGS if rule.name == FORMS[1])
    space, attrs = SPACES[name]
    values = [gs.Variable(n, np.float32, list(v.shape)) for n, v in tensors(space, attrs).items()]
    assert rule.refuse(gs.Node("LocalAggregate", "node", attrs, values), Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("form", FORMS)
def test_tensorrt(form, dtype, lowered, builds) -> None:
    space, attrs = SPACES["uneven"]
    inputs = tensors(space, attrs, dtype=dtype)
    builds(lowered("LocalAggregate", inputs, attrs, dynamic=free(3, 4), only=form), inputs)
