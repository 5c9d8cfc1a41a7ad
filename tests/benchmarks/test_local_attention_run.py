"""The runner from the layer to the table, the JSON and the picture. Of what is timed, only that it is there is asserted."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from torch import nn

from attnexport.benchmarks import local_attention, local_attention_row
from attnexport.benchmarks.local_attention_bars import Bar, bars
from attnexport.benchmarks.local_attention_compile import CompiledCrash, try_in_child
from attnexport.benchmarks.local_attention_contenders import (
    Contender,
    WrongContender,
    check,
    eager_contender,
    plain_model,
    reference,
)
from attnexport.benchmarks.local_attention_dot import StandAlone
from attnexport.benchmarks.local_attention_engines import Built, build, engines, gathered_values, gathering
from attnexport.benchmarks.local_attention_measure import Ratio, interleaved, ratio
from attnexport.benchmarks.local_attention_memory import peak_bytes
from attnexport.benchmarks.local_attention_profile import shares, time_by_operator
from attnexport.benchmarks.local_attention_row import Row, Settings, measure
from attnexport.benchmarks.local_attention_suite import Layer
from attnexport.runtime.spec import Axis, TensorSpec

TINY = Layer("dot", 3, (1, 16, 6, 6), lambda: StandAlone(16, 3, heads=2))


def row(name: str = "dot", kernel: int = 7, **ratios: float) -> Row:
    return Row(
        layer=name, family=name, kernel=kernel, shape=[1, 8, 4, 4], rounds=3,
        milliseconds={"attnexport": 2.0, **{other: 2.0 * value for other, value in ratios.items()}},
        ratios={other: Ratio(value, 0.9 * value, 1.1 * value) for other, value in ratios.items()},
        errors={}, mflop=100.0, sgemm_gflops=50.0, nodes={"plain": 20, "attnexport": 30},
        build_seconds={"plain": 1.0, "attnexport": 1.0}, rewrites={},
    )  # fmt: skip


def test_a_tiny_layer_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_attention, "choose", lambda pattern, batch: (TINY,))
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "figures.png"
    wants = ["--quick", "--rounds", "3", "--json", str(figures)]
    if importlib.util.find_spec("matplotlib") is not None:
        wants += ["--png", str(picture)]
    assert local_attention.main(wants) == 0
    printed = capsys.readouterr().out
    assert "dot-k3-16x6x6-b1" in printed
    assert "plain export, geometric mean" in printed
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert content["threads"] == 2
    assert content["versions"]["torch"] == torch.__version__
    (found,) = content["layers"]
    assert found["rounds"] == 3
    assert set(found["milliseconds"]) == {"plain", "attnexport", "eager"}
    assert set(found["ratios"]) == {"plain", "eager"}
    assert set(found["errors"]) == {"plain", "attnexport", "eager"}
    assert all(error < 1e-4 for error in found["errors"].values())
    assert found["nodes"]["plain"] > 0
    assert picture.exists() == ("--png" in wants)


def test_a_failing_compiler_is_said_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Contender:
        raise RuntimeError("no C++ compiler\nmore words")

    monkeypatch.setattr(local_attention_row, "compiled_contender", missing)
    settings = Settings(rounds=3, budget=0, memory=False)
    found = measure(TINY, settings, lambda _: None)
    assert found.notes == ["torch.compile failed: no C++ compiler"]
    assert "compile" not in found.ratios
    assert 0 < sum(found.operators.values()) <= 1.0001
    assert len(found.operators) <= 5


def test_a_child_that_ends_badly_is_told_of() -> None:
    with pytest.raises(CompiledCrash, match=r"^the compiled layer ends its process \(exit 1: StopIteration\)$"):
        try_in_child("no such layer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y * 1.001, "eager is off by 1.0e-03 of the largest value (1e-04 is allowed)"),
        (lambda y: y[:, :, :-1], "eager gives shape (1, 16, 5, 6), the layer (1, 16, 6, 6)"),
        (lambda y: y * np.nan, "eager is off by nan"),
    ],
)
def test_a_wrong_contender_is_refused(change: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    module, x = TINY.build()
    right = eager_contender("eager", module, x)
    truth = reference(module, x)
    assert truth.dtype == np.float64
    assert check(right, truth) < 1e-5
    assert next(module.parameters()).dtype == torch.float32, "the layer is FP32 again"
    with pytest.raises(WrongContender) as refused:
        check(Contender("eager", right.call, lambda: change(right.output())), truth)
    assert message in str(refused.value)


def test_a_wrong_contender_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(local_attention, "choose", lambda pattern, batch: (TINY,))
    monkeypatch.setattr("attnexport.benchmarks.local_attention_contenders.ERROR_LIMIT", 0.0)
    assert local_attention.main(["--quick"]) == 1
    captured = capsys.readouterr()
    assert "dot-k3-16x6x6-b1 stops the run WrongContender: plain is off by" in " ".join(captured.err.split())
    assert captured.out == ""


def test_a_pattern_without_a_layer_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert local_attention.main(["--layers", "nothing"]) == 2
    assert "--list names them" in " ".join(capsys.readouterr().err.split())


def test_rounds_turn_and_warm_up_is_not_counted() -> None:
    calls: list[str] = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, budget=60)
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    order = [name for name, _ in itertools.groupby(calls)]
    assert order == list("abababa")  # warm a, warm b; then a b, b a, b a: neighbours run together


def test_the_budget_ends_the_rounds_but_not_before_five() -> None:
    times = interleaved({"a": lambda: None, "b": lambda: None}, 50, budget=0)
    assert len(times["a"]) == len(times["b"]) == 5


def test_a_ratio_is_of_medians_and_its_interval_holds_it() -> None:
    slow, fast = np.array([9.0, 10.0, 11.0, 100.0, 10.0]), np.array([5.0, 5.0, 4.0, 5.0, 50.0])
    found = ratio(slow, fast)
    assert found.value == 2.0
    assert found.low <= 2.0 <= found.high
    assert found == ratio(slow, fast), "the draws are seeded"
    assert ratio(slow, slow) == Ratio(1.0, 1.0, 1.0), "rounds are drawn as pairs"
    assert str(found) == "2.00x"


def test_the_profile_is_summed_by_operator_without_the_first_runs() -> None:
    def event(name: str, op: str, dur: int) -> dict[str, object]:
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": op}}

    warm = [event("m1", "MatMul", 900), event("a", "Add", 900)]
    events = [
        *warm,
        event("m1", "MatMul", 50),
        event("m2", "MatMul", 999),
        event("m2", "MatMul", 25),
        event("a", "Add", 25),
    ]
    other: dict[str, object] = {"cat": "Session", "name": "model_run", "dur": 5000}
    assert shares([other, *events], skip=1) == {"MatMul": 0.75, "Add": 0.25}
    assert list(shares([*events], skip=1)) == ["MatMul", "Add"]


def doubling(megabytes: int) -> onnx.ModelProto:
    """y = mean of a sine of x spread out to so many MiB: two tensors of that size live at a time."""
    text = f"""<ir_version: 8, opset_import: ["": 18]>
    g (float[1, 1024] x) => (float[1, 1] y) {{
        shape = Constant <value = int64[2] {{{256 * megabytes}, 1024}}> ()
        spread = Expand (x, shape)
        curve = Sin (spread)
        y = ReduceMean <keepdims: int = 1> (curve)
    }}"""
    return onnx.parser.parse_model(text)


def test_operators_of_a_model_are_timed() -> None:
    found = time_by_operator(doubling(1), torch.ones(1, 1024), runs=2)
    assert set(found) >= {"Expand", "Sin", "ReduceMean"}
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps no high-water mark")
def test_peak_memory_is_that_of_the_runs() -> None:
    x = np.ones((1, 1024), np.float32)
    small, large = peak_bytes(doubling(1), x), peak_bytes(doubling(64), x)
    assert small is not None
    assert large is not None
    assert small < 16 * 2**20
    # two tensors; the planned block of the second run comes beside the first run's pieces, which the arena keeps
    assert 125 * 2**20 <= large - small <= 275 * 2**20


def test_bars_are_said_as_measured() -> None:
    rows = [row(plain=9.0, eager=4.0), row(plain=4.0, eager=9.0, compile=1.0), row("lrnet", plain=1.0)]
    rows[0].peak_mib = {"plain": 100.0, "attnexport": 20.0}
    rows[2].peak_mib = {"plain": 100.0, "attnexport": 40.0}
    found = [(bar.measured, bar.reached) for bar in bars(rows)]
    assert found == [
        (pytest.approx(36 ** (1 / 3)), False),
        (4.0, False),
        (1.0, False),
        (pytest.approx(6.0), True),
        (pytest.approx(1.0), False),
        (0.4, False),
        (None, None),
    ]
    assert str(bars(rows)[3]) == "torch eager, geometric mean: 6.00x (at least 4x): reached"
    assert (
        str(bars(rows)[5])
        == "peak memory with k=7 over the plain export's, largest: 0.40x (at most 0.35x): NOT reached"
    )
    assert str(Bar("one", 2, None)) == "one: - (at least 2x): not measured"
    rows[1].engines = {"fp32": Built(9), "fp16": Built(9, ("gather",))}
    assert bars(rows)[6].measured == 50.0


def test_the_limit_is_the_arithmetic_at_the_measured_rate() -> None:
    found = row(plain=3.0)
    assert found.limit_ms == 2.0  # 100 MFLOP at 50 GFLOP/s
    assert found.of_limit == 1.0
    assert found.to_json()["of_limit"] == 1.0


def test_the_table_shows_a_row_without_all_contenders() -> None:
    from attnexport.benchmarks.local_attention_report import show

    console = Console(width=200, file=io.StringIO(), record=True)
    failed = row(plain=3.0)
    failed.notes = ["torch.compile failed: no C++ compiler"]
    failed.engines = {"fp16": Built(failure="too large")}
    show([failed], console)
    text = console.export_text()
    assert "3.00x" in text
    assert "dot: torch.compile failed: no C++ compiler" in text
    assert "dot: fp16 engine: FAILED: too large" in text


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_the_lowered_layer_builds_as_engines_without_a_gather() -> None:
    module, x = TINY.build()
    found = engines(module, x)
    assert {name: str(e) for name, e in found.items() if not e.good} == {}
    assert set(found) == {"fp32", "fp16"}
    assert all(engine.layers > 0 for engine in found.values())


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
def test_the_plain_export_is_seen_to_gather() -> None:
    module, x = TINY.build()
    model = plain_model(module, x)
    spec = TensorSpec(model.proto.graph.input[0].name, "float32", tuple(map(Axis.fixed, x.shape)))
    found = build(model, (spec,), "fp32")
    assert found.gathering
    assert not found.good


def test_a_gather_of_indices_is_no_gather_of_windows() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
    g (float[4, 3] x, int64[2] i) => (float[2, 3] y, int64[1] n) {
        s = Shape (x)
        first = Constant <value = int64[1] {0}> ()
        [sizes] n = Gather (s, first)
        [rows] y = Gather (x, i)
    }""")
    assert gathered_values(model) == {"rows"}
    layers = [
        {"name": "a", "nodes": ["sizes"]},
        {"name": "b", "nodes": ["rows"]},
        {"name": "_myl_GathMul", "nodes": []},
    ]
    assert gathering(layers, {"rows"}) == ["b", "_myl_GathMul"]


def test_every_module_of_the_suite_is_a_local_layer() -> None:
    from attnexport.benchmarks.local_attention_suite import SUITE

    kinds = {type(layer.make()) for layer in SUITE}
    assert len(kinds) == 8
    assert all(issubclass(kind, nn.Module) and "taps" in dir(kind) for kind in kinds)
