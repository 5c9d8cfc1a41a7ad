"""Tensor by tensor in chunks that bound the memory; errors by module; the part that is cut out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.debug.modules import Types, module_rows, tensor_rows
from attnexport.export.debug.reproduce import smallest_part
from attnexport.export.debug.sweep import TensorReader, sweep
from attnexport.export.graph.origin import Origin
from attnexport.export.verify.locate import Place, locate
from attnexport.export.verify.sides import Side, Visit
from attnexport.export.verify.trail import Trail

SIZE = 64


class Held(Side):
    """Arrays at hand, as an original would give them."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)
        self.names = frozenset(arrays)

    def stream(self, names: Collection[str], see: Visit) -> None:
        for name in names:
            see(name, self.arrays[name])


def model_of(
    *nodes: tuple[str, list[str], str, str], weights: Mapping[str, np.ndarray], kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """Nodes as (operator, inputs, output, name) over an input ``x``; the last output is the model's."""
    made = [helper.make_node(op, inputs, [output], name=name) for op, inputs, output, name in nodes]
    ends = [helper.make_tensor_value_info(name, kind, [SIZE]) for name in ("x", nodes[-1][2])]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def chain(length: int, factor: float) -> tuple[onnx.ModelProto, dict[str, np.ndarray], Held]:
    """A chain of products with ``factor`` where the original has products with 1."""
    nodes = [("Mul", [f"t{i - 1}" if i else "x", "w"], f"t{i}", f"m{i}/Mul") for i in range(length)]
    x = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    model = model_of(*nodes, weights={"w": np.full(SIZE, factor, np.float32)})
    return model, {"x": x}, Held({f"t{i}": x.astype(np.float64) for i in range(length)})


def quiet(done: float, text: str) -> None:
    assert 0 <= done < 1


@pytest.mark.parametrize("chunk", [1, 4 * SIZE, 10 * SIZE, 1 << 20])
def test_every_tensor_is_compared_whatever_the_chunk_and_no_more_is_held(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, feeds, truth = chain(9, 1.01)
    with TensorReader(model) as taps:
        held: list[int] = []
        run = taps.run

        def counted(feeds: Mapping[str, np.ndarray], tensors: Sequence[str]) -> dict[str, np.ndarray]:
            got = run(feeds, tensors)
            held.append(sum(array.nbytes for array in got.values()))
            return got

        monkeypatch.setattr(taps, "run", counted)
        found = sweep(taps, truth, feeds, quiet, chunk)
    assert list(found) == [f"t{i}" for i in range(9)]
    for i, one in enumerate(found.values()):
        assert one.error == pytest.approx(1.01 ** (i + 1) - 1, rel=1e-4)
        assert (one.shape, one.dtype) == ((SIZE,), "float32")
        assert one.reference_rms == pytest.approx(np.sqrt(np.mean(np.square(feeds["x"], dtype=np.float64))))
    assert max(held) <= max(chunk, 4 * SIZE), "a tensor larger than a chunk is looked at alone"
    assert sum(held) == 9 * 4 * SIZE


def test_what_is_of_another_shape_is_left_out_and_whole_numbers_and_infinities_count() -> None:
    model = model_of(
        ("Mul", ["x", "w"], "scaled", "a/Mul"),
        ("Cast", ["scaled"], "whole", "a/Cast"),
        ("Div", ["scaled", "zero"], "y", "b/Div"),
        weights={"w": np.full(SIZE, 2, np.float32), "zero": np.zeros(SIZE, np.float32)},
    )
    model.graph.node[1].attribute.append(helper.make_attribute("to", TensorProto.INT64))
    x = np.ones(SIZE, np.float32)
    truth = Held(
        {"scaled": np.ones((2, SIZE)), "whole": np.full(SIZE, 4), "y": np.full(SIZE, 3.0), "other": np.ones(1)}
    )
    with TensorReader(model) as taps:
        found = sweep(taps, truth, {"x": x}, quiet)
    assert set(found) == {"whole", "y"}
    assert found["whole"].error == 0.5
    assert found["y"].error == np.inf
    assert found["y"].reference_rms == 3.0


def test_weights_are_in_a_file_while_the_taps_are_open_and_gone_afterwards() -> None:
    model, feeds, _ = chain(2, 3.0)
    (weight,) = model.graph.initializer
    weight.CopyFrom(numpy_helper.from_array(np.full((SIZE * SIZE, 1), 3, np.float32).reshape(SIZE, SIZE), "w"))
    with TensorReader(model) as taps:
        folder: Path = taps.folder
        assert taps.light.ByteSize() < 1000 < (folder / "weights").stat().st_size
        assert taps.run(feeds, ["t0"])["t0"] == pytest.approx(np.tile(feeds["x"] * 3, (SIZE, 1)))
    assert not folder.exists()


ORIGINS = {f"m{i}/Mul": Origin(f"m{i // 3}", "Part", f"net.py:{i}") for i in range(9)}


def test_errors_by_module_are_those_of_what_crosses_its_border() -> None:
    model, feeds, truth = chain(9, 1.01)
    del truth.arrays["t2"]
    truth.names -= {"t2"}
    with TensorReader(model) as taps:
        found = sweep(taps, truth, feeds, quiet)
        types = Types(taps.light, typed=False)
        rows = module_rows(taps.light, taps.flow, found, Trail(ORIGINS), types)
        tensors = tensor_rows(taps.flow, found, Trail(ORIGINS), types)
    assert [(r.module, r.kind, r.source, r.nodes, r.compared, r.type) for r in rows] == [
        ("m0", "Part", "net.py:0", 3, 2, "fp32"),
        ("m1", "Part", "net.py:3", 3, 3, "fp32"),
        ("m2", "Part", "net.py:6", 3, 3, "fp32"),
    ]
    assert rows[0].entering == 0.0, "the model's input is exact"
    assert (rows[0].leaving, rows[1].entering) == (None, None), "t2 could not be compared"
    assert rows[0].growth is None
    assert rows[1].leaving == rows[2].entering == found["t5"].error
    assert rows[2].leaving == found["t8"].error
    assert rows[2].growth == pytest.approx(found["t8"].error / found["t5"].error)
    assert [(t.name, t.node, t.op, t.module, t.source) for t in tensors][3] == ("t4", "m4/Mul", "Mul", "m1", "net.py:4")


def test_types_are_those_that_the_nodes_of_a_typed_model_make() -> None:
    model = model_of(
        ("Cast", ["x"], "h", "a/Cast"), ("Mul", ["h", "h"], "hh", "a/Mul"), ("Cast", ["hh"], "y", "b/Cast"), weights={}
    )
    for node, kind in ((model.graph.node[0], TensorProto.FLOAT16), (model.graph.node[2], TensorProto.FLOAT)):
        node.attribute.append(helper.make_attribute("to", kind))
    types = Types(model, typed=True)
    assert [types.of(name) for name in ("x", "h", "hh", "y")] == ["fp32", "fp16", "fp16", "fp32"]


def part_of(model: onnx.ModelProto, feeds: Any, truth: Held, allowed: float) -> tuple[Any, Place]:
    with TensorReader(model) as taps:
        found = sweep(taps, truth, feeds, quiet)
        output = model.graph.output[0].name
        place = locate(taps.flow, set(found), output, lambda names: {n: found[n].error for n in names}, 2.0**-24)
        assert place is not None
        types = Types(taps.light, typed=False)
        return smallest_part(taps, truth, feeds, place, found, types, allowed), place


def test_one_wrong_node_is_cut_out_alone() -> None:
    model, feeds, truth = chain(9, 1.0)
    model.graph.node[5].input[1] = "wrong"
    model.graph.initializer.append(numpy_helper.from_array(np.full(SIZE, 1.5, np.float32), "wrong"))
    part, place = part_of(model, feeds, truth, 1e-3)
    assert place.tensor == "t5"
    assert [node.name for node in part.model.graph.node] == ["m5/Mul"]
    assert [tensor.name for tensor in part.model.graph.initializer] == ["wrong"], "no weight that it does not read"
    assert (list(part.feeds), part.tensor) == (["t4"], "t5")
    assert part.relative == pytest.approx(0.5)


def test_an_error_that_nodes_add_up_to_is_cut_out_with_as_many_as_it_takes() -> None:
    model, feeds, truth = chain(40, 1.000095)
    with TensorReader(model) as taps:
        found = sweep(taps, truth, feeds, quiet)
        place = Place("t20", frozenset({"t20"}))
        part = smallest_part(taps, truth, feeds, place, found, Types(taps.light, typed=False), 5e-4)
    assert part is not None
    assert part.relative > 5e-4
    assert [node.name for node in part.model.graph.node] == [f"m{i}/Mul" for i in range(15, 21)], "1e-4 each, 6 of them"
    assert {name: array.dtype for name, array in part.feeds.items()} == {"t14": np.float32}


def test_where_nothing_fails_alone_there_is_no_part() -> None:
    model, feeds, truth = chain(6, 1.0001)
    with TensorReader(model) as taps:
        found = sweep(taps, truth, feeds, quiet)
        place = Place("t5", frozenset({"t5"}))
        assert smallest_part(taps, truth, feeds, place, found, Types(taps.light, typed=False), 1e-2) is None
