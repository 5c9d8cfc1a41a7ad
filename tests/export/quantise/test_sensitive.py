"""Finding the layers that must not be 8-bit: the rule, and a layer that was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnexport.errors import StageError
from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.quantise.calibrate import ranges
from attnexport.export.quantise.formats import INT8
from attnexport.export.quantise.layers import find_layers
from attnexport.export.quantise.pairs import toggle_graph
from attnexport.export.quantise.sensitive import LayerTrials, Sensitive, allowed_error, find_sensitive
from attnexport.export.search.evidence import Evidence, ReferenceRun
from attnexport.runtime.sessions.ort import OrtSession

DEPTH, WIDTH = 6, 16


@pytest.mark.parametrize(
    ("errors", "allowed"),
    [
        ([3.0], math.inf),
        ([3.0, 100.0], math.inf),
        ([1.0, 1.0, 100.0], 2 * math.sqrt(2)),
        ([1.0] * 25, 2 * math.sqrt(23)),
        ([0.0] * 9 + [5.0], 0.0),
    ],
    ids=["one", "two have no few", "the worst of three", "a tenth of 25", "one makes it all"],
)
def test_allowed_is_twice_what_is_left_without_the_worst_tenth(errors: list[float], allowed: float) -> None:
    assert allowed_error(errors) == pytest.approx(allowed)


def chain(made, outlier: float):
    """Linear layers; ``outlier`` scales a channel before layer 3, whose weight undoes it."""
    draw = np.random.default_rng(0).standard_normal
    constants = {f"w{i}": (draw((WIDTH, WIDTH)) / 4).astype("f4") for i in range(DEPTH)}
    constants["w2"][:, 5] *= outlier
    constants["w3"][5] /= outlier
    lines = [f"h{i} = MatMul({'x' if i == 0 else f'a{i - 1}'}, w{i})  a{i} = Relu(h{i})" for i in range(DEPTH)]
    return made(f"net (float[N,{WIDTH}] x) => (float[N,{WIDTH}] a{DEPTH - 1}) {{ {'  '.join(lines)} }}", constants)


def searched(model, factor: float = 2.0, shift: float = 1.0) -> Sensitive:
    """PyTorch's error is that of all layers in 8 bits; held-out inputs are ``shift`` times as large."""
    index = GraphIndex(normalise(model))
    layers, _ = find_layers(index, {})
    draw = np.random.default_rng(1).standard_normal
    inputs = [{"x": draw((32, WIDTH)).astype("f4")} for _ in range(2)]
    graph = toggle_graph(index, layers, ranges(index.model, [one.data for one in layers], inputs, "minmax"), INT8)
    session = OrtSession(graph.model.SerializeToString(), optimize=False)
    plain = OrtSession(model.SerializeToString(), optimize=False)
    name = session.output_names[0]

    def evidence(scale: float) -> Evidence:
        runs = []
        for feed in inputs:
            scaled = {"x": feed["x"] * np.float32(scale)}
            truth = plain.run(scaled)[name].astype(np.float64)
            eight = session.run({**scaled, "attnexport/quantised": graph.leaving(())})[name]
            runs.append(ReferenceRun("samples", scaled, {name: truth}, {name: eight}))
        return Evidence(runs)

    return find_sensitive(
        LayerTrials(graph, session, evidence(1.0)), LayerTrials(graph, session, evidence(shift)), factor
    )


def test_nothing_is_left_where_the_error_is_spread(made) -> None:
    found = searched(chain(made, 1.0))
    assert found.left == ()
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.searched == found.all_quantised
    assert found.searched.worst == pytest.approx(1.0)


def test_a_planted_outlier_is_found_and_left(made) -> None:
    found = searched(chain(made, 1000.0))
    assert found.left == ("h3",)
    assert found.shares["h3"] > 0.95
    assert found.all_quantised.worst == pytest.approx(1.0), (
        "the gate alone, against PyTorch's own, would not have seen it"
    )
    assert found.searched.worst < 0.2


def test_more_layers_are_left_until_the_gate_holds_on_held_out_inputs(made) -> None:
    """The gate: what is held out must err less than 0.5 times as much as PyTorch with all layers in 8 bits."""
    found = searched(chain(made, 1.0), factor=0.5)
    assert 0 < len(found.left) < DEPTH
    assert found.score.worst <= 0.5
    assert found.left[0] == max(found.shares, key=lambda node: found.shares[node])


def test_where_no_layer_passes_it_is_said(made) -> None:
    with pytest.raises(StageError, match="no set of 8-bit layers has at most 1e-06 times PyTorch's error on held-out"):
        searched(chain(made, 1.0), factor=1e-6)
