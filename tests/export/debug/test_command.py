"""The command itself: the options of the export, its exit codes, and what it prints."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnexport.cli import main
from attnexport.cli.model import debug as command
from attnexport.cli.model import export as export_command
from attnexport.export import debug as package
from attnexport.export import pipeline
from attnexport.export.options import ExportOptions

NETWORK = ["--factory", "looked_net:Net", "--random-weights", "--input", "x=2x3x8x9"]


class Asked(Exception):
    """Carries what a command would have run."""


def options_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> ExportOptions:
    """What the command makes of its words, before anything runs."""

    def stop(options: ExportOptions, *_: Any, **__: Any) -> None:
        raise Asked(options)

    monkeypatch.setattr(pipeline, "run", stop)
    monkeypatch.setattr(package, "debug", stop)
    caught: list[ExportOptions] = []
    monkeypatch.setattr("attnexport.cli.run._fail", lambda error, **_: caught.append(error.args[0]) or 1)
    with pytest.raises(SystemExit):
        main(words)
    (options,) = caught
    return options


@pytest.mark.parametrize(
    "words",
    [
        ["net.pt"],
        [*NETWORK, "--kwargs", '{"gain": 3}', "--dynamic", "x:0=1:2:8", "--output", "a", "--output", "b"],
        ["net.pt", "--precision", "int8", "--calibration", "minmax", "--gate", "3", "--seed", "7", "--whole", "--limit", "9"],
        ["net.pt", "--trt=rtx", "--compute-capability", "8.9", "--workspace", "1G", "--target", "ort-cuda", "--static"],
        ["net.pt", "--outputs", "attention", "--samples", "s.npz", "--image-mean", "0.5", "--keep-failed", "--allow-pickle"],
    ],
)  # fmt: skip
def test_the_words_of_an_export_mean_the_same(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        exported = options_of(["export", *words], patch)
    with monkeypatch.context() as patch:
        debugged = options_of(["debug", *words], patch)
    assert debugged == exported


def test_every_option_of_the_export_is_taken() -> None:
    assert set(inspect.signature(export_command).parameters) <= set(inspect.signature(command).parameters)


@pytest.fixture
def run(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command: its exit code and what it printed."""

    def start(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["debug", *words])
        return int(stopped.value.code or 0), capfd.readouterr().out

    return start


def test_a_fault_exits_with_1_and_prints_the_place_and_the_command(run: Callable[..., tuple[int, str]]) -> None:
    loud = [*NETWORK, "--kwargs", '{"gain": 800.0}', "--precision", "fp16"]
    code, said = run(*loud)
    assert code == 1
    assert "the error comes in at fp16, module body.loud (looked_net.py:" in said
    assert "python Net.debug/reproduce.py" in said
    assert any(line.startswith("body.loud (Loud)") and " inf " in line for line in said.splitlines())
    code, said = run(*loud, "--force", "--quiet")
    assert (code, said) == (1, "python Net.debug/reproduce.py\n")


def test_without_a_fault_it_exits_with_0_and_speaks_json(run: Callable[..., tuple[int, str]], here: Path) -> None:
    code, said = run(*NETWORK, "--precision", "fp32", "--json")
    found = json.loads(said)
    assert code == 0
    assert found["passed"] is True
    assert found["stage"] == "lower"
    assert {"name", "node", "op", "module", "kind", "source", "shape", "type", "relative"} <= set(found["tensors"][0])
    assert not (here / "Net.debug").exists()


def test_a_model_beside_no_bundle_is_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["debug", "net.pt", "--model", "other.pt"])
    assert stopped.value.code == 2
    assert "--model other.pt belongs to a bundle. give NAME.attn --model MODEL" in capfd.readouterr().err
