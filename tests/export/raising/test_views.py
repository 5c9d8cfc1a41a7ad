"""Chains of slices are read as NumPy computes them; bounds that are not known to lie inside refuse it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.graph.size import Size
from attnexport.export.raising.views import AxisSlice, View, chain, view

Cut = tuple[int, int, int]
cuts = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 2**62), st.integers(1, 3)), min_size=1, max_size=3)


def sliced(size: int | str, chosen: list[Cut]) -> gs.Variable:
    nodes, tensors, name = [], {"axis": [1]}, "x"
    for i, (start, end, step) in enumerate(chosen):
        tensors |= {f"s{i}": [start], f"e{i}": [end], f"t{i}": [step]}
        nodes.append(helper.make_node("Slice", [name, f"s{i}", f"e{i}", "axis", f"t{i}"], [f"y{i}"]))
        name = f"y{i}"
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, size])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    return gs.import_onnx(onnx.shape_inference.infer_shapes(model)).outputs[0]


@given(cuts)
@settings(max_examples=150, deadline=None)
def test_a_chain_of_known_slices_is_the_range_that_it_takes(chosen: list[Cut]) -> None:
    expected = np.arange(11)
    for start, end, step in chosen:
        expected = expected[start:end:step]
    path = chain(sliced(11, chosen))
    assert path[0].name == "x"
    found = view(path)
    if found is not None:
        part = found.parts[1]
        assert list(range(part.start, part.start + part.reach.value, part.step)) == expected.tolist()
        assert part.count == Size.number(len(expected))
    else:
        assert expected.size == 0


@pytest.mark.parametrize(
    ("cut", "part"),
    [
        ((1, -2, 1), AxisSlice(1, 1, Size.symbol("W") - Size.number(3))),
        ((2, 2**62, 2), AxisSlice(2, 2, Size.symbol("W") - Size.number(2))),
        ((0, 5, 1), None),
        ((-3, 2**62, 1), None),
    ],
    ids=["from the end", "to the end", "perhaps beyond the end", "from where is not known"],
)
def test_a_free_size(cut: Cut, part: AxisSlice | None) -> None:
    found = view(chain(sliced("W", [cut])))
    whole = AxisSlice(0, 1, Size.number(2))
    assert found == (None if part is None else View((whole, part), (0, 1)))
