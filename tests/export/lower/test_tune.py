"""--tune: forms are timed on the backend, the quickest is taken, and what was measured is not measured again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from attnexport.errors import InputError
from attnexport.export.domain import DOMAIN, VERSION
from attnexport.export.lower import LOWERINGS, lower
from attnexport.export.lower.tune import Tuner, opt_shapes
from attnexport.export.progress import Silent
from attnexport.runtime.spec import Axis, TensorSpec

GEOMETRY = {"kernel": [3, 3], "dilation": [1, 1], "pads": [1] * 4, "stride": [1, 1]}


def attention_model(symbol: str | int = "batch") -> onnx.ModelProto:
    """x (batch, 8, 6, 6) through one LocalAttention of two heads, twice."""
    shape = helper.make_node("Constant", [], ["heads"], value_ints=[0, 2, 4, 6, 6])
    split = helper.make_node("Reshape", ["x", "heads"], ["split"], name="split")
    first = helper.make_node("LocalAttention", ["split"] * 3, ["a"], name="first", domain=DOMAIN, **GEOMETRY)
    second = helper.make_node("LocalAttention", ["a"] * 3, ["y"], name="second", domain=DOMAIN, **GEOMETRY)
    graph = helper.make_graph(
        [shape, split, first, second],
        "graph",
        [helper.make_tensor_value_info("x", 1, [symbol, 8, 6, 6])],
        [helper.make_tensor_value_info("y", 1, [symbol, 2, 4, 6, 6])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


SPEC = TensorSpec("x", "float32", (Axis(1, 3, 8, "batch"), Axis.fixed(8), Axis.fixed(6), Axis.fixed(6)))


def test_shapes_at_the_optimum() -> None:
    shapes = opt_shapes(attention_model(), [SPEC])
    assert shapes["x"] == (3, 8, 6, 6)
    assert shapes["a"] == shapes["y"] == (3, 2, 4, 6, 6)


def test_what_was_timed_decides_and_is_recorded(tmp_path: Path) -> None:
    model, reporter = attention_model(), Silent()
    tuner = Tuner(opt_shapes(model, [SPEC]), "ort-cpu", reporter, tmp_path / "tune.json")
    result = lower(model, ["ort-cpu"], measure=tuner.times)
    forms = {rule.name for rule in LOWERINGS if rule.op == "LocalAttention"}
    for applied in result.applied:
        assert set(applied.milliseconds) == forms
        assert applied.lowering == min(applied.milliseconds, key=lambda name: applied.milliseconds[name])
        assert set(applied.refused) == forms - {applied.lowering}
        for reason in applied.refused.values():
            assert reason.startswith("valid, but slower on ort-cpu: measured ") and " ms for " in reason
    # The second node has the same geometry, shapes and constants as the first: it is looked up.
    assert reporter.notes == [f"timing {len(forms)} forms of LocalAttention first"]


@pytest.mark.parametrize("quickest", ["local_attention_shifts", "local_attention_blocks"])
def test_the_quickest_is_built_whatever_the_estimate(quickest: str) -> None:
    forms = [rule.name for rule in LOWERINGS if rule.op == "LocalAttention"]
    times = {name: 1.0 if name == quickest else 2.0 for name in forms}
    result = lower(attention_model(), ["ort-cpu"], measure=lambda node, right, where: times)
    assert [applied.lowering for applied in result.applied] == [quickest] * 2


def test_the_next_export_reads_the_cache(tmp_path: Path) -> None:
    model, cache = attention_model(), tmp_path / "deep" / "tune.json"
    shapes = opt_shapes(model, [SPEC])
    first = lower(model, ["ort-cpu"], measure=Tuner(shapes, "ort-cpu", Silent(), cache).times)
    assert len(json.loads(cache.read_text())) == 1
    reporter = Silent()
    again = lower(model, ["ort-cpu"], measure=Tuner(shapes, "ort-cpu", reporter, cache).times)
    assert reporter.notes == []
    assert [a.milliseconds for a in again.applied] == [a.milliseconds for a in first.applied]


@pytest.mark.parametrize("content", ["", "not json", "[1]"])
def test_a_broken_cache_is_measured_anew(content: str, tmp_path: Path) -> None:
    cache = tmp_path / "tune.json"
    cache.write_text(content)
    model, reporter = attention_model(), Silent()
    lower(model, ["ort-cpu"], measure=Tuner(opt_shapes(model, [SPEC]), "ort-cpu", reporter, cache).times)
    assert len(reporter.notes) == 1 and len(json.loads(cache.read_text())) == 1


def test_unknown_shapes_fall_back_to_the_estimate(tmp_path: Path) -> None:
    tuner = Tuner({}, "ort-cpu", Silent(), tmp_path / "tune.json")
    result = lower(attention_model(), ["ort-cpu"], measure=tuner.times)
    assert all(applied.milliseconds == {} for applied in result.applied)
    assert all("an estimate of" in reason for applied in result.applied for reason in applied.refused.values())


def test_targets_that_cannot_be_timed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tune cannot time lowerings for tensorrt-rtx"):
        Tuner({}, "tensorrt-rtx", Silent(), tmp_path / "tune.json")


def test_tuned_and_estimated_models_agree(tmp_path: Path) -> None:
    import onnxruntime

    model = attention_model()
    x = np.random.default_rng(0).standard_normal((2, 8, 6, 6)).astype(np.float32)
    tuner = Tuner(opt_shapes(model, [SPEC]), "ort-cpu", Silent(), tmp_path / "tune.json")
    results = [lower(model, ["ort-cpu"], measure=measure).model for measure in (None, tuner.times)]
    a, b = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for m in results
    )
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)  # two orders of summation in FP32, values near one
