"""The dates example: what its script draws, that it learns, and that the committed checkpoint is as good as it says."""

from __future__ import annotations

import datetime
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from attnexport.export.source import checkpoint
from attnexport.models import registry

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_dates", EXAMPLES / "train_dates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    with np.load(EXAMPLES / "dates_samples.npz", allow_pickle=False) as file:
        return dict(file)


def load(path: Path) -> tuple[checkpoint.Checkpoint, torch.nn.Module]:
    saved = checkpoint.parse(torch.load(path, weights_only=True), path.name)
    network = registry.build(saved.arch, **saved.kwargs).eval()
    network.load_state_dict(saved.state_dict)
    return saved, network


@pytest.mark.parametrize(
    ("day", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd")]
)
def test_days_are_counted_as_in_english(script, day, text):
    assert script.words(datetime.date(1998, 3, day), 0) == f"the {text} of march 1998"


def test_every_way_to_say_every_date_fits_and_ways_differ(script):
    date = datetime.date(1998, 9, 23)
    assert len({script.words(date, way) for way in range(8)}) == 8
    for ordinal in range(datetime.date(1998, 1, 1).toordinal(), datetime.date(1999, 1, 1).toordinal()):
        for way in range(8):
            assert len(script.source_row(script.words(datetime.date.fromordinal(ordinal), way))) == 26


def test_a_text_that_is_too_long_is_refused(script):
    with pytest.raises(ValueError, match="has 27 letters, more than 26"):
        script.source_row("a" * 27)


def test_the_parts_share_no_date_and_targets_are_dates(script):
    parts = [script.draw(300, np.random.default_rng(1), held=held)[1] for held in (False, True)]
    dates = [{script.written(row) for row in part.tolist()} for part in parts]
    assert not dates[0] & dates[1]
    for text in dates[0] | dates[1]:
        assert 1900 <= datetime.date.fromisoformat(text).year <= 2099


def test_the_checkpoint_is_small_and_describes_its_network(samples):
    assert (EXAMPLES / "dates_bahdanau.pt").stat().st_size < 300_000
    saved, _ = load(EXAMPLES / "dates_bahdanau.pt")
    assert (saved.arch, saved.outputs, saved.task) == ("seq2seq_bahdanau", ("logits",), None)
    assert [(spec.name, spec.shape("opt")) for spec in saved.inputs] == [("source", (4, 26)), ("target", (4, 11))]
    for spec in saved.inputs:
        assert samples[spec.name].shape == (200, spec.axes[1].opt)
        assert samples[spec.name].dtype == spec.numpy_dtype
        assert samples[spec.name].max() < (spec.high or 0)


def test_the_checkpoint_writes_held_out_dates_right(script, samples):
    _, network = load(EXAMPLES / "dates_bahdanau.pt")
    chosen = script.decode(network, torch.from_numpy(samples["source"])).tolist()
    expected = [script.written(row) for row in samples["target"].tolist()]
    assert all(script.held_out(datetime.date.fromisoformat(text).toordinal()) for text in expected)
    assert np.mean([script.written(row) == text for row, text in zip(chosen, expected, strict=True)]) >= 0.98


def test_attention_finds_the_year(script):
    """While it writes the year's digits, the network looks at them, wherever in the text they stand."""
    _, network = load(EXAMPLES / "dates_bahdanau.pt")
    for text, year in (("the 3rd of march 1998", 17), ("1998, march 3", 0)):
        memory = network.encode(torch.tensor([script.source_row(text)]))
        fixed, state = memory[:3], memory[3:]
        seen = []
        for token in script.target_row(datetime.date(1998, 3, 3))[:4]:
            _, attention, *state = network.step(torch.tensor([token]), *fixed, *state)
            seen.append(attention[0, year : year + 4].sum().item())
        assert np.mean(seen) > 0.5


def test_training_learns_and_writes_what_it_says(script, tmp_path, capsys):
    script.main(["--steps", "20", "--out", str(tmp_path)])
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"dates_bahdanau\.pt: [\d.]+% of 1000 held-out dates written right", printed)
    losses = re.findall(r"loss ([\d.]+)", printed)
    # Guessing among 14 tokens costs ln 14 = 2.64.
    assert float(losses[-1]) < 1.7
    load(tmp_path / "dates_bahdanau.pt")
    with np.load(tmp_path / "dates_samples.npz") as again, np.load(EXAMPLES / "dates_samples.npz") as stored:
        for name in ("source", "target"):
            np.testing.assert_array_equal(again[name], stored[name])
