"""Which metrics an output gets, by the model's task and the output's form."""

from __future__ import annotations

import pytest

from attnexport.runtime.metrics import metrics_for
from attnexport.runtime.spec import Axis, TensorSpec


def _spec(*sizes: int) -> TensorSpec:
    return TensorSpec("y", "float32", tuple(Axis.fixed(size) for size in sizes))


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "expected"),
    [
        ("logits", "float32", (4, 7, 100), ["tokens"]),
        ("logits", "float32", (4, 100), ["tokens"]),
        ("token", "int64", (4, 7), ["tokens"]),
        ("length", "int64", (4,), []),
        ("memory", "float32", (4, 7, 16), []),
    ],
)
def test_tokens_are_in_logits_or_are_whole_numbers(
    name: str, dtype: str, shape: tuple[int, ...], expected: list[str]
) -> None:
    """An encoder's memory is neither."""
    spec = TensorSpec(name, dtype, tuple(Axis.fixed(size) for size in shape))
    assert [m.name for m in metrics_for("sequence", spec, first=True)] == expected


@pytest.mark.parametrize(
    ("task", "shape", "first", "is_map", "expected"),
    [
        ("classification", (4, 1000), True, False, ["top1", "top5"]),
        ("classification", (4, 5), True, False, ["top1"]),
        ("classification", (4, 3, 32, 32), False, False, ["psnr"]),
        ("classification", (4, 1, 32, 32), False, True, []),
        ("segmentation", (4, 19, 32, 32), True, False, ["iou"]),
        ("segmentation", (4, 3, 32, 32), True, False, ["iou"]),
        (None, (4, 3, 32, 32), True, False, ["psnr"]),
        (None, (4, 64, 8, 8), True, False, []),
        (None, (4, 10), True, False, []),
    ],
)
def test_each_output_gets_the_metrics_of_its_task(
    task: str | None, shape: tuple[int, ...], first: bool, is_map: bool, expected: list[str]
) -> None:
    assert [m.name for m in metrics_for(task, _spec(*shape), first=first, is_map=is_map)] == expected
