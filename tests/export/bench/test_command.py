"""``attnexport bench`` on the command line: its output, its files and its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attnexport.cli import main
from attnexport.export.bench import BenchReport
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.sections import FileRecord

QUICK = ["--rounds", "5", "--seconds", "1", "--threads", "1", "--batch", "2", "--device", "cpu", "--no-memory"]


def run(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = 0
    try:
        main(["bench", *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capfd.readouterr()
    return code, out, err


def test_tables_a_file_and_a_picture(small_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    words = [str(small_bundle), "--contenders", "attnexport", "--target-latency", "10s", *QUICK]
    code, out, err = run([*words, "--json", str(file), "--png", str(picture)], capfd)
    assert (code, err) == (0, "")
    assert "batch=2, 5 rounds" in out and "largest batch with p95 within 10000 ms" in out
    assert out.splitlines()[-1] == f"written: {file}  {picture}"
    report = BenchReport.read(file)
    assert [timing.contender for timing in report.points[0].timings] == ["attnexport"]
    assert (report.name, report.source, report.model_sha256) == (
        "small", "small.pt", StoredBundle.open(small_bundle).manifest.files["model.onnx"].sha256,
    )  # fmt: skip
    assert picture.stat().st_size > 1000


def test_json_alone_on_standard_output(small_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run([str(small_bundle), "--contenders", "attnexport", *QUICK, "--json", "-"], capfd)
    assert (code, err) == (0, "")
    assert BenchReport.from_json(json.loads(out)).settings.threads == 1


def test_a_device_without_torch_measures_a_bundle(small_bundle: Path) -> None:
    script = "import sys; sys.modules['torch'] = None; from attnexport.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "bench", str(small_bundle), *QUICK, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = BenchReport.from_json(json.loads(done.stdout))
    assert report.entrant("attnexport").state == "measured"
    assert report.entrant("eager").reason == "requires the original model: pass --model small.pt"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contenders", "onnx"], "--contenders onnx is not known"),
        (["--batch", "99"], "--batch 99 is out of 1..8"),
        (["--rounds", "0"], "--rounds 0 is below 1"),
        (["--target-latency", "soon"], "--target-latency 'soon' is not a time"),
        (["--model", "gone.pt"], "gone.pt"),
        (["--trt"], "--trt and --precision are for a model that is exported first"),
        (["--json", "gone/bench.json"], "gone/bench.json cannot be written: gone is not a folder. create it first."),
        (["--png", "gone/bench.png"], "gone/bench.png cannot be written: gone is not a folder"),
    ],
)
def test_a_refusal_is_one_line(
    small_bundle: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([str(small_bundle), *words], capfd)
    assert (code, out) == (2, "")
    assert err.startswith("attnexport: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize(("file", "as_json"), [("-", True), ("bench.json", False)])
def test_an_error_is_json_if_the_output_is(
    small_bundle: Path, file: str, as_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([str(small_bundle), "--contenders", "onnx", "--json", file], capfd)
    assert code == 2
    assert (json.loads(out)["exit_code"] == 2, err == "") == (True, True) if as_json else (out == "" and "onnx" in err)


def test_model_requires_a_bundle(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["net.pt", "--model", "other.pt"], capfd)
    assert (code, err) == (
        2,
        "attnexport: --model other.pt belongs to a bundle, and net.pt is none. leave --model out.\n",
    )


def test_a_model_or_bundle_is_required(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([], capfd)[0] == 2


def test_a_bundle_with_parts_is_refused(small_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = StoredBundle.open(small_bundle).manifest
    parts = {name: f"parts/{name}" for name in ("encoder", "step")}
    files = {f"{folder}/manifest.json": FileRecord("0" * 64, 1, "part") for folder in parts.values()}
    whole = replace(manifest, parts=parts, files=files, parity=(), attribution=(), operators={})
    folder = tmp_path / "pair.attn"
    folder.mkdir()
    (folder / "manifest.json").write_text(whole.dumps(), encoding="utf-8")
    code, _, err = run([str(folder), *QUICK], capfd)
    assert code == 2
    assert (
        f"is a bundle of several graphs: encoder, step. measure one of them: attnexport bench {folder}/parts/encoder."
        in err
    )
