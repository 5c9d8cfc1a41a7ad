"""The Python API: a module in memory becomes a bundle, and the bundle does what the commands do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attnexport
from attnexport.errors import BundleError, InputError, StageError
from attnexport.export.api.options import arguments_of, inputs_of, named, options_of, samples_file
from attnexport.export.api.torch_session import TorchSession
from attnexport.export.options.inputs import DynamicArgument, InputArgument
from attnexport.runtime.check.check_rows import CheckResult
from attnexport.runtime.spec import Axis, TensorSpec


class Net(nn.Module):
    """Two inputs, one of them whole numbers; two outputs by name; a dropout that only training shows."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.mix = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens: Tensor, scale: Tensor) -> dict[str, Tensor]:
        mixed = self.dropout(self.mix(self.embed(tokens)).tanh()) * scale
        return {"mixed": mixed, "mean": mixed.mean(1)}


TOKENS = torch.randint(0, 20, (2, 6), generator=torch.Generator().manual_seed(0))
SCALE = torch.linspace(1, 2, 8)


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(3)
    return Net().double().train()


@pytest.fixture(scope="module")
def bundle(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[attnexport.Bundle]:
    out = tmp_path_factory.mktemp("api") / "net.attn"
    yield attnexport.export(
        net, {"tokens": TOKENS, "scale": SCALE}, out=out, dynamic={"tokens": {0: (1, 2, 4)}}, precision="fp32"
    )


def test_a_module_becomes_a_bundle_with_its_own_names(bundle: attnexport.Bundle) -> None:
    assert [spec.describe() for spec in bundle.inputs] == ["tokens int64 [batch=1:2:4, 6]", "scale float32 [8]"]
    assert (bundle.inputs[0].low, bundle.inputs[0].high) == (0, int(TOKENS.max()) + 1)
    assert [spec.name for spec in bundle.outputs] == ["mixed", "mean"]
    source = bundle.manifest.source
    assert (source.kind, source.arch, bundle.manifest.name) == ("module", "Net", "Net")
    assert repr(bundle).startswith(f"<bundle {bundle.path}: tokens int64 [batch=1:2:4, 6], scale float32 [8] -> mixed")


def test_the_module_is_not_changed(net: Net, bundle: attnexport.Bundle) -> None:
    assert net.training
    assert net.dropout.training
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert all(p.requires_grad for p in net.parameters())
    assert "the module is in training mode: its copy was switched to eval" in bundle.manifest.source.notes
    assert "float64 weights converted to float32" in bundle.manifest.source.notes


def test_it_runs_as_pytorch_does_over_every_backend(net: Net, bundle: attnexport.Bundle) -> None:
    net.eval()
    expected = net(TOKENS, SCALE.double())
    net.train()
    for backend in ("ort-cpu", "torch"):
        with bundle.open(backend) as session:
            assert session.backend == backend
            got = session.run({"tokens": TOKENS, "scale": SCALE})
            assert list(got) == ["mixed", "mean"]
            for name, tensor in expected.items():
                np.testing.assert_allclose(got[name], tensor.detach(), atol=1e-6)
            with pytest.raises(InputError, match=r"axis 0 of input 'tokens' has size 5"):
                session.run({"tokens": TOKENS[:1].repeat(5, 1), "scale": SCALE})


def test_a_bundle_is_verified_and_opened_by_its_path(bundle: attnexport.Bundle) -> None:
    proof = bundle.verify()
    assert isinstance(proof, CheckResult)
    assert proof.passed
    assert {row.stage for row in proof.rows} == {"onnx-fp32"}
    again = attnexport.Bundle(str(bundle.path))
    assert again.manifest == bundle.manifest
    for path in (bundle.path, str(bundle.path), again):
        with attnexport.open(path, "ort-cpu") as session:
            assert session.input_names == ("tokens", "scale")
    with pytest.raises(InputError, match=r"holds no PyTorch module\. give what it was exported from"):
        again.open("torch")
    with again.open("torch", model=Net()) as session:
        assert session.run({"tokens": TOKENS, "scale": SCALE})["mean"].shape == (2, 8)
    with pytest.raises(InputError, match="a model is given with backend 'auto'"):
        again.open(model=Net())
    with pytest.raises(BundleError, match=r"bundle nothing\.attn does not exist"):
        attnexport.open("nothing.attn")


def test_the_original_of_a_file_is_held_to_its_hash(bundle: attnexport.Bundle, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"another")
    plain = attnexport.export("examples/digits_lrnet.pt", out=tmp_path / "lrnet.attn", precision="fp32", static=True)
    with pytest.raises(BundleError, match=r"net\.pt is not the file that .*lrnet\.attn was exported from"):
        plain.open("torch", model=tmp_path / "net.pt")
    with plain.open("torch", model="examples/digits_lrnet.pt") as original, plain.open("ort-cpu") as ours:
        x = {"x": np.random.default_rng(0).normal(size=ours.inputs[0].shape("opt")).astype(np.float32)}
        np.testing.assert_allclose(original.run(x)["logits"], ours.run(x)["logits"], atol=1e-4)
    with pytest.raises(InputError, match="task 'classification' is given beside the file"):
        attnexport.export("examples/digits_lrnet.pt", task="classification")


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])


