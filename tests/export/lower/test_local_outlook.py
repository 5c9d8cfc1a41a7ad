"""local_outlook_shifts, local_outlook_windows: windows mixed and folded back, over strides with and without gaps, static and dynamic."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.domain.window import count
from attnexport.export.lower import LOWERINGS, Where

FORMS = ("local_outlook_shifts", "local_outlook_windows")
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [2], "pads": [2, 2], "stride": [1]}),
    "1-d strided": ((10,), {"kernel": [4], "dilation": [1], "pads": [3, 0], "stride": [3]}),
    "volo": ((7, 8), {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]}),
    "volo strided": ((7, 8), {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [2, 2]}),
    "stride 3": ((11, 9), {"kernel": [3, 5], "dilation": [1, 1], "pads": [0, 2, 1, 2], "stride": [3, 3]}),
    "uneven": ((9, 8), {"kernel": [3, 2], "dilation": [2, 1], "pads": [0, 1, 3, 2], "stride": [2, 3]}),
    "no padding": ((8, 9), {"kernel": [3, 2], "dilation": [1, 2], "pads": [0, 0, 0, 0], "stride": [1, 2]}),
    "much padding": ((4, 5), {"kernel": [2, 3], "dilation": [1, 1], "pads": [4, 0, 1, 5], "stride": [1, 2]}),
    "gaps": ((9, 8), {"kernel": [2, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [3, 2]}),
    "dilated gaps": ((9, 10), {"kernel": [3, 3], "dilation": [2, 2], "pads": [2, 2, 2, 2], "stride": [2, 2]}),
    "one tap": ((5, 4), {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]}),
    "3-d": ((3, 5, 4), {"kernel": [2, 3, 2], "dilation": [1, 1, 2], "pads": [1, 1, 1, 0, 1, 1], "stride": [1, 2, 1]}),
}


def tensors(space, attrs, heads: int = 2, channels: int = 3, batch: int = 2, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    taps = int(np.prod(attrs["kernel"]))
    shapes = {"weights": (batch, heads, taps, taps, *count(space, **attrs)), "value": (batch, heads, channels, *space)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def free(rank: int, *more: str) -> set[str]:
    """Batch and space axes."""
    return (
        {"weights0", "value0", *more}
        | {f"weights{4 + a}" for a in range(rank)}
        | {f"value{3 + a}" for a in range(rank)}
    )


@pytest.mark.pairwise
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_window(form, name, dynamic, lowered) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs)
    model = lowered("LocalOutlook", inputs, attrs, dynamic=free(len(space)) if dynamic else False, only=form)
    model.check(inputs, atol=2e-5)
    assert not model.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements", "Col2Im"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["volo", "volo strided", "uneven", "much padding"])
def test_one_model_for_many_sizes(form, name, lowered) -> None:
    space, attrs = SPACES[name]
    model = lowered("LocalOutlook", tensors(space, attrs), attrs, dynamic=free(2, "value2"), only=form)
    for batch, *space in ((1, 6, 5), (3, 16, 9), (1, 13, 22)):
        model.check(tensors(space, attrs, batch=batch, channels=batch), atol=2e-5)


def test_channels_are_multiplied_once_for_each_difference_of_places(lowered) -> None:
    space, attrs = SPACES["volo"]
    model = lowered("LocalOutlook", tensors(space, attrs), attrs, dynamic=False, only=FORMS[0]).model
    assert sum(node.op_type == "Mul" for node in model.graph.node) == 25


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_outside_a_window_is_not_touched(form, lowered) -> None:
    """A value that is not finite spreads to what its windows write, and no further: not across the end of a row."""
    space, attrs = (6, 8), SPACES["volo"][1]
    inputs = tensors(space, attrs)
    inputs["value"][..., 3, 0] = np.nan
    y = lowered("LocalOutlook", inputs, attrs, dynamic=False, only=form).run(inputs)
    assert np.isfinite(y[..., 3:]).all()
    assert not np.isfinite(y[..., 1:6, :3]).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"weights": None}, "the rank of weights is not known"),
        ({"value": [2, 2, 3, 9]}, "value has 4 axes, not 5"),
    ],
)
def test_refusals(form, shapes, reason) -> None:
    (rule,) = (rule for rule in LOWERINGS if rule.name == form)
    known = {"weights": [2, 2, 9, 9, 9, 8], "value": [2, 2, 3, 9, 8]} | shapes
    values = [gs.Variable(name, np.float32, known[name]) for name in ("weights", "value")]
    assert rule.refuse(gs.Node("LocalOutlook", "node", SPACES["volo"][1], values), Where(("ort-cpu",), 18)) == reason


def test_the_quicker_form(lowered) -> None:
    """Windows of a strided layer are few; unstrided ones would fill more than the cache. A GPU takes few operators."""
    for name, prefer, wanted in (
        ("volo", "ort-cpu", FORMS[0]),
        ("volo strided", "ort-cpu", FORMS[1]),
        ("volo", "tensorrt-rtx", FORMS[1]),
    ):
        inputs = tensors((28, 28), SPACES[name][1], heads=6, channels=32, batch=1)
        chosen = lowered("LocalOutlook", inputs, SPACES[name][1], dynamic=False, prefer=prefer)
        assert chosen.applied.lowering == wanted


@pytest.mark.pairwise
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["volo", "volo strided", "gaps"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt(form, name, dtype, lowered, builds) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, dtype=dtype)
    builds(lowered("LocalOutlook", inputs, attrs, dynamic=free(2), only=form), inputs)
