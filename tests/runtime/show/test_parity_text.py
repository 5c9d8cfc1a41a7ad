"""One glance: the way of an error in a line, the task's figure in a word."""

from __future__ import annotations

from typing import Any

import pytest

from attnexport.runtime.bundle.attribution import Attribution, Blame, StepFigures
from attnexport.runtime.bundle.figures import Figures
from attnexport.runtime.bundle.stage import Stage
from attnexport.runtime.show.result_text import error_lines, headline

FIGURES = Figures(1e-7, 1e-6, 1e-7, 1.0, 1.0, 10)


def _step(stage: str, precision: str, ratio: float, growth: float) -> StepFigures:
    return StepFigures(Stage(stage), precision, FIGURES, 1e-7, 1e-7, ratio, growth)


def _entry(form: str, output: str = "logits", blame: Blame | None = None) -> Attribution:
    steps = [
        _step("capture", "float32", 0.9, 0.9),
        _step("recognise", "float32", 0.9, 0.0),
        _step("lower", "float32", 0.8, -0.1),
    ]
    if form != "onnx-fp32":
        steps += [_step("typed", "float16", 0.6, 0.6), _step("engine", "float16", 0.65, 0.05)]
    return Attribution(form, output, ("random-min",), tuple(steps), blame)


WAY = "capture 0.90x  recognise +0.00x  lower -0.10x"
LONG = f"{WAY}  fp16 0.60x  engine (fp16) +0.05x"


def test_each_output_has_the_line_of_its_last_form() -> None:
    assert error_lines([_entry("onnx-fp32"), _entry("engine-fp16")]) == [f"logits: {LONG}"]


def test_who_is_to_blame_stands_behind_the_line_of_its_form() -> None:
    blame = Blame("lower", "layer2.attn", "Attention", "net.py:41", "layer2.attn/Mul", "LocalAttention as x")
    lines = error_lines([_entry("onnx-fp32", blame=blame), _entry("engine-fp16")])
    assert lines == [
        f"logits: {WAY}   <- lower, module layer2.attn (net.py:41): LocalAttention as x",
        f"logits: {LONG}",
    ]


@pytest.mark.parametrize(
    ("blame", "said"),
    [
        (Blame("engine"), "engine"),
        (Blame("capture", detail="ONNX Runtime's Tanh"), "capture: ONNX Runtime's Tanh"),
        (Blame("capture", "fc", "Linear", "", "fc/Gemm"), "capture, module fc"),
        (Blame("fp16", "", "", "net.py:3", "root/Add"), "fp16, the outermost module (net.py:3)"),
    ],
)
def test_blame_says_what_is_known(blame: Blame, said: str) -> None:
    assert blame.describe() == said


def test_many_outputs_are_counted_but_those_with_blame_shown() -> None:
    entries = [_entry("onnx-fp32", f"map_{i}", Blame("engine") if i == 6 else None) for i in range(8)]
    lines = error_lines(entries)
    assert [line.split(":")[0] for line in lines] == ["map_0", "map_1", "map_2", "map_3", "map_6", "and 3 more outputs"]
    assert len(error_lines(entries, most=8)) == 8


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"top1": {"agreement": 0.995}, "top5": {"agreement": 1.0}}, "top-1 99.50%"),
        ({"iou": {"mean": 0.98765}}, "IoU 98.77%"),
        ({"tokens": {"accuracy": 1.0}}, "tokens 100.00%"),
        ({"psnr": {"decibels": 62.123}}, "62.1 dB"),
        ({"psnr": {"decibels": "inf"}}, "inf dB"),
        ({"parts": {}}, "-"),
    ],
)
def test_a_tasks_figure_is_one_word(detail: dict[str, Any], said: str) -> None:
    assert headline(detail) == said
