"""Pictures in the page, read by Pillow."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from attnexport.export.report.png import grey, heat, labels, png
from attnexport.runtime.inputs.picture import shrink

Image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures")


def read(address: str) -> np.ndarray:
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 4, 3), (96, 96, 3)])
def test_a_picture_holds_its_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(read(png(pixels)), pixels)


def test_a_large_picture_becomes_the_mean_of_its_blocks() -> None:
    values = np.arange(192 * 200, dtype=np.float64).reshape(192, 200)
    small = shrink(values)
    assert small.shape == (64, 66)
    assert small[3, 5] == values[9:12, 15:18].mean()


def test_labels_are_never_mixed() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (192, 192))
    np.testing.assert_array_equal(shrink(mask), mask[::2, ::2])
    np.testing.assert_array_equal(shrink(np.zeros((300, 1))).shape, (75, 1))


def test_a_small_picture_stays_as_it_is() -> None:
    values = np.ones((96, 12, 3))
    assert shrink(values) is values


def test_grey_goes_from_black_to_white_and_what_is_not_finite_is_an_end() -> None:
    assert grey(np.array([[-1.0, 0.0, 0.5, 1.0, 9.0, np.nan, np.inf, -np.inf]]), 0, 1).tolist() == [
        [0, 0, 128, 255, 255, 0, 255, 0]
    ]
    assert grey(np.full((1, 2), 3.0), 3.0, 3.0).tolist() == [[0, 0]]


def test_heat_grows_brighter_all_the_way() -> None:
    colours = heat(np.linspace(0, 1, 64)[None], 0, 1)[0].astype(int)
    brightness = colours @ [299, 587, 114]
    assert (np.diff(brightness) > 0).all()
    assert colours[0].tolist() == [0, 0, 4] and colours[-1].tolist() == [252, 255, 164]


def test_each_class_has_a_colour_and_the_ground_its_own() -> None:
    colours = labels(np.arange(24).reshape(4, 6)).reshape(24, 3)
    assert len({tuple(c) for c in colours[:11].tolist()}) == 11
    assert colours[11].tolist() == colours[1].tolist() and colours[0].tolist() not in colours[1:].tolist()
