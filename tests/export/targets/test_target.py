"""Targets by name, by family, and by what people type."""

from __future__ import annotations

import pytest

from attnexport.errors import InputError
from attnexport.export.lower import Where
from attnexport.export.targets import engine_target, resolve, target_names, target_of
from attnexport.export.targets.target import TARGETS


def test_the_targets() -> None:
    assert target_names() == ("ort-cpu", "ort-cuda", "tensorrt-10", "tensorrt-11", "tensorrt-rtx")
    assert [target.family for target in TARGETS] == ["ort", "ort", "tensorrt", "tensorrt", "tensorrt"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("ort-cpu", ("ort-cpu",)),
        ("CPU", ("ort-cpu",)),
        ("ort", ("ort-cpu", "ort-cuda")),
        ("onnxruntime-gpu", ("ort-cuda",)),
        ("tensorrt", ("tensorrt-10", "tensorrt-11", "tensorrt-rtx")),
        ("enterprise", ("tensorrt-10", "tensorrt-11")),
        ("TensorRT 10.13.3", ("tensorrt-10",)),
        ("tensorrt-10.x", ("tensorrt-10",)),
        ("trt11", ("tensorrt-11",)),
        ("tensorrt_rtx", ("tensorrt-rtx",)),
        (" rtx ", ("tensorrt-rtx",)),
        (["rtx", "ort-cuda", "cpu", "rtx"], ("ort-cpu", "ort-cuda", "tensorrt-rtx")),
        (["ort", "tensorrt"], target_names()),
    ],
)
def test_what_people_type(typed, names) -> None:
    assert resolve(typed) == names


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("vulkan", "vulkan"),
        (["cpu", "z", "a"], "a, z"),
        ([], r"\(none\)"),
        ("tensorrt-9", "tensorrt-9"),
        ("", r"\(none\)"),
    ],
)
def test_an_unknown_word_names_the_targets(typed, said) -> None:
    with pytest.raises(InputError, match=rf"^target {said} is not known\. use ort-cpu, ort-cuda, tensorrt-10, "):
        resolve(typed)


def test_a_name_has_one_spelling() -> None:
    assert target_of("tensorrt-rtx").title == "TensorRT-RTX"
    with pytest.raises(InputError, match="target rtx is not known"):
        target_of("rtx")


def test_a_lowering_asks_by_family() -> None:
    where = Where(("ort-cpu", "tensorrt-10", "tensorrt-rtx"), 18)
    assert where.family("tensorrt") == ("tensorrt-10", "tensorrt-rtx")
    assert where.family("ort") == ("ort-cpu",)
    assert Where(("ort-cpu",), 18).family("tensorrt") == ()


@pytest.mark.parametrize(
    ("flavour", "major", "name"),
    [
        ("rtx", 1, "tensorrt-rtx"),
        ("enterprise", 9, "tensorrt-10"),
        ("enterprise", 10, "tensorrt-10"),
        ("enterprise", 11, "tensorrt-11"),
        ("enterprise", 12, "tensorrt-11"),
    ],
)
def test_the_target_of_a_library(flavour, major, name) -> None:
    assert engine_target(flavour, major) == name
