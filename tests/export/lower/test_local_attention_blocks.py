"""local_attention_blocks: exact windows out of dense blocks, whatever the block, with its relative terms and bias."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.domain.window import count, taps
from attnexport.export.lower import LOWERINGS, Where
from attnexport.export.lower import local_attention_blocks as form_file
from attnexport.export.lower.local_blocks import MASKED, Block
from attnexport.export.lower.local_window import LocalWindow

FORM = "local_attention_blocks"
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [1], "pads": [1, 1], "stride": [1]}),
    "2-d": ((9, 8), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "uneven": ((9, 8), {"kernel": [3, 2], "dilation": [2, 1], "pads": [0, 1, 3, 2], "stride": [2, 3]}),
    "strided dilated": ((11, 12), {"kernel": [3, 3], "dilation": [3, 2], "pads": [3, 2, 3, 2], "stride": [2, 2]}),
}
BLOCKS = [(1, 1), (2, 4), (4, 4), (3, 2), (7, 7), (16, 16)]


def tensors(space, attrs, heads=(2, 3, 4), batch: int = 2, dtype=np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    h, d, dv = heads
    places = count(space, **attrs)
    shapes = {"query": (batch, h, d, *places), "key": (batch, h, d, *space), "value": (batch, h, dv, *space)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def relative_of(kind: str, attrs, heads=(2, 3, 4)) -> np.ndarray:
    """'rows and columns' as in stand-alone attention (halves of the channels), 'summed' (exact in binary), 'any'."""
    rng = np.random.default_rng(1)
    h, d, _ = heads
    kernel = attrs["kernel"]
    if kind == "any":
        return rng.standard_normal((h, d, int(np.prod(kernel)))).astype(np.float32)
    rows, columns = (rng.integers(-8, 8, (h, d, size)).astype(np.float32) / 8 for size in kernel)
    if kind == "rows and columns":
        rows[:, 1:], columns[:, :1] = 0, 0
    return (rows[..., :, None] + columns[..., None, :]).reshape(h, d, -1)


def free(*axes: int) -> set[str]:
    return {f"{name}{axis}" for name in ("query", "key", "value") for axis in (0, *axes)}


@pytest.fixture
def block(monkeypatch):
    """``block(shape)``: the next lowering takes this block, cut to the node's space axes."""

    def use(shape: tuple[int, ...]) -> None:
        monkeypatch.setattr(form_file, "_shape_of", lambda node: shape[: len(node.attrs["kernel"])])

    return use


@pytest.mark.pairwise
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("shape", BLOCKS, ids=str)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_block_and_window(name, shape, dynamic, lowered, block) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs)
    block(shape)
    symbols = free(*range(3, 3 + len(space))) if dynamic else False
    form = lowered("LocalAttention", inputs, {**attrs, "scale": 0.7}, dynamic=symbols, only=FORM)
    form.check(inputs, atol=3e-6)
    assert not form.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements"}


@pytest.mark.pairwise
@pytest.mark.parametrize("shape", BLOCKS, ids=str)
@pytest.mark.parametrize(("kind", "matmuls"), [("rows and columns", 5), ("summed", 5), ("any", 3)])
@pytest.mark.parametrize("biased", [False, True])
def test_relative_terms(shape, kind, matmuls, biased, lowered, block) -> None:
    space, attrs = SPACES["strided dilated"]
    block(shape)
    bias = np.random.default_rng(3).standard_normal((1, 2, 9, 1, 1)).astype(np.float32)
    inputs = tensors(space, attrs) | {"bias": bias if biased else bias * 0, "relative": relative_of(kind, attrs)}
    form = lowered("LocalAttention", inputs, attrs, dynamic=free(3, 4), constants=["bias", "relative"], only=FORM)
    form.check(inputs, atol=4e-6)
    # Two for the attention; a term that splits by axis takes one for each axis and one for E, any other one MatMul.
    assert sum(node.op_type == "MatMul" for node in form.model.graph.node) == matmuls


