from __future__ import annotations

import pytest

from attnexport.errors import EngineError, InputError
from attnexport.export.engine import EngineOptions, build_engine
from attnexport.export.engine.profiles import check_input, profile_json
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 4, 16, "N")


def spec(name: str, dtype: str, *axes: Axis | int) -> TensorSpec:
    return TensorSpec(name, dtype, tuple(a if isinstance(a, Axis) else Axis.fixed(a) for a in axes))


def test_the_shapes_of_a_profile() -> None:
    assert profile_json([spec("x", "float32", BATCH, 3), spec("ids", "int64", BATCH)]) == {
        "x": {"min": [1, 3], "opt": [4, 3], "max": [16, 3]},
        "ids": {"min": [1], "opt": [4], "max": [16]},
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], ["input 'x' of the model has no shape", "the model takes x, y"]),
        ([spec("x", "float32", BATCH, 3)], ["input 'y' of the model has no shape"]),
        (
            [spec("x", "float32", BATCH, 3), spec("y", "float32", BATCH, 3), spec("z", "float32", 1)],
            ["a shape is given for 'z', which is not an input of the model", "the model takes x, y"],
        ),
        (
            [spec("x", "float32", BATCH, 3, 1), spec("y", "float32", BATCH, 3)],
            ["input 'x' has rank 2 in the model", "x float32 [N=1:4:16, 3, 1] has rank 3"],
        ),
        (
            [spec("x", "float32", BATCH, 4), spec("y", "float32", BATCH, 3)],
            ["axis 1 of input 'x' is fixed to 3 in the model, not 4:4:4"],
        ),
        (
            [spec("x", "float32", BATCH, Axis(1, 3, 8, "C")), spec("y", "float32", BATCH, 3)],
            ["axis 1 of input 'x' is fixed to 3 in the model, not 1:3:8", "with that axis dynamic, or pass 3"],
        ),
        (
            [spec("x", "float32", BATCH, 3), spec("y", "float16", BATCH, 3)],
            ["input 'y' is float16, and the model takes float32", "pass 'y' as float32"],
        ),
        (
            [spec("x", "float64", BATCH, 3), spec("y", "float32", BATCH, 3)],
            ["input 'x' is float64, and TensorRT has no float64"],
        ),
    ],
)
def test_specs_that_do_not_fit_the_network(inputs, words, onnx_model, rtx, reporter) -> None:
    model = onnx_model("net (float[N,3] x, float[N,3] y) => (float[N,3] z) { [add] z = Add(x, y) }")
    with pytest.raises(InputError) as caught:
        build_engine(model, inputs, rtx, EngineOptions(), {}, reporter)
    for word in words:
        assert word in str(caught.value)


def test_the_order_of_specs_does_not_matter(onnx_model, rtx, reporter) -> None:
    model = onnx_model("net (float[N,3] x, float[3,N] y) => (float[a,b] z) { [mm] z = MatMul(x, y) }")
    inputs = [spec("y", "float32", 3, BATCH), spec("x", "float32", BATCH, 3)]
    assert build_engine(model, inputs, rtx, EngineOptions(), {}, reporter).profiles == [
        {
            "y": {"min": [3, 1], "opt": [3, 4], "max": [3, 16]},
            "x": {"min": [1, 3], "opt": [4, 3], "max": [16, 3]},
        }
    ]


def test_a_dynamic_axis_may_be_asked_for_in_one_size(onnx_model, rtx, reporter) -> None:
    model = onnx_model("net (float[N,3] x) => (float[N,3] y) { [a] t = Relu(x) [b] y = Exp(t) }")
    engine = build_engine(model, [spec("x", "float32", 7, 3)], rtx, EngineOptions(), {}, reporter)
    assert engine.profiles == [{"x": {"min": [7, 3], "opt": [7, 3], "max": [7, 3]}}]


def test_an_input_whose_values_are_a_shape_is_refused(onnx_model, rtx, reporter) -> None:
    model = onnx_model("net (float[N,6] x, int64[2] s) => (float[a,b] y) { [r] y = Reshape(x, s) }")
    inputs = [spec("x", "float32", BATCH, 6), spec("s", "int64", 2)]
    with pytest.raises(InputError, match=r"the values of input 's' set a shape in the model.*a constant of the model"):
        build_engine(model, inputs, rtx, EngineOptions(), {}, reporter)


def test_sizes_that_the_graph_cannot_take_are_tensorrts_to_refuse(onnx_model, rtx, origins, reporter) -> None:
    # x and y must have equal sizes, which neither input alone tells.
    model = onnx_model("net (float[N,3] x, float[M,3] y) => (float[K,3] z) { [gate__add] z = Add(x, y) }")
    inputs = [spec("x", "float32", Axis(4, 4, 8, "N"), 3), spec("y", "float32", Axis(2, 2, 3, "M"), 3)]
    with pytest.raises(EngineError, match=r"^engine: TensorRT failed to build: .*'layer1\.gate' \(SpatialGate\)"):
        build_engine(model, inputs, rtx, EngineOptions(), origins, reporter)


def test_the_pure_check_passes_what_fits() -> None:
    check_input("x", (-1, 3), "float32", False, spec("x", "float32", BATCH, 3))
