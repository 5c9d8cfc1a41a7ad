"""Axes through a Reshape."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from attnexport.export.graph.size import Size, parse
from attnexport.export.recognise.carry import carried
from attnexport.export.recognise.layout import OUTER, PLACE, POSITION, whole


def test_axes_that_a_reshape_copies_are_as_long_as_the_walk_knows_them() -> None:
    """Shape inference has only made-up names for the positions of windows over free axes."""
    data = gs.Variable("windows", np.float32, (2, "unk__1", "unk__2", 3, 3))
    shape = gs.Constant("shape", np.array([0, 0, 0, 9], np.int64))
    node = gs.Node("Reshape", inputs=[data, shape], outputs=[gs.Variable("y", np.float32, (2, "unk__1", "unk__2", 9))])
    positions = [whole(POSITION, axis, parse(f"s{axis} - 2")) for axis in (1, 2)]
    places = [whole(PLACE, axis, Size.number(3)) for axis in (1, 2)]
    outer = whole(OUTER, 0, Size.number(2))
    assert carried(node, (outer, *positions, *places)) == (outer, *positions, (*places[0], *places[1]))
