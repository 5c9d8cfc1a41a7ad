"""A folder of images proves a model through the pipeline, and the manifest says how they were scaled."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.export.options import ExportOptions, read_options
from attnexport.export.pipeline import run
from attnexport.runtime.bundle.sections import SamplesRecord
from attnexport.runtime.show.inspect import inspect

Image = pytest.importorskip("PIL.Image")

NET = "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image_net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "image_net", raising=False)
    rng = np.random.default_rng(0)
    for name in ("cat/a.png", "cat/b.png", "dog/a.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


def _options(samples: Path | None, mean: str | None = None) -> ExportOptions:
    return read_options(
        model=None, factory="image_net:net", random_weights=True, trt=None, precision="fp32", kwargs="{}", workspace=None,
        gate=2.0, inputs=["input=1x3x8x9"], samples=samples, image_mean=mean, out=Path("net.attn"),
    )  # fmt: skip


def test_images_are_cases_and_the_manifest_has_their_scale(folder: Path) -> None:
    manifest = run(_options(folder, "0.5,0.4,0.3")).manifest
    scale = {"size": [8, 9], "mean": [0.5, 0.4, 0.3], "std": [1.0], "classes": ["cat", "dog"]}
    assert manifest.samples == SamplesRecord("pictures", 3, True, scale)
    (record,) = manifest.parity
    assert "samples" in record.detail["parts"]
    assert record.detail["psnr"]["of"] == "samples"
    assert record.detail["psnr"]["decibels"] > 100, "an image in, an image out"
    assert any(name.startswith("samples-") for name in manifest.attribution[0].cases)
    facts = dict(inspect("net.attn").facts)
    assert facts["samples"] == "3 of pictures, with labels, size [8, 9], mean [0.5, 0.4, 0.3], std [1.0]"


@pytest.mark.parametrize(
    ("mean", "with_folder", "problem"),
    [
        ("0.5", False, "--image-mean and --image-std require --samples"),
        ("0.5,0.5", True, "--image-mean has 2 numbers for 3 channels"),
        ("grey", True, "--image-mean 'grey' is not a list of numbers"),
    ],
)
def test_numbers_without_images_or_of_a_wrong_count_are_refused(
    folder: Path, mean: str, with_folder: bool, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        run(_options(folder if with_folder else None, mean))
