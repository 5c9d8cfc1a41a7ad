"""The tutorial runs as it stands, and what it prints is what happened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from attnexport.runtime.bundle.bundle import StoredBundle

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial.py"


def test_the_tutorial_runs_from_training_to_the_report(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(TUTORIAL), str(tmp_path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "<bundle " in said
    assert "attention: LocalAttention 5x5, 1 head of 16 as " in said
    for stage in ("onnx-fp32", "onnx-fp16", "emulated-fp16"):
        assert re.search(rf"{stage}: passed, \d\.\d\d times PyTorch's error", said)
    for contender in ("eager", "plain", "attnexport"):
        assert re.search(rf"{contender}: \d+\.\d\d ms", said)
    (right,) = re.findall(r"(\d+) of 60 digits are right", said)
    assert int(right) > 50, "it was trained on these"
    bundle = StoredBundle.open(tmp_path / "digits.attn")
    bundle.verify_files()
    assert bundle.manifest.task == "classification"
    assert bundle.manifest.samples is not None
    assert (bundle.manifest.samples.count, bundle.manifest.samples.labels) == (360, True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
