"""What a user can get wrong, through the command line: one clear line, exit code 2, no traceback, nothing left on disk."""

from __future__ import annotations

import atexit
import functools
import json
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from attnexport.cli import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STN = EXAMPLES / "digits_stn_cbam.pt"
SASA_STATE = "sasa_state.pt"

MODELS = """
import torch
from torch import nn

class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        y = self.fc(x)
        if y.sum() > 0:
            return y
        return -y

class Eigen(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        y = self.fc(x)
        return torch.linalg.eigvals(y[:, :, None] * y[:, None]).real

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        return self.fc(x).view(2, 2, 2)

def number():
    return 7
"""


class Plant:
    """Unpickling this creates a file: proof that code ran."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (self.path, "w"))


def state_dict() -> dict[str, torch.Tensor]:
    state = torch.load(EXAMPLES / "digits_sasa.pt", weights_only=True)["state_dict"]
    assert isinstance(state, dict)
    return state


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a user's models, good and bad."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user_models.py").write_text(MODELS)
    return tmp_path


def truncated() -> None:
    Path("cut.pt").write_bytes(STN.read_bytes()[:50_000])


def state() -> None:
    torch.save(state_dict(), SASA_STATE)


def changed(**values: torch.Tensor | None) -> Callable[[], None]:
    """A state dict with some tensors replaced, or left out."""

    def make() -> None:
        weights = state_dict()
        for name, value in values.items():
            key = next(k for k in weights if k.endswith(name.replace("__", ".")))
            if value is None:
                del weights[key]
            else:
                weights[key] = value
        torch.save(weights, SASA_STATE)

    return make


def malicious() -> None:
    with Path("evil.pt").open("wb") as stream:
        pickle.dump({"state_dict": Plant("planted")}, stream)


def onnx_model(opset: int = 18, external: str | None = None) -> Callable[[], None]:
    def make() -> None:
        weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
        if external is not None:
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            entry = weight.external_data.add()
            entry.key, entry.value = "location", external
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
            [weight],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        Path("model.onnx").write_bytes(made.SerializeToString())

    return make


def training_program() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    torch.export.save(torch.export.export(module, (torch.randn(2, 4),)), "net.pt2")


def existing_bundle() -> None:
    shutil.copytree(bundle_of_stn(), "there.attn")


@functools.cache
def bundle_of_stn() -> Path:
    """Exported once; its folder stays until this process ends."""
    out = Path(tempfile.mkdtemp(prefix="bad_inputs")) / "there.attn"
    atexit.register(shutil.rmtree, out.parent, ignore_errors=True)
    main_exit([str(STN), "--out", str(out), "--precision", "fp32", "--quiet"], expected=0)
    return out


def bad_samples(shape: tuple[int, ...], dtype: str = "float32") -> Callable[[], None]:
    return lambda: np.savez("samples.npz", x=np.zeros(shape, dtype))


def main_exit(argv: list[str], expected: int) -> None:
    try:
        main(argv)
    except SystemExit as stop:
        assert (stop.code or 0) == expected
    else:
        assert expected == 0


@dataclass(frozen=True)
class Bad:
    argv: list[str]
    said: list[str]
    make: Callable[[], object] = lambda: None


factory = ["--random-weights", "--input", "x=2x4", "--factory"]
sasa = [SASA_STATE, "--arch", "digits_sasa"]

CASES = {
    "missing file": Bad(["nowhere.pt"], ["nowhere.pt", "does not exist"]),
    "directory": Bad(["d"], ["is a directory"], lambda: Path("d").mkdir()),
    "empty file": Bad(["e.pt"], ["e.pt", "empty"], lambda: Path("e.pt").touch()),
    "truncated zip": Bad(["cut.pt"], ["cut.pt"], truncated),
    "HTML saved as .pt": Bad(
        ["p.pt"], ["HTML"], lambda: Path("p.pt").write_text("<!DOCTYPE html><html><body>404</body>")
    ),
    "git-lfs pointer": Bad(
        ["l.pt"],
        ["git-lfs pointer", "git lfs pull"],
        lambda: Path("l.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
    ),
    "no model": Bad(["--trt"], ["no MODEL is given"]),
    "state dict without --arch": Bad([SASA_STATE], ["--arch"], state),
    "unknown arch": Bad([SASA_STATE, "--arch", "digits_sassa"], ["digits_sassa", "digits_sasa"], state),
    "another arch": Bad([SASA_STATE, "--arch", "digits_lrnet"], ["missing", "unexpected"], state),
    "a missing key": Bad(sasa, ["missing", "head.weight"], changed(head__weight=None)),
    "a mis-shaped key": Bad(
        sasa, ["'head.weight' is 10x3 in the file and 10x128 in the module"], changed(head__weight=torch.zeros(10, 3))
    ),
    "NaN weights": Bad(sasa, ["NaN", "head.bias"], changed(head__bias=torch.full((10,), float("nan")))),
    "a malicious pickle": Bad(["evil.pt"], ["open", "--allow-pickle"], malicious),
    "kwargs that are no JSON": Bad([*sasa, "--kwargs", "{width: 3}"], ["--kwargs", "not JSON"], state),
    "kwargs that the arch lacks": Bad([*sasa, "--kwargs", '{"wide": 3}'], ["wide"], state),
    "a factory that is not there": Bad([*factory, "user_models:Brunch"], ["Brunch", "Branch"]),
    "a factory that makes no module": Bad([*factory, "user_models:number"], ["user_models:number", "int"]),
    "no input shapes": Bad(["--random-weights", "--factory", "user_models:Branch"], ["--input x="]),
    "wrong input rank": Bad([str(STN), "--input", "x=2x3x32"], ["fails on x float32 (2, 3, 32)"]),
    "wrong input dtype": Bad([str(STN), "--input", "x=2x3x32x32:int64"], ["fails on x int64"]),
    "unknown input dtype": Bad([str(STN), "--input", "x=2x3x32x32:floaty"], ["floaty", "float32"]),
    "unknown input": Bad([str(STN), "--input", "image=2x3x32x32"], ["'image'", "takes x"]),
    "zero-size input": Bad([str(STN), "--input", "x=2x0x32x32"], ["size 0", "at least 1"]),
    "min above opt": Bad([str(STN), "--dynamic", "x:0=8:4:16"], ["8:4:16", "min <= opt <= max"]),
    "unknown axis": Bad([str(STN), "--dynamic", "x:7=1:4:16"], ["axis 7", "4 axes"]),
    "static and dynamic": Bad([str(STN), "--static", "--dynamic", "x:0=1:2:4"], ["--static", "--dynamic"]),
    "an axis that the model fixes": Bad(
        [*factory, "user_models:Fixed", "--dynamic", "x:0=1:2:4"], ["axis 0 of 'x' at 2", "--static"]
    ),
    "output in no folder": Bad([str(STN), "--out", "no/where.attn"], ["no", "does not exist"]),
    # Nobody may make a directory there, root included.
    "output that cannot be written": Bad([str(STN), "--out", "/sys/x.attn"], ["/sys/x.attn cannot be written"]),
    "output that is a file": Bad(
        [str(STN), "--out", "f.attn"], ["f.attn", "not a bundle"], lambda: Path("f.attn").touch()
    ),
    "output that exists": Bad(
        [str(STN), "--out", "there.attn"], ["there.attn", "--force", "another --out."], existing_bundle
    ),
    "external data outside its folder": Bad(["model.onnx"], ["../secret"], onnx_model(external="../secret")),
    "external data that is missing": Bad(["model.onnx"], ["weights.bin"], onnx_model(external="weights.bin")),
    "opset too old": Bad(["model.onnx"], ["opset 6"], onnx_model(opset=6)),
    "a model without parameters": Bad(
        ["p.pt", "--allow-pickle", "--input", "x=2x4"], ["no parameters"], lambda: torch.save(nn.ReLU(), "p.pt")
    ),
    "a program in training mode": Bad(["net.pt2"], ["training"], training_program),
    "data-dependent control flow": Bad(
        [*factory, "user_models:Branch"], ["data-dependent", "user_models.py:", "torch.where"]
    ),
    "an unsupported operator": Bad([*factory, "user_models:Eigen"], ["aten.linalg_eig", "user_models.py:"]),
    "samples that are not there": Bad([str(STN), "--samples", "no.npz"], ["no.npz", "do not exist"]),
    "samples of a wrong rank": Bad([str(STN), "--samples", "samples.npz"], ["rank 3"], bad_samples((5, 3, 32))),
    "samples of a wrong dtype": Bad(
        [str(STN), "--samples", "samples.npz"], ["int64"], bad_samples((5, 3, 32, 32), "int64")
    ),
    "an unknown TensorRT": Bad([str(STN), "--trt=tensorflow"], ["--trt tensorflow"]),
    "an unknown GPU": Bad([str(STN), "--trt=rtx", "--compute-capability", "3.5"], ["3.5", "8.9"]),
    "not an amount of memory": Bad([str(STN), "--workspace", "lots"], ["lots", "4G"]),
    "a gate of nothing": Bad([str(STN), "--gate", "0"], ["--gate 0"]),
    "a negative seed": Bad([str(STN), "--seed", "-1"], ["--seed -1"]),
    "a bundle as the model": Bad(["there.attn"], ["bundle", "attnexport check"], existing_bundle),
    "an unknown precision": Bad([str(STN), "--precision", "fp4"], ["fp4", "fp16"]),
    "too many output names": Bad([str(STN), "--output", "a", "--output", "b"], ["2 output names for 1"]),
}


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES.keys())
def test_a_bad_input_gets_one_line_and_exit_code_2(bad: Bad, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad.make()
    before = sorted(folder.rglob("*"))
    capfd.readouterr()
    main_exit(bad.argv, expected=2)
    out, err = capfd.readouterr()
    last = err.strip().splitlines()
    assert len(last) == 1, err
    assert last[0].startswith("attnexport: ")
    for words in bad.said:
        assert words in last[0]
    assert "Traceback" not in out + err
    left = [p for p in folder.rglob("*") if "__pycache__" not in p.parts]
    assert sorted(left) == [p for p in before if "__pycache__" not in p.parts]


def run_limited(argv: list[str], limit: int) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own in which no file may grow beyond ``limit`` bytes."""
    return subprocess.run(
        [sys.executable, "-m", "attnexport", *argv],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def test_a_full_disk_is_said_and_leaves_nothing(folder: Path) -> None:
    done = run_limited([str(STN), "--out", "x.attn", "--quiet"], 100_000)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "x.attn" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in folder.iterdir() if p.name != "__pycache__"] == ["user_models.py"]


def test_an_error_is_json_for_machines(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main_exit(["nowhere.pt", "--json"], expected=2)
    out, err = capfd.readouterr()
    assert err == ""
    said = json.loads(out)
    assert said["exit_code"] == 2
    assert "nowhere.pt" in said["error"]


def test_debug_shows_the_traceback_and_keeps_the_exit_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main_exit(["nowhere.pt", "--debug"], expected=2)
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("attnexport: ")


@pytest.mark.parametrize("command", ["check", "inspect"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: None, "does not exist"),
        (lambda: Path("b.attn").mkdir(), "manifest"),
        (lambda: (Path("b.attn").mkdir(), Path("b.attn/manifest.json").write_text("{")), "JSON"),
    ],
    ids=["missing", "empty", "broken"],
)
def test_a_bad_bundle_is_one_line(
    command: str, make: Callable[[], object], said: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make()
    main_exit([command, "b.attn"], expected=2)
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert said in err
