"""All passes of simplify run in order and report in one list."""

from __future__ import annotations

import onnx
from onnx import parser

from attnexport.export.graph.rewrites import Rewrite
from attnexport.export.simplify import simplify

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N, 3, 4] x, float[N, 3, 4] z) => (float[N, 12] y) <int64[1] twelve = {12}> {
  n = Shape<start = 0, end = 1>(z)  sizes = Concat<axis = 0>(n, twelve)
  e = Einsum<equation = "NIJ,NIJ->NIJ">(x, z)  y = Reshape(e, sizes) }"""


def test_every_pass_reports_in_the_order_in_which_it_runs() -> None:
    model = parser.parse_model(GRAPH)
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
    before = model.SerializeToString()
    result = simplify(model)
    assert model.SerializeToString() == before
    assert result.applied == (
        Rewrite("einsum_letters", "n2", "NIJ,NIJ->NIJ -> abc,abc->abc"),
        Rewrite("settle_shapes", "n3", "sizes [0, 12]"),
    )
    assert result.refused == ()
    onnx.checker.check_model(result.model, full_check=True)