@pytest.mark.parametrize("kind", ["rows and columns", "any"])
def test_masks_of_half_precision_tensors_are_finite(kind, lowered, block) -> None:
    """A mask that splits by axis is multiplied by a one-hot constant, and 0 * inf is no number."""
    space, attrs = SPACES["strided dilated"]
    block((2, 2))
    inputs = tensors(space, attrs, dtype=np.float16)
    inputs |= {"bias": np.zeros((1, 1, 9, 1, 1), np.float16), "relative": relative_of(kind, attrs).astype(np.float16)}
    form = lowered("LocalAttention", inputs, attrs, dynamic=free(3, 4), constants=["bias", "relative"], only=FORM)
    form.check(inputs, atol=2e-2)


@pytest.mark.parametrize(("compose", "scale"), [("squared_difference", -1.0), ("absolute_difference", -0.5)])
@pytest.mark.parametrize("shape", BLOCKS, ids=str)
def test_differences_of_one_channel(compose, scale, shape, lowered, block) -> None:
    space, attrs = SPACES["strided dilated"]
    block(shape)
    bias = np.random.default_rng(3).standard_normal((1, 2, 9, 1, 1)).astype(np.float32)
    inputs = tensors(space, attrs, (2, 1, 5)) | {"bias": bias}
    settings = {**attrs, "compose": compose, "scale": scale}
    form = lowered("LocalAttention", inputs, settings, dynamic=free(3, 4), constants=["bias"], only=FORM)
    form.check(inputs, atol=3e-6)


@pytest.mark.parametrize("heads", [1, 2])
def test_bias_by_head_or_for_all(heads, lowered) -> None:
    space, attrs = SPACES["2-d"]
    bias = np.random.default_rng(3).standard_normal((1, heads, 15, 1, 1)).astype(np.float32)
    bias[:, :, 4] = -np.inf
    inputs = tensors(space, attrs) | {"bias": bias}
    lowered("LocalAttention", inputs, attrs, dynamic=free(), constants=["bias"], only=FORM).check(inputs, atol=3e-6)


def test_one_model_for_many_sizes(lowered) -> None:
    _, attrs = SPACES["strided dilated"]
    form = lowered("LocalAttention", tensors((11, 12), attrs), attrs, dynamic=free(3, 4), only=FORM)
    for batch, *space in ((1, 7, 6), (3, 16, 9), (5, 13, 22)):
        form.check(tensors(space, attrs, batch=batch), atol=3e-6)


@pytest.mark.parametrize("shape", BLOCKS, ids=str)
@pytest.mark.parametrize("name", ["2-d", "uneven", "strided dilated"])
def test_a_block_places_each_tap_where_its_position_reads(name, shape) -> None:
    """Independent of any model: places of a block, numbered, and what the windows of the domain read there."""
    _, attrs = SPACES[name]
    rank = len(attrs["kernel"])
    geometry = {key: tuple(attrs[key]) for key in ("kernel", "dilation", "stride")}
    square = Block(LocalWindow(before=(0,) * rank, after=(0,) * rank, **geometry), shape[:rank])
    places = np.arange(np.prod(square.keys)).reshape(1, 1, 1, *square.keys)
    read = np.stack([tap.reshape(-1) for tap in taps(places, **geometry, pads=(0,) * 2 * rank)])
    values = np.arange(1.0, square.window.taps + 1)
    spread = square.spread(values, MASKED)
    assert spread.shape == (np.prod(square.shape), np.prod(square.keys))
    for position in range(spread.shape[0]):
        np.testing.assert_array_equal(spread[position, read[:, position]], values)
        assert (np.delete(spread[position], read[:, position]) == MASKED).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"compose": "absolute_difference"},
            "differences of more than one channel would need all of them for each pair of a block",
        ),
        (
            {"compose": "squared_difference", "query": (2, 2, 1, 9, 8), "key": (2, 2, 1, 9, 8)},
            "differences with a relative term are not a product with it",
        ),
        ({"query": (2, "h", 3, 9, 8)}, "the number of heads is not known"),
        ({"query": (2, 2, "d", 9, 8)}, "the number of channels is not known"),
        ({"key": (2, 2, 3, 9)}, "key has 4 axes, not 5"),
        ({"value": (2, 2, 4, 9)}, "value has 4 axes, not 5"),
        ({"bias": "computed"}, "the bias is computed, not constant"),
        ({"bias": np.zeros((1, 2, 15, 9, 8))}, "the bias differs from position to position"),
        ({"relative": "computed"}, "the relative term is computed, not constant"),
        (
            {"kernel": [1, 1, 1], "dilation": [1] * 3, "pads": [0] * 6, "stride": [1] * 3},
            "3 space axes make tensors of more axes than TensorRT takes",
        ),
    ],
    ids=lambda entry: entry if isinstance(entry, str) else "-".join(entry),
)
def test_refusals(change, reason) -> None:
    (rule,) = (rule for rule in LOWERINGS if rule.name == FORM)
    space, attrs = SPACES["2-d"]
    values = {name: gs.Variable(name, np.float32, list(value.shape)) for name, value in tensors(space, attrs).items()}
    values |= {"bias": gs.Constant("bias", np.zeros((1, 2, 15, 1, 1), np.float32))}
    values |= {"relative": gs.Constant("relative", np.zeros((2, 3, 15), np.float32))}
    settings = dict(attrs)
    for name, entry in change.items():
        if name not in values:
            settings[name] = entry
        elif isinstance(entry, np.ndarray):
            values[name] = gs.Constant(name, entry)
        else:
            shape = list(values[name].values.shape) if entry == "computed" else list(entry)
            values[name] = gs.Variable(name, np.float32, shape)
    assert (
        rule.refuse(gs.Node("LocalAttention", "node", settings, list(values.values())), Where(("ort-cpu",), 18))
        == reason
    )


