"""A folder of images becomes samples: order, labels, size and scale, or the fault is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.inputs import picture
from attnexport.runtime.inputs.picture import Scale
from attnexport.runtime.inputs.samples import load_samples
from attnexport.runtime.spec import Axis, TensorSpec

Image = pytest.importorskip("PIL.Image")

BATCH = Axis(1, 2, 4, "batch")


def _spec(channels: int = 3, height: int = 6, width: int = 8, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("x", dtype, (BATCH, Axis.fixed(channels), Axis.fixed(height), Axis.fixed(width)))


def _write(path: Path, seed: int, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    """A random PNG in colour; its pixels (H, W, 3)."""
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_images_come_in_the_order_of_names_scaled_per_channel(tmp_path: Path) -> None:
    pixels = {name: _write(tmp_path / f"{name}.png", seed) for seed, name in enumerate("bac")}
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    samples = load_samples(tmp_path, [_spec()], Scale(mean, std))
    expected = np.stack([(pixels[n] / 255 - np.array(mean)) / np.array(std) for n in "abc"]).transpose(0, 3, 1, 2)
    assert samples.arrays["x"].dtype == np.float32
    np.testing.assert_allclose(samples.arrays["x"], expected, rtol=1e-6, atol=1e-6)
    assert samples.labels is None
    assert samples.images == {"size": [6, 8], "mean": list(mean), "std": list(std)}
    assert samples.notes == ()


def test_without_numbers_pixels_are_0_to_1_and_a_note_says_so(tmp_path: Path) -> None:
    pixels = _write(tmp_path / "a.png", 0)
    samples = load_samples(tmp_path, [_spec()])
    np.testing.assert_allclose(samples.arrays["x"][0], pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    (note,) = samples.notes
    assert "not normalised: give --image-mean and --image-std" in note


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    first = _write(tmp_path / "zebra" / "1.png", 1)
    _write(tmp_path / "ant" / "2.jpg", 2)
    _write(tmp_path / "ant" / "1.JPEG", 3)
    for seed, name in enumerate(("lynx", "ibex", "yak", "crow"), 4):
        _write(tmp_path / name / "1.png", seed)
    (tmp_path / ".cache").mkdir()
    samples = load_samples(tmp_path, [_spec()])
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert samples.images["classes"] == ["ant", "crow", "ibex", "lynx", "yak", "zebra"]
    np.testing.assert_allclose(samples.arrays["x"][6], first.transpose(2, 0, 1) / 255, rtol=1e-6)


def test_sizes_are_the_inputs_and_grey_is_one_channel(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", 0, (30, 50))
    array = load_samples(tmp_path, [_spec(1, 9, 5, "float16")]).arrays["x"]
    assert (array.shape, array.dtype) == ((1, 1, 9, 5), np.float16)
    with Image.open(tmp_path / "a.png") as opened:
        grey = np.asarray(opened.convert("L").resize((5, 9), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(array[0, 0], grey, atol=1e-3)


@pytest.mark.parametrize(
    ("files", "spec", "scale", "problem"),
    [
        (["a.png", "cat/b.png"], _spec(), None, "has images and the sub-folder 'cat'"),
        (["cat/b.png", "dog/notes.txt"], _spec(), None, "class folder .*dog has no image"),
        (["a.png", "a.npy"], _spec(), None, r"has images and \.npy files"),
        (["a.png"], _spec(4), None, "which is not an image"),
        (["a.png"], _spec(dtype="uint8"), None, "which is not an image"),
        (["a.png"], _spec(), Scale((0.1, 0.2), (1.0,), "--image-"), "--image-mean has 2 numbers for 3 channels"),
        (["a.png"], _spec(), Scale((0.0,), (0.0,), "--image-"), "--image-std 0.0 is not above 0"),
        (["a.npy"], _spec(), Scale(), "has no images to normalise"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(
    tmp_path: Path, files: list[str], spec: TensorSpec, scale: Scale | None, problem: str
) -> None:
    for name in files:
        if name.endswith(".png"):
            _write(tmp_path / name, 0)
        elif name.endswith(".npy"):
            np.save(tmp_path / name, np.zeros((2, 3, 6, 8), np.float32))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    with pytest.raises(InputError, match=problem) as caught:
        load_samples(tmp_path, [spec], scale)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_damaged_image_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image") as caught:
        load_samples(tmp_path, [_spec()])
    assert "\n" not in str(caught.value)


def test_more_than_memory_should_hold_is_refused_before_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").touch()
    monkeypatch.setattr(picture, "MOST_BYTES", 2 * 3 * 6 * 8 * 4)
    with pytest.raises(InputError, match=r"the 3 images of .* give at most 2 of them"):
        load_samples(tmp_path, [_spec()])


def test_without_pillow_it_says_what_to_install(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", 0)
    code = """
import sys
sys.modules["PIL"] = None
from attnexport.errors import MissingBackendError
from attnexport.runtime.inputs.samples import load_samples
from attnexport.runtime.spec import Axis, TensorSpec
try:
    load_samples(sys.argv[1], [TensorSpec("x", "float32", tuple(map(Axis.fixed, (1, 3, 6, 8))))])
except MissingBackendError as error:
    print(error)
"""
    done: Any = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "Pillow is not installed. install it with: pip install 'attnexport[draw]'.\n", done.stderr
