"""adaptive_average_blocks and adaptive_max_blocks: windows that tile the axis, and the pool to one value."""

from __future__ import annotations

import numpy as np
import pytest

OPERATORS = [
    ("AdaptiveAverage", "adaptive_average", "matmul", "ReduceMean"),
    ("AdaptiveMax", "adaptive_max", "gather", "ReduceMax"),
]


def inputs(size: int, count: int, batch=2, dtype=np.float32) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((batch, 3, size, 5)).astype(dtype)
    return {"x": x, "output_size": np.array([count])}


@pytest.mark.parametrize(("op", "name", "other", "reduction"), OPERATORS)
@pytest.mark.parametrize(("size", "count", "nodes"), [(12, 4, 2), (12, 1, 1), (12, 12, 1)])
def test_tiles(op, name, other, reduction, size, count, nodes, lowered) -> None:
    form = lowered(op, inputs(size, count), {"axis": 2}, dynamic={"x0", "x3"}, constants=("output_size",))
    assert form.applied.lowering == f"{name}_blocks"
    assert "slower" in form.applied.refused[f"{name}_{other}"]
    if size != count:
        assert [node.op_type for node in form.model.graph.node][-1] == reduction
    form.check(inputs(size, count), atol=2e-7)
    form.check(inputs(size, count, batch=3), atol=2e-7)


@pytest.mark.parametrize(("op", "name"), [entry[:2] for entry in OPERATORS])
def test_one_value_of_a_free_axis(op, name, lowered) -> None:
    form = lowered(op, inputs(12, 1), {"axis": 2}, constants=("output_size",))
    assert form.applied.lowering == f"{name}_blocks"
    for size in (12, 7, 1):
        form.check(inputs(size, 1), atol=3e-7)


@pytest.mark.parametrize(("op", "name"), [entry[:2] for entry in OPERATORS])
def test_refusals(op, name, lowered) -> None:
    form = lowered(op, inputs(10, 4), {"axis": 2}, dynamic={"x0"}, constants=("output_size",))
    assert form.applied.refused == {f"{name}_blocks": "4 windows do not tile 10 values"}
    form = lowered(op, inputs(10, 4), {"axis": 2}, constants=("output_size",))
    assert form.applied.refused == {
        f"{name}_blocks": "whether the windows tile the axis is not known: a length is free"
    }


@pytest.mark.pairwise
@pytest.mark.parametrize("op", [entry[0] for entry in OPERATORS])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("count", [4, 1])
def test_tensorrt(op, dtype, count, lowered, builds) -> None:
    given = inputs(12, count, dtype=dtype)
    builds(lowered(op, given, {"axis": 2}, dynamic={"x0", "x3"}, constants=("output_size",)), given)
