"""One graph for every choice of layers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from attnexport.export.quantise.calibrate import ranges
from attnexport.export.quantise.formats import FP8, INT8
from attnexport.export.quantise.pairs import with_pairs
from attnexport.export.quantise.toggle import FLAGS, toggle_graph


@pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)
def test_each_choice_computes_what_the_model_with_these_layers_does(kind, index, layers, feeds, run) -> None:
    found = ranges(index.model, [one.data for one in layers], feeds, "minmax")
    graph = toggle_graph(index, layers, found, kind)
    onnx.checker.check_model(graph.model, full_check=True)
    assert graph.nodes == ("c", "d", "g", "y", "z")
    assert graph.only("d").tolist() == [False, True, False, False, False]
    assert graph.leaving({"c", "z"}).tolist() == [False, True, True, True, False]
    results = []
    for left in (set(), {"c"}, {"d", "y"}, set(graph.nodes)):
        chosen = [one for one in layers if one.node not in left]
        want = run(with_pairs(index, chosen, found, kind), feeds[0])
        got = run(graph.model, {**feeds[0], FLAGS: graph.leaving(left)})
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value)
        results.append(got["y"])
    assert len({result.tobytes() for result in results}) == len(results), "every choice matters"
