"""A sequence model behind ``attnexport serve``: it is verified token by token before it is ready, and so is a new version."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.bundle.golden import write_golden
from attnexport.runtime.decode import open_decoder
from attnexport.runtime.decode.agreement import as_rows
from attnexport.runtime.files.read import sha256_of

if sys.platform != "linux":
    pytest.skip("the wheel with Triton is for Linux", allow_module_level=True)


@pytest.fixture
def true_bundle(sequence_bundle: Path) -> Path:
    """The bundle with the tokens that it really writes as its golden ones; as it is, they are all ones."""
    (case,) = StoredBundle.open(sequence_bundle).golden()
    with open_decoder(sequence_bundle, precision="fp32") as decoder:
        facts = decoder.facts
        tokens = as_rows(decoder.greedy(case.feeds["source"]), facts.end, facts.limit)
    golden = sequence_bundle / "golden.npz"
    write_golden(golden, [replace(case, reference={**case.reference, "tokens": tokens})])
    manifest = json.loads((sequence_bundle / "manifest.json").read_text())
    manifest["files"]["golden.npz"] |= {"sha256": sha256_of(golden), "bytes": golden.stat().st_size}
    (sequence_bundle / "manifest.json").write_text(json.dumps(manifest))
    return sequence_bundle


@contextmanager
def serving(bundle: Path) -> Iterator[subprocess.Popen[str]]:
    ports = [word for name in ("http", "grpc", "metrics") for word in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "attnexport", "serve", str(bundle), *ports, "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(process.stderr.read())


def test_a_sequence_model_that_writes_other_tokens_is_not_served(sequence_bundle: Path) -> None:
    with serving(sequence_bundle) as serve:
        _, error = serve.communicate(timeout=120)
    assert serve.returncode == 1
    assert "model 'words' decodes other tokens than the original in 5 of 5 rows" in error


def test_a_sequence_model_is_verified_token_by_token_and_reloaded(true_bundle: Path) -> None:
    (case,) = StoredBundle.open(true_bundle).golden()
    source, tokens = case.feeds["source"], case.reference["tokens"]
    with serving(true_bundle) as serve:
        verified = wait_for(serve, "verified")
        assert verified["model"] == "words"
        assert f"{len(source)} of {len(source)} rows" in verified["message"]
        ready = wait_for(serve, "ready")
        assert ready["models"] == ["words"]

        def asked() -> list[int]:
            one = {"name": "source", "datatype": "INT64", "shape": [1, source.shape[1]], "data": source[0].tolist()}
            request = urllib.request.Request(
                f"{ready['http']}/v2/models/words/infer", json.dumps({"inputs": [one]}).encode()
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                outputs = {output["name"]: output["data"] for output in json.load(answer)["outputs"]}
            return outputs["tokens"]

        assert asked() == tokens[0].tolist()
        manifest = true_bundle / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")
        serve.send_signal(signal.SIGHUP)
        assert wait_for(serve, "reloaded")["version"] == 2
        assert asked() == tokens[0].tolist()
        serve.terminate()
        assert wait_for(serve, "stopped")["message"] == "every accepted request was answered"
        assert serve.wait(60) == 0
