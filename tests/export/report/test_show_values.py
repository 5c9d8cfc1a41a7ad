"""One value as its kind is read: classes, masks, tokens, pictures, numbers; and what is said of a difference."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

from attnexport.export.report import show_values

Image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures")


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def picture(html: str) -> np.ndarray:
    found = re.search(r'src="data:image/png;base64,([^"]*)"', html)
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))


def test_classes_are_likeliest_first_by_their_names() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.25, 0.05]))
    assert text(show_values.classes(logits, None, ["cat", "dog"])) == "dog 60.0 % 2 25.0 % cat 10.0 %"


@pytest.mark.parametrize(
    ("truth", "said", "mark"), [([0, 9], "same class", "note"), ([9, 0], "PyTorch: cat", "note off")]
)
def test_another_class_than_pytorchs_is_marked(truth: list[float], said: str, mark: str) -> None:
    html = show_values.classes(np.array([0.0, 1.0]), np.array(truth), ["cat", "dog"])
    assert text(html).endswith(said) and f'class="{mark}"' in html


def test_logits_beyond_the_range_of_exp_are_classes_all_the_same() -> None:
    assert text(show_values.classes(np.array([1e4, 0.0]), None)) == "0 100.0 % 1 0.0 %"


def test_a_mask_is_the_class_of_each_place_in_its_colour() -> None:
    logits = np.zeros((3, 2, 2))
    logits[1, 0, 0] = logits[2, 1, 1] = 1
    shown = picture(show_values.mask(logits, None))
    assert shown[0, 1].tolist() == shown[1, 0].tolist()
    assert len({tuple(p) for p in shown.reshape(-1, 3).tolist()}) == 3
    other = logits.copy()
    other[2, 1, 1] = 0
    html = show_values.mask(other, logits)
    assert text(html) == "75.00% alike" and "note off" in html


def test_a_mask_of_one_channel_is_where_it_is_above_zero() -> None:
    assert text(show_values.mask(np.array([[[1.0, -1.0]]]), np.array([[[0.5, -0.1]]]))) == "100.00% alike"


def test_tokens_that_differ_are_marked() -> None:
    html = show_values.tokens(np.array([5, 6, 7]), np.array([5, 9, 7]))
    assert re.findall(r'<span class="off">(\d+)</span>', html) == ["6"]
    assert text(html) == "5 6 7 2 of 3 alike"
    assert text(show_values.tokens(np.arange(30))).endswith("22 23 and 6 more")


def test_numbers_say_their_error() -> None:
    truth = np.array([3.0, 4.0])
    assert text(show_values.numbers(truth + np.array([0.0, 0.005]), truth)) == "3 4.005 error 1.0·10⁻³"
    assert "note off" in show_values.numbers(np.array([np.nan, 1.0]), truth)


def test_a_picture_is_shown_in_the_range_of_the_truth() -> None:
    truth = np.linspace(0, 1, 16).reshape(1, 4, 4)
    html = show_values.image_output(truth + 0.5, 0.0, 1.0, truth)
    assert picture(html).max() == 255 and picture(html)[0, 0] == 128
    assert text(html).startswith("error ")


def test_a_field_is_the_mean_of_what_lies_before_its_last_two_axes() -> None:
    value = np.zeros((2, 3, 5))
    value[0, 1, 2], value[1, 2, 4] = 2, 4
    shown = picture(show_values.field(value, None)).astype(int).sum(-1)
    assert shown.shape == (3, 5)
    assert shown[2, 4] > shown[1, 2] > shown[0, 0]
    assert text(show_values.field(value, None)) == "2×3×5"
