"""grid_sample_native: the standard operator, in the spelling that every TensorRT reads rightly."""

from __future__ import annotations

import numpy as np
import pytest


def inputs(batch=2, space=(5, 7), out=(6, 4), dtype=np.float32, grid_dtype=None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    grid = 1.4 * rng.standard_normal((batch, *out, 2))
    return {"x": rng.standard_normal((batch, 3, *space)).astype(dtype), "grid": grid.astype(grid_dtype or dtype)}


RULES = [
    (mode, padding, align)
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for align in (0, 1)
    if (mode, padding, align) != ("nearest", "reflection", 0)
]


@pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), RULES)
def test_every_rule_and_many_sizes(mode, padding_mode, align_corners, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    form = lowered("GridSample", inputs(), attrs, only="grid_sample_native")
    (node,) = (entry for entry in form.model.graph.node if entry.op_type == "GridSample")
    assert {attribute.name: attribute.s.decode() for attribute in node.attribute if attribute.s}["mode"] == mode
    form.check(inputs(), atol=1e-5)
    form.check(inputs(batch=3, space=(9, 4), out=(2, 5)), atol=1e-5)


@pytest.mark.parametrize(("mode", "channels", "chosen"), [
    ("bilinear", 1, "native"), ("bilinear", 256, "native"), ("nearest", 1, "native"), ("nearest", 64, "gather"),
    ("bicubic", 3, "native"), ("bicubic", 64, "gather"),
])  # fmt: skip
def test_the_kernel_that_works_out_each_tap_per_channel_is_left_for_many_channels(
    mode, channels, chosen, lowered
) -> None:
    given = inputs() | {"x": np.zeros((2, channels, 5, 7), np.float32)}
    attrs = {"mode": mode, "padding_mode": "zeros", "align_corners": 0}
    form = lowered("GridSample", given, attrs, dynamic={"x0", "x2", "grid0"})
    assert form.applied.lowering == f"grid_sample_{chosen}"
    (reason,) = form.applied.refused.values()
    assert reason.startswith("valid, but slower")


@pytest.mark.pairwise
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [0, 1])
@pytest.mark.parametrize("space", [(4, 6), (1, 300)])
def test_far_positions_read_what_the_padding_says(mode, padding_mode, align_corners, space, lowered) -> None:
    line = np.array([-1e30, -1e10, -1e6, -1001.5, 0.25, 1001.5, 1e6, 1e10, 1e30], np.float32)
    given = inputs(batch=1, space=space) | {"grid": np.stack(np.meshgrid(line, line), axis=-1)[None]}
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    form = lowered("GridSample", given, attrs, only="grid_sample_native")
    form.check(given, atol=3e-5)


@pytest.mark.parametrize(("mode", "spelled"), [("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")])
def test_opset_20_spells_the_modes_anew(mode, spelled, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", inputs(), attrs, targets=["ort"], opset=20, only="grid_sample_native")
    (node,) = (entry for entry in form.model.graph.node if entry.op_type == "GridSample")
    assert [value.s.decode() for value in node.attribute if value.name == "mode"] == [spelled]
    form.check(inputs(), atol=1e-5)


def test_refuses_the_spelling_that_tensorrt_misreads(lowered) -> None:
    attrs = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", inputs(), attrs, opset=20)
    assert form.applied.lowering == "grid_sample_gather"
    assert form.applied.refused == {
        "grid_sample_native": "opset 20 spells bilinear as linear, which TensorRT 10.13 to 11.1 reads as nearest"
    }
    form.check(inputs(), atol=1e-5)


@pytest.mark.parametrize("space", [(1, 6), (6, 1)])
def test_refuses_what_the_standard_operator_samples_otherwise(space, lowered) -> None:
    attrs = {"mode": "nearest", "padding_mode": "reflection", "align_corners": 0}
    form = lowered("GridSample", inputs(space=space), attrs, dynamic={"x0"})
    assert form.applied.lowering == "grid_sample_gather"
    assert form.applied.refused == {
        "grid_sample_native": "ONNX Runtime rounds before it reflects, so a tie outside the image goes to the other pixel"
    }
    attrs = {"mode": "nearest", "padding_mode": "zeros", "align_corners": 1}
    form = lowered("GridSample", inputs(space=space), attrs, dynamic={"x0"})
    assert form.applied.refused == {
        "grid_sample_native": "with one pixel between aligned corners, no position is outside, so nearest would read it at NaN"
    }


@pytest.mark.parametrize("dtypes", [(np.float64, np.float64), (np.float32, np.float64)])
def test_double_precision_is_gathered(dtypes, lowered) -> None:
    given = inputs(dtype=dtypes[0], grid_dtype=dtypes[1])
    attrs = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
    form = lowered("GridSample", given, attrs)
    assert form.applied.lowering == "grid_sample_gather"
    assert form.applied.refused == {"grid_sample_native": "no target has the standard operator in FP64"}
    form.check(given, atol=1e-13 if dtypes[0] == np.float64 else 1e-6)


@pytest.mark.parametrize("dtypes", [(np.float16, np.float32), (np.float32, np.float16)])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_of_two_types_neither_coordinates_nor_pixels_lose_anything(dtypes, mode, lowered, builds) -> None:
    attrs = {"mode": mode, "padding_mode": "border", "align_corners": 1}
    given = inputs(space=(5, 300), dtype=dtypes[0], grid_dtype=dtypes[1])
    form = lowered("GridSample", given, attrs, only="grid_sample_native")
    form.check(given, atol=1e-4 if dtypes[0] == np.float32 else 2e-3)
    builds(form, given)


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_tensorrt(dtype, mode, padding_mode, lowered, builds) -> None:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": 0}
    given = inputs(dtype=dtype)
    dynamic = {"x0", "x2", "x3", "grid0", "grid1", "grid2"}
    builds(lowered("GridSample", given, attrs, dynamic=dynamic, targets=["tensorrt"], only="grid_sample_native"), given)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_gpu_takes_the_operator_and_a_cpu_what_is_quicker(mode, lowered) -> None:
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((1, 64, 8, 8)).astype(np.float32),
        "grid": rng.uniform(-1, 1, (1, 8, 8, 2)).astype(np.float32),
    }
    attrs = {"mode": mode, "padding_mode": "zeros", "align_corners": 0}
    gpu = lowered("GridSample", inputs, attrs, dynamic={"x0", "grid0"}, prefer="tensorrt-rtx").applied
    assert gpu.lowering == "grid_sample_native"
    cpu = lowered("GridSample", inputs, attrs, dynamic={"x0", "grid0"}, prefer="ort-cpu").applied
    assert cpu.lowering == ("grid_sample_native" if mode == "bilinear" else "grid_sample_gather")
