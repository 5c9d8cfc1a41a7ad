"""What a conversion takes: its bar is 10 CPU seconds and 2.2 GB for a model of 350 MB."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from attnexport.benchmarks.conversion import chain, measure


@pytest.mark.parametrize(
    "megabytes, precision",
    [
        (50, "fp16"),
        pytest.param(350, "fp16", marks=pytest.mark.sweep),
        pytest.param(350, "bf16", marks=pytest.mark.sweep),
    ],
)
def test_a_conversion_stays_under_its_bar(megabytes: int, precision: str) -> None:
    cost = measure(megabytes, precision)
    assert cost.half_nodes == 2 * -(-megabytes * 10**6 // 2**24)
    assert cost.cpu_seconds < 10 * megabytes / 350
    assert megabytes / 1000 < cost.built_gb <= cost.peak_gb < 2.2


def test_the_model_has_the_size_that_was_asked_for() -> None:
    assert 30e6 <= chain(30).ByteSize() < 30e6 + 2**24 + 2**16


def test_the_command_prints_what_it_measured() -> None:
    command = [sys.executable, "-m", "attnexport.benchmarks.conversion", "--megabytes", "17", "--precision", "bf16"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("17 MB to BF16: ") and said.count("\n") == 1
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert (found["megabytes"], found["precision"], found["half_nodes"]) == (17, "bf16", 4)