def test_blocks_for_wide_heads_on_a_cpu_and_for_large_windows_on_a_gpu(lowered) -> None:
    """Wide heads and windows give a MatMul something to do, small ones do not; a GPU pays by operator and by byte."""
    large = {"kernel": [7, 7], "dilation": [1, 1], "pads": [3] * 4, "stride": [1, 1]}
    small = {"kernel": [3, 3], "dilation": [1, 1], "pads": [1] * 4, "stride": [1, 1]}
    cases = (
        (large, (8, 32, 32), FORM, FORM),
        (small, (8, 8, 8), "local_attention_shifts", "local_attention_windows"),
    )
    for attrs, heads, cpu, gpu in cases:
        inputs = tensors((28, 28), attrs, heads, batch=1)
        assert lowered("LocalAttention", inputs, attrs, dynamic=free()).applied.lowering == cpu
        chosen = lowered("LocalAttention", inputs, attrs, dynamic=free(), prefer="tensorrt-rtx").applied
        assert chosen.lowering == gpu
        assert chosen.refused["local_attention_shifts"].startswith("valid, but slower on tensorrt-rtx: an estimate of ")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("name", "kind"), [("2-d", None), ("strided dilated", "summed"), ("strided dilated", "any")])
def test_tensorrt(dtype, name, kind, lowered, builds) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, dtype=dtype)
    if kind is not None:
        inputs |= {"bias": np.zeros((1, 1, 9, 1, 1), dtype), "relative": relative_of(kind, attrs).astype(dtype)}
    builds(lowered("LocalAttention", inputs, attrs, dynamic=free(3, 4), constants=[*inputs][3:], only=FORM), inputs)


@pytest.mark.parametrize(("batch", "form"), [(1, "local_attention_windows"), (8, "local_attention_skewed")])
def test_an_estimate_counts_the_usual_batch(batch, form) -> None:
    """Two forms of small maps change places with the batch: one pays by operator, the other by value."""
    from onnx import helper

    from attnexport.export.domain import DOMAIN, VERSION
    from attnexport.export.lower import lower

    attrs = {"kernel": [7, 7], "dilation": [1, 1], "pads": [3] * 4, "stride": [1, 1]}
    names = ("query", "key", "value", "bias")
    shapes = dict.fromkeys(names[:3], (batch, 4, 8, 8, 8)) | {
        "bias": (batch, 4, 49, 8, 8),
        "y": (batch, 4, 8, 8, 8),
    }
    infos = {name: helper.make_tensor_value_info(name, 1, ["N", *shape[1:]]) for name, shape in shapes.items()}
    node = helper.make_node("LocalAttention", names, ["y"], name="node", domain=DOMAIN, **attrs)
    graph = helper.make_graph([node], "graph", [infos[name] for name in names], [infos["y"]])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    (applied,) = lower(model, ["ort-cpu"], shapes=shapes).applied
    assert applied.lowering == form
