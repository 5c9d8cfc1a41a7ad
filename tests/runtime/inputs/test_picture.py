"""Image files as the inputs of models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.inputs.picture import Scale, read_picture
from attnexport.runtime.spec import Axis, TensorSpec

Image = pytest.importorskip("PIL.Image")


def spec(channels: int, batch: Axis | None = None) -> TensorSpec:
    axes = (batch or Axis(1, 2, 4, "n"), *map(Axis.fixed, (channels, 2, 3)))
    return TensorSpec("x", "float32", axes)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 1] = (255, 51, 0)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_pixels_are_scaled_channel_by_channel(photo: Path) -> None:
    picture = read_picture(photo, spec(3), Scale((0.5, 0.2, 0.0), (0.5, 0.1, 1.0)))
    assert (picture.feed.shape, picture.feed.dtype) == ((1, 3, 2, 3), np.float32)
    np.testing.assert_allclose(picture.feed[0, :, 0, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(picture.feed[0, :, 1, 1], [-1, -2, 0], atol=1e-6)
    np.testing.assert_allclose(picture.shown[0, 1], [1, 0.2, 0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_fits_one_channel_or_three(mode: str, channels: int, tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), "white").convert(mode).save(tmp_path / "white.png")
    picture = read_picture(tmp_path / "white.png", spec(channels), Scale((0.0,), (0.5,)))
    np.testing.assert_allclose(picture.feed, np.full((1, channels, 2, 3), 2.0))
    assert picture.shown.shape == (2, 3, 3)


def test_a_fixed_batch_is_filled_with_the_image(photo: Path) -> None:
    assert read_picture(photo, spec(3, Axis.fixed(4)), Scale((0.0,), (1.0,))).feed.shape == (4, 3, 2, 3)


@pytest.mark.parametrize(
    ("given", "mean", "std", "said"),
    [
        (spec(2), (0.0,), (1.0,), "which is not an image"),
        (TensorSpec("x", "int64", spec(3).axes), (0.0,), (1.0,), "which is not an image"),
        (TensorSpec("x", "float32", spec(3).axes[:2]), (0.0,), (1.0,), "which is not an image"),
        (spec(3), (0.0, 1.0), (1.0,), "--mean has 2 numbers for 3 channels"),
        (spec(3), (0.0,), (0.0,), "--std 0.0 is not above 0"),
    ],
)
def test_inputs_that_take_no_image_are_refused(
    given: TensorSpec, mean: tuple[float, ...], std: tuple[float, ...], said: str, photo: Path
) -> None:
    with pytest.raises(InputError, match=said):
        read_picture(photo, given, Scale(mean, std))


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_picture(tmp_path / "text.png", spec(3), Scale((0.0,), (1.0,)))
