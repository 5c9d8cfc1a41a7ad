"""Figures in words."""

from __future__ import annotations

import math

import pytest

from attnexport.export.report import words


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (386_020, "386 KB"),
        (999_499, "999 KB"),
        (999_700, "1 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5.08e-7, "5.1·10⁻⁷"),
        (0.0, "0"),
        (1.0, "1.0·10⁰"),
        (12.0, "1.2·10¹"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_powers_of_ten(value: float, said: str) -> None:
    assert words.power(value) == said


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.921, "0.92×"), (2, "2.00×"), (math.inf, "∞"), (math.nan, "NaN"), (12345.0, "1.2·10⁴×")]
)
def test_ratios(ratio: float, said: str) -> None:
    assert words.times(ratio) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "–"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 999, "1 %"), (998, 999, "99 %"), (1, 2, "50 %")],
)
def test_a_share_is_all_or_nothing_only_where_it_is(part: int, whole: int, said: str) -> None:
    assert words.share(part, whole) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("onnx-fp32", "FP32, ONNX Runtime"), ("emulated-fp16", "FP16 as a GPU rounds"), ("engine-fp16", "FP16 engine"),
        ("step: onnx-fp32", "step: FP32, ONNX Runtime"), ("something", "something"),
    ],
)  # fmt: skip
def test_forms_in_words(name: str, said: str) -> None:
    assert words.stage(name) == said


def test_counts() -> None:
    assert (words.count(1, "layer"), words.count(0, "layer"), words.count(12345, "layer")) == (
        "1 layer",
        "0 layers",
        "12\u2009345 layers",
    )
