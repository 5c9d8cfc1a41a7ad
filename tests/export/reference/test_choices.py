"""The scores behind labels: which second place is a tie, by whatever operator and through whatever reshaping."""

import numpy as np
import pytest
import torch
from onnx import parser
from torch import nn

from attnexport.export.reference.choices import Scores, find_ties, run_scored
from attnexport.export.reference.onnx_model import OnnxOriginal
from attnexport.export.reference.torch_model import TorchOriginal

X = np.array([[0.5, 0.9, 0.1], [0.3, -0.2, 0.29]], np.float32)
WORST, SECOND_WORST = [2, 1], [0, 2]
BEST, SECOND = [1, 0], [0, 2]


class Does(nn.Module):
    def __init__(self, what) -> None:
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(x)


def ties_of(what, x=X):
    original = TorchOriginal(Does(what), ["x"], ["label"])
    outputs, truth = run_scored(original, {"x": x}, "float64")
    _, rounded = run_scored(original, {"x": x}, "float16")
    return outputs["label"], *find_ties(outputs, truth, {"float16": rounded})


@pytest.mark.parametrize(
    ("what", "label", "other"),
    [
        (lambda x: x.argmax(1), BEST, SECOND),
        (lambda x: x.argmin(-1, keepdim=True).int(), WORST, SECOND_WORST),
        (lambda x: x.max(1).indices, BEST, SECOND),
        (lambda x: x.min(1)[1], WORST, SECOND_WORST),
        (lambda x: x.topk(1).indices[:, 0], BEST, SECOND),
        (lambda x: x.topk(1, dim=1, largest=False)[1], WORST, SECOND_WORST),
        (lambda x: x.T.softmax(0).argmax(0), BEST, SECOND),
        (lambda x: (x * 2).argmax(1).reshape(1, 2), BEST, SECOND),
    ],
)
def test_the_second_place_of_each_operator(what, label, other):
    got, ties, _ = ties_of(what)
    assert got.reshape(-1).tolist() == label
    assert ties["label"].other.shape == ties["label"].gap.shape == got.shape
    assert ties["label"].other.reshape(-1).tolist() == other
    assert (ties["label"].gap > 0).all()


def test_the_gap_is_the_difference_of_the_scores_in_fp64():
    _, ties, _ = ties_of(lambda x: x.argmax(1))
    np.testing.assert_allclose(ties["label"].gap, [0.4, 0.01], rtol=1e-5)


@pytest.mark.parametrize(
    "what",
    [lambda x: x.argmax(1) + 1, lambda x: x.long(), lambda x: (x > 0).long().argmax(1)],
    ids=["moved", "cast", "of whole"],
)
def test_what_is_not_the_place_of_a_best_score_has_no_tie(what):
    assert ties_of(what)[1] == {}


def test_the_error_is_pytorchs_and_at_least_one_rounding():
    exact = ties_of(lambda x: x.argmax(1))[2]["float16"]["label"]
    assert exact == pytest.approx(2.0**-11 * np.sqrt((0.9**2 + 0.3**2) / 2), rel=1e-5)
    weight = torch.full((3, 3), 1 / 3) + torch.eye(3)
    product = ties_of(lambda x: nn.functional.linear(100 * x, weight.to(x.dtype)).argmax(1))[2]["float16"]["label"]
    assert 1e-2 < product < 0.2


def test_scores_of_another_shape_do_not_count():
    assert Scores(np.zeros((2, 3))).distance(Scores(np.ones((3, 2)))) == 0.0


@pytest.mark.parametrize(("op", "label", "other"), [("ArgMax", BEST, SECOND), ("ArgMin", WORST, SECOND_WORST)])
def test_an_onnx_file_has_them_too(op, label, other):
    model = parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 18]>
        net (float[2, 3] x) => (int64[2] label) {{ y = Tanh (x)  label = {op} <axis = -1, keepdims = 0> (y) }}""")
    original = OnnxOriginal(model)
    outputs, truth = run_scored(original, {"x": X}, "float64")
    _, none = run_scored(original, {"x": X}, "float32")
    ties, errors = find_ties(outputs, truth, {"float32": none})
    assert outputs["label"].tolist() == label
    assert ties["label"].other.tolist() == other
    assert 0.0 < errors["float32"]["label"] < 1e-7
