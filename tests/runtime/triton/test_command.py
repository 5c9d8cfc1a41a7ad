"""``attnexport triton`` as it is typed: what it prints, what it says where something is wrong, and that it asks nothing of torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.cli import main


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_it_says_what_was_written_and_what_clients_call(affine_bundle, sequence_bundle, tmp_path, capsys):
    repo = tmp_path / "repo"
    assert run("triton", affine_bundle(), sequence_bundle, "--out", repo, "--session", "ort-cpu") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["net", "1", "python", "up", "to", "4", "attnexport,", "ort-cpu"] in lines
    assert ["words", "1", "ensemble", "up", "to", "6", "words_encoder,", "then", "words_decode"] in lines
    assert ["clients", "call", "net,", "words"] in lines


def test_json_lists_the_models(affine_bundle, tmp_path, capsys):
    repo, bundle = tmp_path / "repo", affine_bundle()
    run("triton", bundle, "--out", repo, "--name", "other", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "repository": str(repo),
        "models": [
            {
                "name": "other", "version": 1, "backend": "python", "folder": str(repo / "other"), "bundle": str(bundle),
                "max_batch": 4, "role": "model", "how": "attnexport, the session that fits best", "notes": [],
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.attn", "--out", "repo"], "attnexport: bundle none.attn does not exist."),
        (["BUNDLE", "--out", "repo", "--backend", "tflite"], "attnexport: backend 'tflite' is not known."),
        (["BUNDLE", "--out", "repo", "--backend", "tensorrt"], "has no engine for the tensorrt backend."),
        (["BUNDLE", "--out", "repo", "--max-queue", "9"], "max_queue_size 9 is set for 1 instance"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(affine_bundle, tmp_path, capsys, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    bundle = affine_bundle()
    assert run("triton", *[bundle if word == "BUNDLE" else word for word in words]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "repo").exists() or list((tmp_path / "repo").iterdir()) == []


_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from attnexport.cli import main
main({words!r})
"""


def test_it_needs_neither_torch_nor_onnx_nor_tensorrt_nor_onnxruntime(affine_bundle, tmp_path):
    words = ["triton", str(affine_bundle()), "--out", str(tmp_path / "repo")]
    code = _WITHOUT.format(missing=["torch", "onnx", "tensorrt", "tensorrt_rtx", "onnxruntime"], words=words)
    done = subprocess.run([sys.executable, "-c", code], cwd=os.sep, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "repo" / "net" / "config.pbtxt").is_file()


def test_without_tritonclient_it_says_what_to_install(affine_bundle, tmp_path):
    words = ["triton", str(affine_bundle()), "--out", str(tmp_path / "repo")]
    code = _WITHOUT.format(missing=["tritonclient"], words=words)
    done = subprocess.run([sys.executable, "-c", code], cwd=os.sep, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("attnexport: a model repository needs tritonclient")
    assert "pip install 'attnexport[serve]'" in done.stderr


def test_what_a_repositorys_model_imports_loads_without_tritonclient_torch_and_onnx():
    missing = ["torch", "onnx", "tritonclient", "google.protobuf", "typer"]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\nimport attnexport.runtime.triton.python_models"
    done = subprocess.run([sys.executable, "-c", code], cwd=os.sep, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
