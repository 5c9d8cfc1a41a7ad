"""The benchmark of the server's knobs: two real servers, loaded in turns, and what a row of its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnexport
from attnexport.benchmarks import scale


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    example = Path(__file__).resolve().parents[2] / "examples" / "digits_stn_cbam.pt"
    return attnexport.export(example, out=tmp_path_factory.mktemp("scale") / "digits.attn", precision="fp32").path


def test_settings_are_loaded_in_turns_and_held_to_the_first(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
    monkeypatch.setattr(scale, "SETTINGS", {"plain": (), "waiting": ("--delay", "100000")})
    plain, waiting = scale.measure(bundle, tmp_path, [4], rounds=2, seconds=0.3)
    assert (plain.setting, waiting.setting, plain.clients) == ("plain", "waiting", 4)
    assert (plain.ratio, plain.interval) == (1.0, (1.0, 1.0))
    assert waiting.ratio == pytest.approx(waiting.rate / plain.rate)
    assert (
        waiting.p50 > 50 > plain.p50
    )  # four clients never fill a batch of 16, so each request waits its tenth of a second
    assert waiting.batch > plain.batch
    assert min(plain.memory, waiting.memory) > 20


def test_a_row_of_the_page() -> None:
    row = scale.Row("net", 8, "`--threads 1`", 820.4, 0.8204, (0.81, 0.83), 9.87, 12.34, 4.6, 145.2)
    assert scale.table([row]).splitlines()[2] == (
        "| `net` | 8 | `--threads 1` | 820 | 0.82 [0.81, 0.83] | 9.9 / 12.3 | 4.6 | 145 |"
    )
