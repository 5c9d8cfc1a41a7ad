"""Models whose weights lie beside them: taken, converted and written, also beyond protobuf's 2 GB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from attnexport.benchmarks.conversion import chain
from attnexport.errors import InputError
from attnexport.export.precision import convert, to_half_model
from attnexport.runtime.sessions import large_model
from attnexport.runtime.sessions.large_model import is_heavy, open_model, save_model
from attnexport.runtime.sessions.open import open_session


@pytest.fixture
def small_files(monkeypatch):
    """As if one file held a megabyte, and half of one were much to pack."""
    monkeypatch.setattr(large_model, "ONE_FILE", 1 << 20)
    monkeypatch.setattr(large_model, "_MAPPED", 1 << 18)
    monkeypatch.setattr(large_model, "_PACKED", 1 << 19)


def test_a_small_model_is_one_file(tmp_path):
    model = chain(1)
    assert save_model(model, tmp_path / "m.onnx") == (tmp_path / "m.onnx",)
    assert onnx.load(tmp_path / "m.onnx") == model


def test_a_large_one_has_its_weights_beside_it_and_runs_from_there(tmp_path, small_files):
    model, path = convert(chain(17)).model, tmp_path / "m.onnx"
    before = model.SerializeToString()
    (tmp_path / "m.onnx.data").write_bytes(b"what was there before")
    assert save_model(model, path) == (path, tmp_path / "m.onnx.data")
    assert model.SerializeToString() == before
    assert path.stat().st_size < 1 << 14
    x = np.random.default_rng(0).normal(size=(2, 2048)).astype(np.float32)
    found = []
    for backend in ("onnxruntime", "emulated"):
        session = open_session(path, backend)
        found.append(session.run({"x": x})[session.output_names[0]])
        session.close()
    expected = x.astype(np.float64)
    for weight in chain(17).graph.initializer:
        expected = np.maximum(expected @ numpy_helper.to_array(weight).astype(np.float64), 0)
    for got in found:
        np.testing.assert_allclose(got, expected, atol=2e-2)


def test_a_large_one_is_opened_from_memory_as_it_is_from_disk(tmp_path, small_files):
    model, x = chain(17), np.random.default_rng(1).normal(size=(2, 2048)).astype(np.float32)
    save_model(model, tmp_path / "m.onnx")
    with open_model(model, optimize=False) as held, open_session(tmp_path / "m.onnx", "onnxruntime") as read:
        np.testing.assert_allclose(*(s.run({"x": x})[s.output_names[0]] for s in (held, read)), atol=1e-6)


@pytest.mark.parametrize("mapped", [0, 1 << 30])
def test_other_outputs_may_be_asked_for_and_the_model_stays_as_it_is(mapped, monkeypatch):
    monkeypatch.setattr(large_model, "_MAPPED", mapped)
    model, x = chain(2), np.random.default_rng(1).normal(size=(2, 2048)).astype(np.float32)
    before = model.SerializeToString()
    inner = model.graph.node[0].output[0]
    with open_model(model, outputs=[onnx.ValueInfoProto(name=inner)], optimize=False) as session:
        (weight, *_) = model.graph.initializer
        np.testing.assert_allclose(session.run({"x": x})[inner], x @ numpy_helper.to_array(weight), atol=1e-4)
    assert model.SerializeToString() == before


def test_sizes_stay_in_the_graph_however_many(tmp_path, small_files):
    """ONNX Runtime reads them while it loads a model, and not from another file."""
    count = 700
    split = helper.make_node("Split", ["y", "sizes"], [f"part{i}" for i in range(count)], axis=1)
    model = chain(17)
    (last,) = model.graph.output
    split.input[0] = last.name
    width = last.type.tensor_type.shape.dim[1].dim_value
    sizes = np.array([width - count + 1, *[1] * (count - 1)], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(sizes, "sizes"))
    model.graph.node.append(split)
    model.graph.output.append(onnx.ValueInfoProto(name="part1"))
    save_model(model, tmp_path / "m.onnx")
    x = np.ones((2, 2048), np.float32)
    with open_model(model, optimize=False) as held, open_session(tmp_path / "m.onnx", "onnxruntime") as read:
        for session in (held, read):
            assert session.run({"x": x})["part1"].shape == (2, 1)


@pytest.mark.parametrize(
    ("mapped", "packed", "given"),
    [(1 << 30, 1 << 31, (bytes, True)), (0, 1 << 31, (Path, True)), (0, 0, (Path, False))],
)
def test_what_is_heavy_is_mapped_and_not_packed(mapped, packed, given, monkeypatch):
    monkeypatch.setattr(large_model, "_MAPPED", mapped)
    monkeypatch.setattr(large_model, "_PACKED", packed)
    seen = []

    def opened(model, *, prepack=True, **_):
        seen.append((bytes if isinstance(model, bytes) else Path, prepack))

    monkeypatch.setattr(large_model, "OrtSession", opened)
    open_model(chain(2))
    assert seen == [given]


def test_a_heavy_file_is_one_with_much_weight_in_it_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(large_model, "_PACKED", 1 << 20)
    small, inside, beside = (tmp_path / f"{name}.onnx" for name in ("small", "inside", "beside"))
    for path, size in ((small, 1), (inside, 2 << 20), (beside, 1)):
        path.write_bytes(bytes(size))
    beside.with_name("beside.onnx.data").write_bytes(bytes(2 << 20))
    assert [is_heavy(path) for path in (small, inside, beside, tmp_path / "none.onnx")] == [False, True, True, False]


def test_nothing_of_a_large_one_is_lost(tmp_path, small_files):
    model = chain(17)
    model.doc_string, model.producer_name, model.graph.doc_string = "doc", "somebody", "graph"
    model.metadata_props.add(key="k", value="v")
    model.graph.value_info.add(name="m0")
    save_model(model, tmp_path / "m.onnx")
    loaded = onnx.load(tmp_path / "m.onnx")
    for tensor in loaded.graph.initializer:  # where its data came from is all that loading leaves behind
        tensor.ClearField("data_location")
        del tensor.external_data[:]
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")
    assert loaded == model


def test_weights_that_were_not_loaded_are_named(tmp_path, small_files):
    save_model(chain(17), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"the data of weight 'w0' is not loaded\. load the model with onnx\.load"):
        to_half_model(onnx.load(tmp_path / "m.onnx", load_external_data=False), [])
    typed = to_half_model(onnx.load(tmp_path / "m.onnx"), [])
    assert {tensor.data_type for tensor in typed.graph.initializer} == {onnx.TensorProto.FLOAT16}


@pytest.mark.sweep
def test_a_model_beyond_two_gigabytes_is_written_opened_and_converted(tmp_path):
    model, x = chain(2300), np.ones((1, 2048), np.float32)
    assert len(save_model(model, tmp_path / "m.onnx")) == 2
    typed = convert(model).model
    del model
    assert len(save_model(typed, tmp_path / "half.onnx")) == 1
    found = []
    for file in ("m.onnx", "half.onnx"):
        with open_session(tmp_path / file, "onnxruntime") as session:
            found += session.run({"x": x}).values()
    assert np.isfinite(found[0]).all() and found[0].any()
    np.testing.assert_allclose(found[1], found[0], atol=2e-2)
