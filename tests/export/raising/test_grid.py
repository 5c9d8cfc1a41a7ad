"""Slices are a grid of taps exactly where their offsets are a full one."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.raising.grid import TapAxis, TapGrid, read_grid

Box = tuple[slice, slice]


def parts(boxes: list[Box]) -> tuple[gs.Variable, ...]:
    nodes, tensors = [], {"axes": [0, 1]}
    for i, box in enumerate(boxes):
        for key, values in {
            "s": [b.start for b in box],
            "e": [b.stop for b in box],
            "t": [b.step or 1 for b in box],
        }.items():
            tensors[f"{key}{i}"] = values
        nodes.append(helper.make_node("Slice", ["x", f"s{i}", f"e{i}", "axes", f"t{i}"], [f"y{i}"]))
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(len(boxes))]
    constants = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in tensors.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [20, 20])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], outputs, constants), opset_imports=[helper.make_opsetid("", 18)]
    )
    return tuple(gs.import_onnx(onnx.shape_inference.infer_shapes(model)).outputs)


@given(st.tuples(st.integers(2, 3), st.integers(1, 3)), st.integers(1, 3), st.integers(0, 2), st.randoms())
@settings(max_examples=40, deadline=None)
def test_any_full_grid_is_read_in_any_order(kernel: tuple[int, int], dilation: int, start: int, random: object) -> None:
    places = list(product(range(kernel[0]), range(kernel[1])))
    random.shuffle(places)  # type: ignore[attr-defined]
    found = read_grid(parts([(slice(start + i * dilation, 8 + i * dilation), slice(j, 9 + j)) for i, j in places]))
    assert isinstance(found, TapGrid)
    high = TapAxis(0, start, dilation, kernel[0])
    assert found.taps == ((high, TapAxis(1, 0, 1, kernel[1])) if kernel[1] > 1 else (high,))
    assert found.order == tuple(i * kernel[1] + j for i, j in places)
    assert found.windows == found.taps and not found.entries
    assert found.overlaps


@pytest.mark.parametrize(
    ("boxes", "overlaps"),
    [
        ([(slice(0, 5), slice(0, 9)), (slice(5, 10), slice(0, 9))], False),
        ([(slice(0, 9, 2), slice(0, 9)), (slice(1, 10, 2), slice(0, 9))], True),
        ([(slice(0, 9, 2), slice(0, 9)), (slice(2, 11, 2), slice(0, 9))], True),
        ([(slice(0, 1), slice(0, 9)), (slice(1, 2), slice(0, 9))], False),
    ],
    ids=["halves", "phases of a stride", "strided windows", "entries"],
)
def test_taps_overlap_where_one_lies_between_the_places_of_another(boxes: list[Box], overlaps: bool) -> None:
    found = read_grid(parts(boxes))
    assert isinstance(found, TapGrid)
    assert found.overlaps is overlaps


def test_an_axis_with_one_position_is_a_window_beside_one_that_slides() -> None:
    boxes = [(slice(i, i + 6), slice(j, j + 1)) for i, j in product(range(3), range(2))]
    slid, single = read_grid(parts(boxes)), read_grid(parts([box for box in boxes if box[0].start == 0]))
    assert isinstance(slid, TapGrid) and isinstance(single, TapGrid)
    assert (slid.windows, slid.entries) == ((TapAxis(0, 0, 1, 3), TapAxis(1, 0, 1, 2)), ())
    assert (single.windows, single.entries) == ((), (TapAxis(1, 0, 1, 2),))


def test_whole_tensors_are_no_parts() -> None:
    assert read_grid((gs.Variable("a", np.float32, (2, 3)), gs.Variable("b", np.float32, (2, 3)))) is None
