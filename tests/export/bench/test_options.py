"""The options of the command line, and the points that they select."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnexport.errors import InputError
from attnexport.export.bench.options import BenchOptions, parse_batches, parse_milliseconds
from attnexport.export.bench.participants import check_names
from attnexport.export.bench.points import batch_of, choose_points
from attnexport.runtime.spec import Axis, TensorSpec

BUNDLE = Path("net.attn")
BATCH, WIDTH = Axis(1, 4, 16, "batch"), Axis(8, 32, 64, "width")
IMAGE = TensorSpec("x", "float32", (BATCH, Axis.fixed(3), WIDTH))
FIXED = TensorSpec("x", "float32", (Axis.fixed(2), Axis.fixed(3)))


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("8", [8]),
        ("1,4, 16", [1, 4, 16]),
        ("1:16", [1, 2, 4, 8, 16]),
        ("3:20", [3, 6, 12, 20]),
        ("1:1 5", [1, 5]),
    ],
)
def test_batches(text: str, sizes: list[int]) -> None:
    assert parse_batches(text) == sizes


@pytest.mark.parametrize("text", ["", "x", "4:2", "0", "1:2:3", "-1", "1.5"])
def test_invalid_batches(text: str) -> None:
    with pytest.raises(InputError, match="--batch"):
        parse_batches(text)


@pytest.mark.parametrize(("text", "value"), [("20", 20.0), ("20ms", 20.0), ("500us", 0.5), ("0.25 s", 250.0)])
def test_milliseconds(text: str, value: float) -> None:
    assert parse_milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "fast", "-1ms", "20m"])
def test_invalid_times(text: str) -> None:
    with pytest.raises(InputError, match=r"--target-latency '.*' is not a time\. write it as 20ms"):
        parse_milliseconds(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rounds": 0}, "--rounds 0 is below 1"),
        ({"threads": 0}, "--threads 0 is below 1"),
        ({"seconds": 0.0}, "--seconds 0 is not above 0"),
        ({"seed": -1}, "--seed -1 is below 0"),
        ({"target_latency": "0ms"}, "--target-latency 0 ms is not above 0"),
        ({"statistic": "mean"}, "--latency-of mean is not known. use one of p95, median"),
        ({"device": "tpu"}, "--device tpu is not known. use one of auto, cpu, cuda"),
        ({"sizes": ["width"]}, "--size 'width' is not SYMBOL=SIZE"),
        ({"sizes": ["width=0"]}, "--size 'width=0' is not SYMBOL=SIZE"),
    ],
)
def test_invalid_options(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        BenchOptions.from_strings(bundle=BUNDLE, **changes)
    assert words in str(raised.value)


def test_strings_become_values() -> None:
    options = BenchOptions.from_strings(
        bundle=BUNDLE, contenders=["eager,plain", "eager"], batches=["4,1", "1:2"], sizes=["width=64"], target_latency="2s"
    )  # fmt: skip
    assert (options.contenders, options.batches, options.sizes) == (("eager", "plain"), (1, 2, 4), {"width": 64})
    assert options.target_latency == 2000.0


def test_nothing_to_measure() -> None:
    with pytest.raises(InputError, match=r"nothing to measure\. pass a bundle"):
        BenchOptions()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"contenders": ("eager", "onnx")},
            "--contenders onnx is not known. use some of eager, compile, plain, attnexport",
        ),
        ({"baseline": "onnx"}, "--baseline onnx is not known"),
        ({"contenders": ("eager",), "baseline": "plain"}, "--baseline plain is not among --contenders. add it there"),
    ],
)
def test_unknown_contenders_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        check_names(BenchOptions(BUNDLE, **changes))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("batches", "sizes", "points"),
    [
        ((), {}, [{"batch": 1, "width": 32}, {"batch": 4, "width": 32}]),
        ((16, 2), {"width": 8}, [{"batch": 2, "width": 8}, {"batch": 16, "width": 8}]),
        ((), {"batch": 3}, [{"batch": 3, "width": 32}]),
    ],
)
def test_points(batches: tuple[int, ...], sizes: dict[str, int], points: list[dict[str, int]]) -> None:
    assert choose_points([IMAGE], batches, sizes) == points


def test_a_fixed_model_has_one_point() -> None:
    assert choose_points([FIXED], (), {}) == choose_points([FIXED], (2,), {}) == [{}]
    assert (batch_of([FIXED], {}), batch_of([IMAGE], {"batch": 7})) == (2, 7)
    assert batch_of([TensorSpec("s", "int64", ())], {}) == 1


@pytest.mark.parametrize(
    ("specs", "batches", "sizes", "words"),
    [
        (
            IMAGE,
            (32,),
            {},
            "--batch 32 is out of 1..16, the range of the export. export it with --dynamic x:0=1:4:32",
        ),
        (IMAGE, (), {"depth": 2}, "--size depth is not a free axis. the free axes are batch, width"),
        (IMAGE, (), {"width": 65}, "--size width=65 is out of 8..64"),
        (FIXED, (4,), {}, "--batch 4, but the batch is fixed: x float32 [2, 3]"),
        (FIXED, (), {"batch": 2}, "--size batch is not a free axis. the free axes are none"),
    ],
)
def test_sizes_that_the_model_does_not_have(
    specs: TensorSpec, batches: tuple[int, ...], sizes: dict[str, int], words: str
) -> None:
    with pytest.raises(InputError) as raised:
        choose_points([specs], batches, sizes)
    assert words in str(raised.value)
