"""The command line's own words: help that fits a screen, options that exist, and how words are read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport import __version__
from attnexport.cli import COMMANDS, HELP, arguments, main
from attnexport.errors import AttnexportError, BundleError, EngineError, InputError, ParityError


def shown(argv: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert not stop.value.code
    return capfd.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_fits_a_screen(argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    lines = shown(argv, capfd).splitlines()
    assert len(lines) <= 44
    assert max(map(len, lines)) <= 100


def test_every_word_of_the_help_is_a_command_or_an_option(capfd: pytest.CaptureFixture[str]) -> None:
    whole = "".join(shown([command, "--help"], capfd) for command in COMMANDS)
    for option in re.findall(r"(?<!\w)--[a-z][a-z-]*", HELP):
        if option != "--help":
            assert option in whole
    for command in COMMANDS:
        assert command in HELP
        assert "Usage:" in shown([command, "--help"], capfd)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["net.pt", "--trt"], ["export", "net.pt", "--trt=auto"]),
        (["--trt", "net.pt"], ["export", "--trt=auto", "net.pt"]),
        (["net.pt", "--trt", "rtx", "--force"], ["export", "net.pt", "--trt=rtx", "--force"]),
        (["rebuild", "net.attn", "--trt", "enterprise"], ["rebuild", "net.attn", "--trt=enterprise"]),
        (["net.pt", "--trt=rtx"], ["export", "net.pt", "--trt=rtx"]),
        (["--arch", "a", "--random-weights"], ["export", "--arch", "a", "--random-weights"]),
        (["check", "net.attn"], ["check", "net.attn"]),
        (["export", "net.pt"], ["export", "net.pt"]),
    ],
)
def test_export_and_auto_are_understood(typed: list[str], read: list[str]) -> None:
    assert arguments(typed) == read


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(["--version"], capfd) == f"attnexport {__version__}\n"


def test_an_unknown_option_exits_with_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "attnexport", "x.pt", "--tensorrt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--tensorrt" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_speaks_to_people_and_machines(capfd: pytest.CaptureFixture[str]) -> None:
    import json

    main_out = run_doctor(capfd, [])
    for word in ("onnxruntime", "tensorrt_rtx", "target ort-cpu", "target tensorrt-rtx"):
        assert word in main_out
    findings = {f["component"]: f for f in json.loads(run_doctor(capfd, ["--json"]))}
    assert findings["target ort-cpu"]["status"] == "ok"


def run_doctor(capfd: pytest.CaptureFixture[str], words: list[str]) -> str:
    try:
        main(["doctor", *words])
    except SystemExit as stop:
        assert not stop.code
    return capfd.readouterr().out


def test_doctor_measures_operators(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import json

    saved = tmp_path / "matrix.json"
    found = json.loads(run_doctor(capfd, ["--probe", "--target", "cpu", "--save", str(saved), "--json"]))
    (measured,) = found["measured"]
    assert measured["target"] == "ort-cpu" and len(measured["rows"]) > 100
    assert json.loads(saved.read_text(encoding="utf-8"))["ort-cpu"]["rows"] == measured["rows"]
    shown_to_people = run_doctor(capfd, ["--probe", "--target", "cpu"])
    assert f"{len(measured['rows'])} measurements, " in shown_to_people


def test_what_belongs_to_probing_needs_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--target", "cpu"])
    assert stop.value.code == 2
    assert capfd.readouterr().err == "attnexport: --target and --save require --probe. add --probe.\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("a is 1", "use 2"), 2, "a is 1. use 2."),
        (BundleError("b is\n  broken.", ""), 2, "b is broken."),
        (BundleError("b is broken"), 2, "b is broken. export the bundle again."),
        (EngineError("c", "d"), 1, "engine: c. d."),
        (ParityError("e"), 1, "verify: e."),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(error: AttnexportError, code: int, text: str) -> None:
    assert error.exit_code == code
    assert str(error) == text


def test_exporting_without_torch_is_one_line_with_the_extra() -> None:
    script = "import sys; sys.modules['torch'] = None; from attnexport.cli import main; main(['net.pt', '--trt'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr == "attnexport: exporting needs torch, which is not installed. pip install 'attnexport[export]'.\n"
    )
