"""Which of the served models the page shows, how their images are scaled, and why the others are left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.errors import BundleError, InputError
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.sections import FileRecord
from attnexport.runtime.serve.demo.image_models import ImageModel, image_models
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton.options import WrittenModel


def written(bundle: Path, role: str = "model") -> WrittenModel:
    return WrittenModel(bundle.stem, 3, "python", bundle, bundle, 4, role)


@pytest.fixture
def signs(bundles: list[Path]) -> ImageModel:
    (model,), _ = image_models([written(bundles[0])])
    return model


def test_models_of_one_image_are_shown_and_the_others_left_with_a_reason(bundles: list[Path]) -> None:
    shown, left = image_models([written(bundle) for bundle in bundles])
    assert [(model.name, model.version, model.task) for model in shown] == [
        ("signs", 3, "classification"), ("cut", 3, "segmentation"),
    ]  # fmt: skip
    assert left == {"tokens": "the model takes ids int64 [batch=1:2:4, 4], which is not an image"}


def test_an_encoder_decoder_network_and_one_of_several_inputs_are_left(bundles: list[Path], tmp_path: Path) -> None:
    listed = {f"{part}/manifest.json": FileRecord("0" * 64, 2, "part") for part in ("encoder", "step")}
    changes: dict[str, dict[str, Any]] = {
        "sequence": {"parts": {"encoder": "encoder", "step": "step"}, "files": listed, "parity": ()},
        "pair": {"inputs": (TensorSpec("a", "float32", (Axis.fixed(2),)), TensorSpec("b", "int64", ()))},
    }
    for name, change in changes.items():
        shutil.copytree(bundles[1], tmp_path / f"{name}.attn")
        changed = replace(StoredBundle.open(bundles[1]).manifest, **change)
        (tmp_path / f"{name}.attn" / "manifest.json").write_text(changed.dumps())
    assert image_models([written(tmp_path / "sequence.attn", "ensemble"), written(tmp_path / "pair.attn")]) == ([], {
        "sequence": "it is an encoder-decoder network, which takes no image",
        "pair": "the model takes a float32 [2], b int64 [], and an image is one input",
    })  # fmt: skip


def test_a_part_that_clients_do_not_call_is_neither(bundles: list[Path]) -> None:
    assert image_models([written(bundles[0], "encoder")]) == ([], {})


def test_scale_and_names_are_those_of_the_sample_images(
    signs: ImageModel, bundles: list[Path], demo_tools: Any
) -> None:
    assert (signs.scale.mean, signs.scale.std, signs.known) == (demo_tools.MEAN, demo_tools.STD, True)
    assert signs.classes == demo_tools.CLASSES
    (cut,), _ = image_models([written(bundles[1])])
    assert (cut.scale.mean, cut.scale.std, cut.known, cut.classes) == ((0.0,), (1.0,), False, ())
    assert signs.to_json() == {
        "name": "signs", "version": 3, "channels": 3, "height": 8, "width": 8, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4],
        "known": True, "task": "classification", "examples": 2, "attention": 1,
    }  # fmt: skip


def test_examples_are_real_samples_and_look_as_they_did(signs: ImageModel, bundles: list[Path]) -> None:
    with np.load(bundles[0] / "golden.npz") as golden:
        x = golden["feed/1/x"]
    one = signs.example(1)
    np.testing.assert_array_equal(one.feed, x[1:2])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3))[1]
    np.testing.assert_array_equal(np.rint(one.shown * 255), pixels)
    for index in (-1, 2):
        with pytest.raises(InputError, match=rf"signs has no example {index}\. it has 2"):
            signs.example(index)
    (cut,), _ = image_models([written(bundles[1])])
    assert len(cut.examples) == 0, "random inputs are no examples"


def test_a_bundle_that_has_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        image_models([written(tmp_path / "gone.attn")])
