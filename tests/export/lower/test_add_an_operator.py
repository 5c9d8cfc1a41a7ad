"""The recipe for an operator: a file for the operator, a file for each lowering, one line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import pytest
from recipes import flip, flip_gather, flip_slice

from attnexport.errors import UnsupportedModelError
from attnexport.export import domain
from attnexport.export.domain import DOMAIN, OPERATORS, VERSION, Operator, add_bodies
from attnexport.export.lower import LOWERINGS, LoweringResult, lower
from attnexport.runtime.sessions.ort import OrtSession

FLIP = Operator("Flip", flip.SCHEMA, flip.reference, flip.body)
FORMS = (*LOWERINGS, flip_gather.LOWERING, flip_slice.LOWERING)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One line in the table of operators."""
    monkeypatch.setattr(domain, "OPERATORS", {**OPERATORS, "Flip": FLIP})
    domain.register_schemas()
    yield
    onnx.defs.deregister_schema("Flip", VERSION, DOMAIN)


def model(shape: Sequence[int | str], axis: int) -> onnx.ModelProto:
    node = onnx.helper.make_node("Flip", ["x"], ["y"], name="flip", domain=DOMAIN, axis=axis)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:])
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)


def error(exported: onnx.ModelProto, x: np.ndarray, axis: int) -> float:
    with OrtSession(exported.SerializeToString()) as session:
        return float(np.abs(session.run({"x": x})["y"] - flip.reference(x, axis=axis)).max())


def lowered(shape: Sequence[int | str], axis: int) -> LoweringResult:
    return lower(model(shape, axis), ("ort-cpu",), FORMS)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_body_is_the_reference(axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    assert error(add_bodies(model(x.shape, axis)), x, axis) == 0


@pytest.mark.parametrize(
    ("shape", "axis", "operator", "chosen", "refused"),
    [
        ((2, 3, 5), 1, "Slice", "flip_slice", {}),
        ((2, "n", 5), 1, "Slice", "flip_slice", {"flip_gather": "the length of the axis is free"}),
        ((2, 1, 1, 3, 4), 3, "Gather", "flip_gather", {"flip_slice": "ranks above 4 are slow"}),
    ],
    ids=["the cheaper one", "free length", "high rank"],
)
def test_the_cheapest_lowering_that_does_not_refuse_is_built(
    shape: tuple[int | str, ...], axis: int, operator: str, chosen: str, refused: dict[str, str]
) -> None:
    result = lowered(shape, axis)
    (applied,) = result.applied
    assert (applied.op, applied.lowering) == ("Flip", chosen)
    assert {name: applied.refused[name] for name in refused} == refused
    assert [node.op_type for node in result.model.graph.node] == [operator]
    x = np.random.default_rng(0).standard_normal([3 if size == "n" else size for size in shape]).astype(np.float32)
    assert error(result.model, x, axis) == 0


def test_an_operator_that_every_lowering_refuses_is_an_error_with_all_reasons() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        lowered((2, 1, 1, "n", 4), 3)
    for reason in ("the length of the axis is free", "ranks above 4 are slow"):
        assert reason in str(caught.value)
