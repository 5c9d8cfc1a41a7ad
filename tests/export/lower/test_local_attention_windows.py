"""local_attention_windows: every composition, bias and relative term over windows written out, and few operators."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.domain.window import count

FORM = "local_attention_windows"
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [1], "pads": [1, 1], "stride": [1]}),
    "2-d": ((9, 8), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "strided dilated": ((11, 12), {"kernel": [3, 3], "dilation": [3, 2], "pads": [3, 2, 3, 2], "stride": [2, 2]}),
    "3-d": ((4, 5, 6), {"kernel": [3, 3, 2], "dilation": [1, 1, 1], "pads": [1, 1, 1, 1, 1, 0], "stride": [1, 2, 1]}),
}
HEADS = [(2, 3, 4), (3, 1, 1), (2, 1, 5)]
COMPOSITIONS = [("product", 0.7), ("squared_difference", -0.5), ("absolute_difference", -1.0)]


def tensors(space, attrs, heads=(2, 3, 4), batch: int = 2, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    h, d, dv = heads
    shapes = {
        "query": (batch, h, d, *count(space, **attrs)),
        "key": (batch, h, d, *space),
        "value": (batch, h, dv, *space),
    }
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def terms(space, attrs, heads, everywhere: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    taps, places = int(np.prod(attrs["kernel"])), count(space, **attrs)
    shape = (2, heads[0], taps, *places) if everywhere else (1, heads[0], taps, *[1] * len(space))
    relative = rng.standard_normal((heads[0], heads[1], taps)).astype(np.float32)
    return {"bias": rng.standard_normal(shape).astype(np.float32), "relative": relative}


def free(*axes: int) -> set[str]:
    return {f"{name}{axis}" for name in ("query", "key", "value") for axis in (0, *axes)}


@pytest.mark.pairwise
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize(("compose", "scale"), COMPOSITIONS)
@pytest.mark.parametrize("extra", [None, "computed everywhere", "constant per head"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_window(name, heads, compose, scale, extra, dynamic, lowered) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, heads)
    if extra:
        inputs |= terms(space, attrs, heads, everywhere="everywhere" in extra)
    constants = ["bias", "relative"] if extra == "constant per head" else []
    symbols = free(*range(3, 3 + len(space))) if dynamic else False
    settings = {**attrs, "compose": compose, "scale": scale}
    form = lowered("LocalAttention", inputs, settings, dynamic=symbols, constants=constants, only=FORM)
    form.check(inputs, atol=1e-5)
    assert not form.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements"}


def test_one_model_for_many_sizes(lowered) -> None:
    _, attrs = SPACES["strided dilated"]
    form = lowered("LocalAttention", tensors((11, 12), attrs), attrs, dynamic=free(3, 4), only=FORM)
    for batch, *space in ((1, 7, 6), (3, 16, 9), (5, 13, 22)):
        form.check(tensors(space, attrs, batch=batch), atol=3e-6)


def test_two_slices_a_tap_and_little_else(lowered) -> None:
    space, attrs = SPACES["2-d"]
    form = lowered("LocalAttention", tensors(space, attrs), attrs, dynamic=free(), only=FORM)
    kinds = [node.op_type for node in form.model.graph.node]
    assert kinds.count("Slice") == 2 * 15 + 1
    assert len(kinds) - kinds.count("Slice") < 25


def test_a_gpu_takes_it_where_blocks_do_not_apply(lowered) -> None:
    attrs = {"kernel": [7, 7], "dilation": [1, 1], "pads": [3] * 4, "stride": [1, 1]}
    inputs = tensors((40, 40), attrs, (4, 2, 8), batch=1)
    inputs["bias"] = np.zeros((1, 1, 49, 40, 40), np.float32)
    gpu = lowered("LocalAttention", inputs, attrs, dynamic=free(), prefer="ort-cuda").applied
    assert gpu.lowering == FORM
    assert gpu.refused["local_attention_blocks"] == "the bias is computed, not constant"
    cpu = lowered("LocalAttention", inputs, attrs, dynamic=free(), prefer="ort-cpu").applied
    assert cpu.lowering == "local_attention_skewed"


def test_refused_for_an_unknown_composition() -> None:
    import onnx_graphsurgeon as gs

    from attnexport.export.lower import LOWERINGS, Where

    (rule,) = (rule for rule in LOWERINGS if rule.name == FORM)
    space, attrs = SPACES["2-d"]
    values = [gs.Variable(name, np.float32, list(value.shape)) for name, value in tensors(space, attrs).items()]
    node = gs.Node("LocalAttention", "node", attrs | {"compose": "cosine"}, values)
    reason = "compose 'cosine' is not one of product, squared_difference, absolute_difference"
    assert rule.refuse(node, Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("name", "heads"), [("2-d", (2, 3, 4)), ("strided dilated", (32, 1, 1))])
def test_tensorrt(dtype, name, heads, lowered, builds) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, heads, dtype=dtype)
    builds(lowered("LocalAttention", inputs, attrs, dynamic=free(3, 4), only=FORM), inputs)