def test_export_is_a_function_and_a_package_in_any_order() -> None:
    code = """
import attnexport
first = attnexport.export
import attnexport.export.progress
assert attnexport.export is first and callable(first)
from attnexport import export
assert export is first and attnexport.export.progress.Silent
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert inspect.signature(attnexport.export.api.export.export).parameters.keys() >= {"module", "inputs", "trt"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (((), {}), "no example inputs are given for Net"),
        ((({},), {}), "no input is given"),
        ((({"tokens": TOKENS, "scale": 2.0},), {}), "input 'scale' is a float, not a tensor"),
        ((((TOKENS, SCALE, SCALE),), {}), r"3 inputs are given, and forward takes tokens, scale"),
        ((({"token": TOKENS, "scale": SCALE},), {}), r"'token', which is not an input of the model"),
        ((({"tokens": TOKENS, "scale": SCALE},), {"precision": "fp12"}), "--precision fp12"),
        ((({"tokens": TOKENS, "scale": SCALE},), {"output": ["a"]}), "no argument 'output'. use outputs"),
        ((({"tokens": TOKENS, "scale": SCALE},), {"presision": "fp16"}), "presision"),
        ((({"tokens": TOKENS, "scale": SCALE},), {"samples": {"tokens": [1]}}), "samples of 'tokens' are a list"),
    ],
)
def test_wrong_arguments_are_one_line(net: Net, tmp_path: Path, arguments: Any, problem: str) -> None:
    positional, options = arguments
    with pytest.raises(InputError, match=problem) as caught:
        attnexport.export(net, *positional, out=tmp_path / "net.attn", **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_module_and_what_cannot_be_copied_is_refused(net: Net, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"<class .*Net'> is not an nn\.Module or a file"):
        attnexport.export(Net, TOKENS)  # type: ignore[arg-type]
    stuck = Net()
    stuck.cache = stuck.embed(TOKENS)  # type: ignore[assignment]
    with pytest.raises(InputError, match="Net cannot be copied"):
        attnexport.export(stuck, (TOKENS, SCALE), out=tmp_path / "net.attn")


class Nested(nn.Module):
    def forward(self, batch: Any, more: Any = None) -> Any:
        return batch


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (TOKENS, ["batch"]),
        ((TOKENS, SCALE), ["batch", "more"]),
        ({"more": SCALE, "batch": TOKENS}, ["more", "batch"]),
        ({"batch": {"image": SCALE, "maps": [TOKENS, (SCALE,)]}}, ["batch.image", "batch.maps.0", "batch.maps.1.0"]),
        ((SCALE.numpy(), TensorSpec("any", "float32", (Axis.fixed(2),))), ["batch", "more"]),
    ],
)
def test_examples_get_the_names_of_forward_and_the_paths_below(inputs: Any, names: list[str]) -> None:
    assert list(named(Nested(), inputs)) == names


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        (torch.zeros(1, 3, 32, 32), InputArgument("x", (1, 3, 32, 32), "float32")),
        (np.zeros((2,), np.float16), InputArgument("x", (2,), "float16")),
        (torch.zeros(4, dtype=torch.bfloat16), InputArgument("x", (4,), "float32")),
        (torch.tensor([[3, 7]]), InputArgument("x", (1, 2), "int64", (0, 8))),
        (torch.tensor([-2, 5], dtype=torch.int32), InputArgument("x", (2,), "int32", (-2, 6))),
        (torch.tensor([True]), InputArgument("x", (1,), "bool")),
        (torch.tensor(1.5), InputArgument("x", (), "float32")),
        (TensorSpec("y", "int64", (Axis.fixed(5),), 0, 9), InputArgument("x", (5,), "int64", (0, 9))),
    ],
)
def test_an_example_becomes_an_input(value: Any, argument: InputArgument) -> None:
    assert arguments_of("x", value) == (argument, ())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(2, 0), "size 0 in --input 'x=2x0' is not usable"),
        (torch.zeros(2, dtype=torch.complex64), "dtype 'complex64' in --input 'x=2:complex64' is not known"),
    ],
)
def test_an_unusable_example_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        arguments_of("x", value)


@pytest.mark.parametrize(
    ("dynamic", "arguments"),
    [
        ({"x": {0: (1, 4, 16)}}, (DynamicArgument("x", 0, None, (1, 4, 16)),)),
        (
            {"x": {0: (1, 16), 2: ("width", 8, 32, 64)}, "m": {1: "width"}},
            (
                DynamicArgument("x", 0, None, (1, None, 16)),
                DynamicArgument("x", 2, "width", (8, 32, 64)),
                DynamicArgument("m", 1, "width", None),
            ),
        ),
        (("x:0=1:4:16",), (DynamicArgument("x", 0, None, (1, 4, 16)),)),
        ((), ()),
    ],
)
def test_dynamic_axes_are_read(dynamic: Any, arguments: tuple[DynamicArgument, ...]) -> None:
    assert inputs_of({}, dynamic) == ((), arguments, False)


def test_options_are_those_of_the_command_line(net: Net) -> None:
    inputs = (TOKENS, SCALE)
    more = {"precision": "fp16", "gate": 3.0, "workspace": "1G", "seed": 7, "io_precision": "same", "static": True}
    made = options_of(net, inputs, {"trt": True, **more})
    assert (made.trt, made.gate, made.engine.workspace_bytes, made.seed, made.io_precision) == (
        "auto", 3.0, 1 << 30, 7, "same",
    )  # fmt: skip
    assert options_of(net, inputs, {"trt": "rtx"}).trt == "rtx"
    assert options_of(net, inputs, {"trt": False}).trt is None


def test_samples_are_written_for_as_long_as_they_are_read() -> None:
    with (
        samples_file({"x": torch.ones(2, 3, requires_grad=True), "labels": np.array([1, 2])}) as path,
        np.load(path) as found,
    ):
        assert {name: found[name].shape for name in found} == {"x": (2, 3), "labels": (2,)}
    assert not path.exists()


def test_the_torch_session_has_the_manners_of_the_others() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9))
    x = torch.ones(4, 3)
    with TorchSession(module, ["x"], ["y"], "cpu") as session:
        np.testing.assert_array_equal(session.run({"x": x.numpy()})["y"], module[0](x).detach().numpy())
        assert module.training, "a copy evaluates"
        with pytest.raises(InputError, match="the module takes x, not z"):
            session.run({"z": x})
        with pytest.raises(StageError, match=r"torch: the module fails: .*mat1 and mat2"):
            session.run({"x": x[:, :2]})
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": x})
    with TorchSession(module, ["x"], ["y", "z"], "cpu") as session, pytest.raises(StageError, match="gives 1 tensors"):
        session.run({"x": x})
