"""The committed checkpoints and samples: small, free of code, and as accurate as examples/README.md says."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from attnexport.export.source import checkpoint
from attnexport.models import registry

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("digits_lrnet", "digits_sasa", "digits_stn_cbam")


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    with np.load(EXAMPLES / "digits_samples.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    pytest.importorskip("sklearn", reason="training reads scikit-learn's digits")
    spec = importlib.util.spec_from_file_location("train_digits", EXAMPLES / "train_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look up the annotations of a class.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def load(path: Path) -> tuple[checkpoint.Checkpoint, torch.nn.Module]:
    saved = checkpoint.parse(torch.load(path, weights_only=True), path.name)
    module = registry.build(saved.arch, **saved.kwargs).eval()
    module.load_state_dict(saved.state_dict)
    return saved, module


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_small_and_describes_its_network(name):
    path = EXAMPLES / f"{name}.pt"
    assert path.stat().st_size < 1_000_000
    saved, _ = load(path)
    entry = registry.entry(name)
    assert saved.arch == name
    assert [spec.to_json() for spec in saved.inputs] == list(entry.inputs)
    assert (saved.outputs, saved.task) == (("logits",), "classification")


def test_the_samples_are_what_the_networks_take(samples):
    assert (EXAMPLES / "digits_samples.npz").stat().st_size < 1_500_000
    assert set(samples) == {"x", "labels", "distorted"}
    assert (samples["x"].shape, samples["x"].dtype) == ((360, 3, 32, 32), np.float32)
    assert (samples["labels"].shape, samples["labels"].dtype) == ((360,), np.int64)
    assert (samples["distorted"].sum(), samples["distorted"].dtype) == (160, np.bool_)
    assert set(samples["labels"]) == set(range(10))
    assert np.isfinite(samples["x"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_on_the_held_out_samples(name, samples):
    _, module = load(EXAMPLES / f"{name}.pt")
    with torch.no_grad():
        right = module(torch.from_numpy(samples["x"])).argmax(1).numpy() == samples["labels"]
    assert right[~samples["distorted"]].mean() >= 0.95
    assert right[samples["distorted"]].mean() >= 0.90


def test_the_transformer_turns_distorted_digits_back(samples):
    """Its theta is no constant: it follows the digit."""
    _, module = load(EXAMPLES / "digits_stn_cbam.pt")
    with torch.no_grad():
        theta = module.features[0].theta(torch.from_numpy(samples["x"]))
    angles = torch.atan2(theta[:, 1, 0], theta[:, 0, 0]).rad2deg()
    assert angles[samples["distorted"]].std() > 5


def test_the_samples_come_from_the_held_out_part(script, samples):
    training, held_out = script.digits()
    assert (len(training), len(held_out)) == (1400, 397)
    upright = script.network_input(held_out.images[:200]).numpy()
    np.testing.assert_array_equal(samples["x"][:200], upright)
    np.testing.assert_array_equal(samples["labels"], held_out.labels[:360].numpy())
    seen = {image.tobytes() for image in script.network_input(training.images).numpy()}
    assert not any(image.tobytes() in seen for image in upright)


def test_the_distortion_turns_and_shifts_within_its_bounds(script):
    image = torch.zeros(1, 1, 32, 32)
    image[..., 15:17, 15:17] = 1
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(32.0) - 15.5
    shifts = []
    for _ in range(200):
        out = script.distort(image, generator)[0, 0]
        shifts.append([float((out.sum(1) * rows).sum() / out.sum()), float((out.sum(0) * rows).sum() / out.sum())])
    largest = np.abs(shifts).max(0)
    # 3 pixels along each axis before the rotation are up to 3 (cos 30 + sin 30) along one axis after it.
    assert (largest > 2).all()
    assert (largest < 3 * (np.cos(np.pi / 6) + np.sin(np.pi / 6)) + 0.1).all()


def test_training_writes_a_checkpoint_and_says_how_good_it_is(script, tmp_path, capsys, samples):
    script.main(["--model", "digits_stn_cbam", "--epochs", "2", "--out", str(tmp_path)])
    printed = " ".join(capsys.readouterr().out.split())
    match = re.search(r"([\d.]+)% upright, ([\d.]+)% distorted, 397 held-out digits", printed)
    assert match
    assert float(match[1]) > 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits_samples.npz", "digits_stn_cbam.pt"]
    load(tmp_path / "digits_stn_cbam.pt")
    with np.load(tmp_path / "digits_samples.npz") as again:
        np.testing.assert_allclose(again["x"], samples["x"], rtol=0, atol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_gives_the_bars_accuracies(name):
    readme = (EXAMPLES / "README.md").read_text()
    row = re.search(rf"`{name}\.pt`.*?([\d.]+) %.*?([\d.]+) %", readme)
    assert row
    assert float(row[1]) >= 95
    assert float(row[2]) >= 90
