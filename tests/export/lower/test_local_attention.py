"""LocalAttention by shifts of both kinds: every window, composition, bias and mask, one to three space axes, static and dynamic."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from attnexport.export.domain import OPERATORS

FORMS = ("local_attention_shifts", "local_attention_skewed")
SPACES = {
    "1-d": ((9,), {"kernel": [3], "dilation": [1], "pads": [1, 1], "stride": [1]}),
    "2-d": ((9, 8), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "uneven": ((9, 8), {"kernel": [3, 5], "dilation": [2, 1], "pads": [0, 1, 3, 5], "stride": [2, 3]}),
    "strided dilated": ((11, 12), {"kernel": [3, 3], "dilation": [3, 2], "pads": [3, 2, 3, 2], "stride": [2, 2]}),
    "narrow": ((9, 8), {"kernel": [3, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 2]}),
    "wider than the map": ((2, 1), {"kernel": [3, 5], "dilation": [1, 1], "pads": [1, 2, 1, 2], "stride": [1, 1]}),
    "every overlap": ((3, 2), {"kernel": [2, 4], "dilation": [1, 2], "pads": [1, 6, 1, 6], "stride": [1, 1]}),
    "padded beyond": ((3, 2), {"kernel": [2, 2], "dilation": [1, 1], "pads": [3, 3, 0, 4], "stride": [1, 1]}),
    "3-d wider": ((2, 1, 2), {"kernel": [3, 5, 5], "dilation": [1] * 3, "pads": [1, 2, 2, 1, 2, 2], "stride": [1] * 3}),
    "3-d": ((4, 5, 6), {"kernel": [3, 3, 2], "dilation": [1, 1, 1], "pads": [1, 1, 1, 1, 1, 0], "stride": [1, 2, 1]}),
}
ONE_COLUMN = ("1-d", "narrow")
"""Windows that have nothing to move two ways."""
HEADS = [(2, 3, 4), (3, 1, 1), (40, 1, 1), (2, 1, 5)]
"""(H, D, Dv): dot product, per channel, per channel in runs of taps, shared by channels."""


def each(*names: str) -> list[tuple[str, str]]:
    """Every form with every window that it takes."""
    return [(form, name) for form, name in product(FORMS, names) if form == FORMS[0] or name not in ONE_COLUMN]


def positions(space, attrs) -> list[int]:
    rank = len(space)
    reach = [d * (k - 1) for d, k in zip(attrs["dilation"], attrs["kernel"], strict=True)]
    return [
        (space[a] + attrs["pads"][a] + attrs["pads"][a + rank] - reach[a] - 1) // attrs["stride"][a] + 1
        for a in range(rank)
    ]


def tensors(space, attrs, heads, batch: int = 2, dtype=np.float32, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    h, d, dv = heads
    shapes = {
        "query": (batch, h, d, *positions(space, attrs)),
        "key": (batch, h, d, *space),
        "value": (batch, h, dv, *space),
    }
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def free(*axes: int) -> set[str]:
    """The batch and the given space axes, symbolic."""
    return {f"{name}{axis}" for name in ("query", "key", "value") for axis in (0, *axes)}


def bias_of(kind: str, attrs, heads: int, count: list[int], batch: int = 2) -> np.ndarray:
    rng = np.random.default_rng(1)
    taps, ones = int(np.prod(attrs["kernel"])), (1,) * len(count)
    if kind == "per head":
        return rng.standard_normal((1, heads, taps, *ones)).astype(np.float32)
    if kind == "everywhere":
        return rng.standard_normal((batch, heads, taps, *count)).astype(np.float32)
    if kind == "one row":
        return rng.standard_normal((1, 1, taps, *count[:-1], 1)).astype(np.float32)
    mask = np.where(rng.random((1, 1, taps, *count)) < 0.6, -np.inf, 0).astype(np.float32)
    mask[:, :, taps // 2] = 0
    return mask


@pytest.mark.pairwise
@pytest.mark.parametrize(("form", "name"), each(*SPACES))
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_every_window(form, name, heads, dynamic, lowered) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, heads)
    symbols = free(*range(3, 3 + len(space))) if dynamic else False
    model = lowered("LocalAttention", inputs, {**attrs, "scale": 0.7}, dynamic=symbols, only=form)
    model.check(inputs, atol=3e-6)
    assert not model.op_types() & {"Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements"}


@pytest.mark.pairwise
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("compose", "scale"), [("squared_difference", -0.5), ("absolute_difference", -1.0)])
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("relative", [False, True])
def test_differences(form, compose, scale, heads, relative, lowered) -> None:
    space, attrs = SPACES["2-d"]
    inputs = tensors(space, attrs, heads)
    if relative:
        inputs["bias"] = bias_of("per head", attrs, heads[0], positions(space, attrs))
        inputs["relative"] = np.random.default_rng(2).standard_normal((heads[0], heads[1], 15)).astype(np.float32)
    constants = ["relative"] if relative else []
    model = lowered(
        "LocalAttention",
        inputs,
        {**attrs, "compose": compose, "scale": scale},
        dynamic=free(),
        constants=constants,
        only=form,
    )
    model.check(inputs, atol=3e-6)


@pytest.mark.pairwise
@pytest.mark.parametrize("kind", ["per head", "everywhere", "one row", "mask"])
@pytest.mark.parametrize(("form", "name"), each("1-d", "uneven", "3-d"))
@pytest.mark.parametrize("heads", [(2, 3, 4), (40, 1, 1)], ids=str)
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
def test_bias(kind, form, name, heads, constant, lowered) -> None:
    space, attrs = SPACES[name]
    if name == "1-d" and kind == "one row":
        kind = "per head"
    inputs = tensors(space, attrs, heads) | {"bias": bias_of(kind, attrs, heads[0], positions(space, attrs))}
    model = lowered("LocalAttention", inputs, attrs, dynamic=free(), constants=["bias"] if constant else [], only=form)
    model.check(inputs, atol=3e-6)


@pytest.mark.pairwise
@pytest.mark.parametrize("heads", [(2, 3, 4), (3, 1, 1), (40, 1, 1)], ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["per head", "shared"])
@pytest.mark.parametrize(("form", "constant"), [(FORMS[0], False), (FORMS[0], True), (FORMS[1], True)])
def test_relative(form, heads, shared, constant, lowered) -> None:
    space, attrs = SPACES["strided dilated"]
    relative = np.random.default_rng(2).standard_normal((1 if shared else heads[0], heads[1], 9)).astype(np.float32)
    inputs = tensors(space, attrs, heads)
    inputs["bias"] = bias_of("per head", attrs, heads[0], positions(space, attrs))
    inputs["relative"] = relative
    constants = ["relative"] if constant else []
    lowered("LocalAttention", inputs, attrs, dynamic=free(), constants=constants, only=form).check(inputs, atol=5e-6)


@pytest.mark.parametrize("form", FORMS)
def test_one_model_for_many_sizes(form, lowered) -> None:
    _, attrs = SPACES["strided dilated"]
    model = lowered("LocalAttention", tensors((11, 12), attrs, (2, 3, 4)), attrs, dynamic=free(3, 4), only=form)
    for batch, *space in ((1, 7, 6), (3, 16, 9), (5, 13, 22)):
        model.check(tensors(space, attrs, (2, 3, 4), batch), atol=3e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("heads", [(2, 3, 4), (40, 1, 1)], ids=str)
def test_scores_that_would_overflow_an_exponential(form, heads, lowered) -> None:
    space, attrs = SPACES["2-d"]
    inputs = tensors(space, attrs, heads)
    inputs["query"] *= 300
    expected = OPERATORS["LocalAttention"].reference(*(value.astype(np.float64) for value in inputs.values()), **attrs)
    y = lowered("LocalAttention", inputs, attrs, dynamic=free(), only=form).run(inputs)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("heads", [(2, 3, 4), (40, 1, 1)], ids=str)
def test_a_position_that_sees_nothing_is_nan_as_in_a_softmax(form, heads, lowered) -> None:
    space, attrs = SPACES["2-d"]
    inputs = tensors(space, attrs, heads)
    bias = np.zeros((1, 1, 15, *positions(space, attrs)), np.float32)
    bias[..., 0, 0] = -np.inf
    inputs["bias"] = bias
    y = lowered("LocalAttention", inputs, attrs, dynamic=free(), only=form).run(inputs)
    nothing = np.zeros(y.shape, bool)
    nothing[..., 0, 0] = True
    np.testing.assert_array_equal(np.isnan(y), nothing)


def test_many_heads_keep_one_run_of_scores_alive(lowered) -> None:
    """40 heads: the maximum is taken over runs of 5 taps and the ceiling before, never over all 15."""
    space, attrs = SPACES["2-d"]
    model = lowered("LocalAttention", tensors(space, attrs, (40, 1, 1)), attrs, dynamic=free(), only=FORMS[0])
    assert [len(node.input) for node in model.model.graph.node if node.op_type == "Max"] == [5, 6, 6]


@pytest.mark.parametrize(("masked", "divisions"), [(False, 3), (True, 1)])
def test_a_run_is_added_up_before_the_next_unless_it_may_be_empty(masked, divisions, lowered) -> None:
    space, attrs = SPACES["2-d"]
    inputs = tensors(space, attrs, (40, 1, 1))
    if masked:
        bias = np.zeros((1, 1, 15, *positions(space, attrs)), np.float32)
        bias[:, :, :5] = -np.inf  # the first run sees nothing
        inputs["bias"] = bias
    model = lowered("LocalAttention", inputs, attrs, dynamic=free(), constants=[*inputs][3:], only=FORMS[0])
    model.check(inputs, atol=3e-6)
    assert sum(node.op_type == "Div" for node in model.model.graph.node) == divisions


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compose": "cosine"}, "compose 'cosine' is not one of product, squared_difference, absolute_difference"),
        ({"key": (2, 2, 3, 9)}, "key has 4 axes, not 5"),
        ({"value": (2, 2, 4, 9)}, "value has 4 axes, not 5"),
        ({"bias": (1, 2, 15, 1)}, "bias has 4 axes, not 5"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_refusals(form, change, reason) -> None:
    import onnx_graphsurgeon as gs

    from attnexport.export.lower import LOWERINGS, Where

    (rule,) = (rule for rule in LOWERINGS if rule.name == form)
    space, attrs = SPACES["2-d"]
    shapes = {name: value.shape for name, value in tensors(space, attrs, (2, 3, 4)).items()}
    shapes |= {name: shape for name, shape in change.items() if name != "compose"}
    values = [gs.Variable(name, np.float32, list(shape)) for name, shape in shapes.items()]
    settings = attrs | {name: value for name, value in change.items() if name == "compose"}
    node = gs.Node("LocalAttention", "node", settings, values)
    assert rule.refuse(node, Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize(
    ("name", "relative", "reason"),
    [
        ("1-d", None, "one space axis has no other along which keys could move"),
        ("narrow", None, "a window of one column has nothing to share between columns"),
        ("2-d", (2, 3, 15), "the relative term is computed, not constant"),
    ],
)
def test_what_cannot_move_two_ways(name, relative, reason) -> None:
    import onnx_graphsurgeon as gs

    from attnexport.export.lower import LOWERINGS, Where

    (rule,) = (rule for rule in LOWERINGS if rule.name == FORMS[1])
    space, attrs = SPACES[name]
    values = [gs.Variable(n, np.float32, list(v.shape)) for n, v in tensors(space, attrs, (2, 3, 4)).items()]
    values += [] if relative is None else [gs.Variable.empty(), gs.Variable("relative", np.float32, list(relative))]
    assert rule.refuse(gs.Node("LocalAttention", "node", attrs, values), Where(("ort-cpu",), 18)) == reason


@pytest.mark.parametrize(("form", "slices"), [(FORMS[0], 2 * 15 + 1), (FORMS[1], 2 * 3 + 3 * 5 + 1)])
def test_slices_of_a_window_of_three_by_five(form, slices, lowered) -> None:
    """Two for each tap; or keys and values for each row, maxima and two sums for each column; one cuts the rows' ends off."""
    space, attrs = SPACES["2-d"]
    model = lowered("LocalAttention", tensors(space, attrs, (2, 3, 4)), attrs, dynamic=free(), only=form)
    assert sum(node.op_type == "Slice" for node in model.model.graph.node) == slices


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("name", "heads"), list(product(["2-d", "uneven"], [(2, 3, 4), (32, 1, 1)])), ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_tensorrt(form, dtype, name, heads, lowered, builds) -> None:
    space, attrs = SPACES[name]
    inputs = tensors(space, attrs, heads, dtype=dtype)
    builds(lowered("LocalAttention", inputs, attrs, dynamic=free(3, 4), only=form), inputs)
