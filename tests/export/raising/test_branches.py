"""Branches are alike where every operator and every leaf is, but for taps and constants."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.raising.branches import LIMIT, Branches, BranchOperator, Numbers, Same, TapLeaf


def search(model: onnx.ModelProto) -> tuple[Any, Branches]:
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model))
    found = Branches()
    return found.find(tuple(graph.nodes[-1].inputs)), found


def test_a_tree_names_what_is_the_same_and_what_is_not(branches: Any) -> None:
    tree, found = search(branches("m{i} = Mul({s}, x1) r{i} = Add(m{i}, c{i})"))
    assert isinstance(tree, BranchOperator) and (tree.node.op, tree.rank) == ("Add", 3)
    product, constants = tree.inputs
    assert isinstance(constants, Numbers) and [v[0, 0] for v in constants.values] == [1, 5, 9]
    assert (
        isinstance(product, BranchOperator)
        and isinstance(product.inputs[1], Same)
        and product.inputs[1].value.name == "x1"
    )
    (parts, _) = product.inputs
    assert isinstance(parts, TapLeaf) and parts.rank == 3
    assert found.grids == [parts.grid] and parts.grid.base.name == "x0"


@pytest.mark.parametrize(
    "body",
    ["r{i} = Relu({s})", "r{i} = Softmax<axis = {i}>({s})", "m{i} = Cast<to = 1>({s}) r{i} = LeakyRelu(m{i})"],
)
def test_operators_that_a_tap_axis_could_change_end_the_search(branches: Any, body: str) -> None:
    assert search(branches(body))[0] is None


def test_attributes_and_axes_must_be_the_same(branches: Any) -> None:
    assert search(branches("r{i} = ReduceSum<keepdims = 1>({s}, a{i})"))[0] is None
    assert search(branches("m{i} = Mul({s}, x1) r{i} = Unsqueeze(m{i}, a{i})"))[0] is None


def test_a_branch_may_have_so_many_operators(branches: Any) -> None:
    def long(count: int) -> str:
        return " ".join(f"n{{i}}_{j} = Neg({'{s}' if j == 0 else f'n{{i}}_{j - 1}'})" for j in range(count))

    for count, alike in ((LIMIT - 2, True), (LIMIT, False)):
        tree = search(branches(f"{long(count)} r{{i}} = Abs(n{{i}}_{count - 1})"))[0]
        assert (tree is not None) is alike
