"""Wrong graphs: what went wrong, in which network, and the edit that makes it so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import helper

from .faulty_edits import (
    Edit,
    attribute,
    behind,
    constant,
    operator,
    part,
    reads,
    rounded,
    scaled,
    swapped_outputs,
)

FP32, FP16 = "model.onnx", "model.fp16.onnx"


@dataclass(frozen=True)
class WrongGraph:
    """``output``: one that must be named as wrong."""

    name: str
    network: str
    file: str
    edit: Edit
    output: str


def _largest(change: float):
    return lambda array: scaled(change, int(np.abs(array).argmax()))(array)


CLASSES = [
    ("another activation", FP32, operator("root/LeakyRelu", "Relu"), "features"),
    ("a slope of 0.11 for 0.1", FP32, attribute("root/LeakyRelu", alpha=0.11), "features"),
    ("a piecewise sigmoid", FP32, operator("root/Sigmoid", "HardSigmoid"), "features"),
    ("an average for a maximum", FP32, operator("root/MaxPool", "AveragePool", "strides", "kernel_shape"), "features"),
    ("the padding moved by one", FP32, attribute("down/Conv", pads=[0, 0, 2, 2]), "features"),
    ("a difference for a sum", FP32, operator("root/Add", "Sub"), "features"),
    ("one filter larger by 1 %", FP32, constant("stem/Conv", 1, scaled(1.01, 3)), "features"),
    ("one bias larger by 1 %", FP32, constant("stem/Conv", 2, _largest(1.01)), "features"),
    ("one of 1000 classes larger by 10 %", FP32, constant("head/Gemm", 1, scaled(1.1, 417)), "logits"),
    ("one of 1000 biases larger by 10 %", FP32, constant("head/Gemm", 2, _largest(1.1)), "logits"),
    ("one feature unread", FP32, constant("head/Gemm", 1, scaled(0.0, (slice(None), 5))), "logits"),
    ("a mean over the other axis", FP32, constant("root/ReduceMean", 1, lambda axes: axes - 1), "logits"),
    ("two classes exchanged", FP32, constant("head/Gemm", 1, lambda w: w[[1, 0, *range(2, 1000)]]), "logits"),
    ("kernels mirrored", FP32, constant("stem/Conv", 1, lambda w: w[..., ::-1]), "features"),
    ("two input channels exchanged", FP32, constant("stem/Conv", 1, lambda w: w[:, [1, 0, 2]]), "features"),
    ("the third row of a batch wrong", FP32, part("logits", 0, 2, 1.1), "logits"),
    ("a batch of one wrong by 0.1 %", FP32, part("features", 0, 0, 1.001, batch=1), "features"),
    ("one column wrong by 1e-5", FP32, part("features", 3, 3, 1.00001), "features"),
    ("one of 1000 classes larger by 10 %", FP16, part("logits", 1, 417, 1.1), "logits"),
    ("one weight row of 1000 larger by 10 %", FP16, constant("head/Gemm", 1, scaled(1.1, 417)), "logits"),
    ("one of 1000 biases larger by 10 %", FP16, constant("head/Gemm", 2, _largest(1.1)), "logits"),
    ("the third row of a batch wrong by 5 %", FP16, part("logits", 0, 2, 1.05), "logits"),
    ("a slope of 0.11 for 0.1", FP16, attribute("root/LeakyRelu", alpha=0.11), "features"),
    ("one feature larger by 5 %", FP16, part("features", 1, 7, 1.05), "features"),
    ("all filters larger by 1 %", FP16, constant("stem/Conv", 1, scaled(1.01)), "features"),
    ("a batch of one wrong by 2 %", FP16, part("features", 0, 0, 1.02, batch=1), "features"),
    ("one column wrong by 2 %", FP16, part("features", 3, 3, 1.02), "features"),
]

HEADS = [
    ("softmax over the queries", FP32, attribute("root/Softmax", axis=2), "y"),
    ("the scale larger by 1 %", FP32, constant("root/Mul", 1, scaled(1.01)), "y"),
    ("the mask moved by one", FP32, constant("root/Where", 0, lambda m: np.triu(np.ones_like(m), 2)), "y"),
    ("a mask that does not hide", FP32, constant("root/Where", 1, lambda _: np.float32(-1.0)), "y"),
    ("a head of zeros", FP32, constant("qkv/MatMul", 1, scaled(0.0, (slice(None), slice(36, 40)))), "y"),
    ("an axis not swapped back", FP32, attribute("root/Transpose_3", perm=[0, 1, 2, 3]), "y"),
    ("queries and keys exchanged", FP32, reads("root/Mul", 0, "getitem_1"), "y"),
    ("an epsilon of 1e-3 for 1e-5", FP32, attribute("norm/LayerNormalization", epsilon=1e-3), "y"),
    ("one weight of a norm larger by 1 %", FP32, constant("norm/LayerNormalization", 1, scaled(1.01, 4)), "y"),
    ("softsign for tanh", FP32, operator("root/Tanh", "Softsign"), "gated"),
    ("a minimum for a maximum", FP32, operator("root/ReduceMax", "ReduceMin", "keepdims"), "gated"),
    ("two outputs exchanged", FP32, swapped_outputs("y", "gated"), "y"),
    ("a residual around nothing", FP32, reads("root/Add", 1, "x"), "y"),
    ("the last query wrong by 0.1 %", FP32, part("y", 1, 11, 1.001), "y"),
    ("FP16 between FP32 layers", FP32, rounded("linear"), "y"),
    ("a head of zeros", FP16, constant("qkv/MatMul", 1, scaled(0.0, (slice(None), slice(36, 40)))), "y"),
    ("all weights of a norm larger by 1 %", FP16, constant("norm/LayerNormalization", 1, scaled(1.01)), "y"),
    ("the mask moved by one", FP16, constant("root/Where", 0, lambda m: np.triu(np.ones_like(m), 2)), "y"),
    ("the last query wrong by 2 %", FP16, part("y", 1, 11, 1.02), "y"),
    ("the third row of a batch wrong by 2 %", FP16, part("gated", 0, 2, 1.02), "gated"),
    ("two outputs exchanged", FP16, swapped_outputs("y", "gated"), "y"),
]

_BEST_NINE = [
    helper.make_node("TopK", ["x", "nine"], ["nine_scores", "nine_places"]),
    helper.make_node("Slice", ["nine_scores", "one", "nine", "one"], ["score"]),
    helper.make_node("Slice", ["nine_places", "one", "nine", "one"], ["index"]),
]


def _second_best(model):
    behind("score", lambda right, wrong: [], nine=np.array([9]), one=np.array([1]))(model)
    behind("index", lambda right, wrong: _BEST_NINE)(model)
    for node in _BEST_NINE[1:]:
        assert node.input[1] == "one"
    model.graph.node[-1].input.insert(3, "one")
    model.graph.node[-2].input.insert(3, "one")


def _order(*places: int) -> Edit:
    return behind(
        "score",
        lambda right, wrong: [helper.make_node("Gather", [right, "places"], [wrong], axis=1)],
        places=np.array(places),
    )


CHOICES = [
    ("the smallest for the largest", FP32, attribute("root/TopK", largest=0), "score"),
    ("the second to ninth best", FP32, _second_best, "score"),
    ("scores in another order than their places", FP32, _order(1, 0, 2, 3, 4, 5, 6, 7), "score"),
    ("indices that begin at one", FP32, part("index", 0, 0, 1), "index"),
    ("an index off by one in the third row of a batch", FP32, part("index", 0, 2, 1), "index"),
    ("the least label", FP32, operator("root/ArgMax", "ArgMin", "keepdims", "axis"), "label"),
    ("labels along the other axis", FP32, attribute("root/ArgMax", axis=2), "label"),
    ("labels off by one in the third row of a batch", FP32, part("label", 0, 2, 1), "label"),
    ("one label of eight off by one", FP32, part("label", 1, 6, 1), "label"),
    ("a threshold of 0.505 for 0.5", FP32, constant("root/Greater", 1, scaled(1.01)), "mask"),
    ("below for above", FP32, operator("root/Greater", "Less"), "mask"),
]


def _dropped(model):
    for output in ("corners", "confidence"):
        names = {f"{output}/zero": [0], f"{output}/last": [-1]}
        behind(
            output,
            lambda right, wrong: [helper.make_node("Slice", [right, f"{wrong}/zero", f"{wrong}/last"], [wrong])],
            **{name: np.array(value) for name, value in names.items()},
        )(model)


BOXES = [
    ("an overlap of 0.42 for 0.4", FP32, constant("root/NonMaxSuppression", 3, scaled(1.05)), "corners"),
    ("a score of 0.35 for 0.3", FP32, constant("root/NonMaxSuppression", 4, lambda _: np.float32(0.35)), "confidence"),
    ("corners for centers", FP32, attribute("root/NonMaxSuppression", center_point_box=0), "corners"),
    ("at most 3 boxes", FP32, constant("root/NonMaxSuppression", 2, lambda _: np.array([3])), "corners"),
    ("a wrong row", FP32, part("corners", 0, 3, 1.1), "corners"),
    ("the last row missing", FP32, _dropped, "confidence"),
]

MAPS = [
    ("pixels at their corners", FP32, attribute("root/Resize", coordinate_transformation_mode="asymmetric"), "large"),
    ("zeros around the image", FP32, attribute("root/GridSample/gridsample", padding_mode="zeros"), "warped"),
    ("corners aligned", FP32, attribute("root/GridSample/gridsample", align_corners=1), "warped"),
    ("the reset gate before the product", FP32, attribute("rnn/GRU", linear_before_reset=0), "states"),
    ("the two directions exchanged", FP32, constant("rnn/GRU", 1, lambda w: w[::-1]), "states"),
    ("one recurrent weight larger by 1 %", FP32, constant("rnn/GRU", 2, scaled(1.01, (0, 2, 3))), "states"),
    ("edges for reflections", FP32, attribute("root/Pad", mode="edge"), "edges"),
    ("a sum from the end", FP32, attribute("root/CumSum", reverse=1), "edges"),
    ("a sum without its own element", FP32, attribute("root/CumSum", exclusive=1), "edges"),
    ("a deviation over n", FP32, constant("root/Div", 1, lambda n: n + 1), "range"),
    ("a mean for a maximum", FP32, operator("root/ReduceMax", "ReduceMean", "keepdims"), "range"),
    ("FP16 of a sum", FP32, rounded("sub_11"), "edges"),
    ("one coordinate moved by 1 %", FP32, constant("root/Expand", 0, scaled(1.01, (0, 3, 4, 0))), "warped"),
]

WRONG_GRAPHS = [
    WrongGraph(name, network, file, edit, output)
    for network, rows in {
        "classes": CLASSES, "heads": HEADS, "choices": CHOICES, "boxes": BOXES, "maps": MAPS
    }.items()
    for name, file, edit, output in rows
]  # fmt: skip
