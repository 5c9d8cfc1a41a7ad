"""Every input format gives the same numbers as the module from which the file was made."""

from __future__ import annotations

import hashlib
import warnings

import pytest
import torch
from safetensors.torch import save_file

from attnexport.export.source import checkpoint
from attnexport.models import registry

SPEC = {"name": "x", "dtype": "float32", "axes": [{"symbol": "batch", "min": 1, "opt": 2, "max": 8}, 3, 8, 8]}


def same(source, net, x, **kwargs):

    torch.testing.assert_close(source.module(x), net(x), **kwargs)


def described(source):
    return [s.describe() for s in source.inputs]


@pytest.mark.parametrize("arch", registry.families()["digits"])
def test_checkpoint_of_the_registry_needs_no_option(here, accepted, arch):
    torch.manual_seed(3)
    net = registry.build(arch).eval()
    entry = registry.entry(arch)
    path = checkpoint.save(net, here / "a.pt", inputs=entry.inputs, outputs=entry.outputs, task=entry.task)
    source = accepted(path)
    same(source, net, torch.randn(2, 3, 32, 32))
    assert (source.kind, source.name, source.arch, source.task) == ("checkpoint", "a", arch, "classification")
    assert source.outputs == ("logits",)
    assert source.explicit_dynamic
    assert described(source) == ["x float32 [batch=1:4:16, 3, 32, 32]"]
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any(p.requires_grad for p in source.module.parameters())
    assert list(source.notes) == []


def test_checkpoint_of_an_own_architecture_takes_a_factory(here, net, x, accepted, refused):
    path = checkpoint.save(net, here / "a.pt", inputs=[SPEC], arch="mine", kwargs={"channels": 4})
    assert "'mine', which is not built in" in refused(path)
    source = accepted(path, factory="tinynet:build")
    same(source, net, x)
    assert described(source) == ["x float32 [batch=1:2:8, 3, 8, 8]"]
    assert "holds 'mine', and --arch digits_sasa" in refused(path, arch="digits_sasa")


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dict(here, net, x, accepted, legacy):
    torch.save(net.state_dict(), here / "w.pt", _use_new_zipfile_serialization=not legacy)
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert (source.kind, source.arch, source.explicit_dynamic) == ("state_dict", "tinynet:build", False)
    assert described(source) == ["x float32 [batch=1:4:16, 3, 8, 8]"]


def test_the_suffix_is_not_believed(here, net, x, accepted):
    save_file(net.state_dict(), here / "weights.pt")
    same(accepted(here / "weights.pt", factory="tinynet:build", inputs=("x=1x3x8x8",)), net, x)


def test_safetensors_with_kwargs(here, accepted):
    import_net = accepted(
        None, factory="tinynet:build", kwargs={"channels": 6}, random_weights=True, inputs=("x=1x3x8x8",)
    )
    save_file(import_net.module.state_dict(), here / "w.safetensors")
    source = accepted(here / "w.safetensors", factory="tinynet:build", kwargs={"channels": 6}, inputs=("x=1x3x8x8",))
    same(source, import_net.module, torch.randn(1, 3, 8, 8))


def test_state_dict_of_a_registered_architecture_takes_its_inputs(here, accepted):
    torch.save(registry.build("digits_sasa").state_dict(), here / "w.pt")
    source = accepted(here / "w.pt", arch="digits_sasa")
    assert described(source) == ["x float32 [batch=1:4:16, 3, 32, 32]"]
    assert (source.outputs, source.task, source.explicit_dynamic) == (("logits",), "classification", True)


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state_dict", "ema", "model_ema", "net", "module"])
def test_nesting_is_found_and_said(here, net, x, accepted, nest):
    torch.save({"epoch": 3, nest: net.state_dict()}, here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert list(source.notes) == [f"weights found under {nest!r}"]


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "ema.", "module._orig_mod.", "model.module._orig_mod."]
)
def test_prefix_is_stripped_and_said(here, net, x, accepted, prefix):
    weights = {prefix + k: v for k, v in net.state_dict().items()}
    torch.save({"model": weights, "ema": {}, "optimizer": {"lr": 0.1}}, here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert list(source.notes) == ["weights found under 'model'", f"prefix {prefix!r} stripped from {len(weights)} keys"]


def test_compiled_submodule_and_averaged_model(here, net, x, accepted):
    averaged = torch.optim.swa_utils.AveragedModel(net)
    weights = {k.replace("conv.", "conv._orig_mod."): v for k, v in averaged.state_dict().items()}
    torch.save(weights, here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert list(source.notes) == [
        f"prefix 'module.' stripped from {len(weights) - 1} keys, '_orig_mod.' removed from 2 keys",
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_weights_are_converted_and_said(here, net, x, accepted, dtype):
    torch.save({k: v.to(dtype) for k, v in net.state_dict().items()}, here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    assert {p.dtype for p in source.module.parameters()} == {torch.float32}
    same(source, net.to(dtype).float(), x)
    assert list(source.notes) == [f"{str(dtype).removeprefix('torch.')} weights converted to float32"]


def test_missing_batch_counters_are_tolerated_and_said(here, net, x, accepted):
    torch.save({k: v for k, v in net.state_dict().items() if "num_batches" not in k}, here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert "1 num_batches_tracked counters are not in the file" in source.notes[0]


def test_infinite_buffers_are_masks(here, accepted):
    (here / "masked.py").write_text(
        "import torch\nclass M(torch.nn.Module):\n  def __init__(self):\n    super().__init__()\n"
        "    self.register_buffer('mask', torch.full((3,), float('-inf')))\n"
        "  def forward(self, x): return x + self.mask\n"
    )
    torch.save({"mask": torch.full((3,), float("-inf"))}, here / "w.pt")
    assert accepted(here / "w.pt", factory="masked:M", inputs=("x=1x3",)).kind == "state_dict"


@pytest.mark.parametrize("key", ["", "model"])
@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_module_when_allowed(here, net, x, accepted, key, legacy):
    net.train()
    net.half()
    torch.save({key: net} if key else net, here / "m.pt", _use_new_zipfile_serialization=not legacy)
    source = accepted(here / "m.pt", allow_pickle=True, inputs=("x=1x3x8x8",))
    assert (source.kind, source.arch) == ("pickle", "Net")
    same(source, net.float().eval(), x)
    assert list(source.notes[-2:]) == [
        "module was in training mode: switched to eval",
        "float16 weights converted to float32",
    ]
    assert source.notes[:-2] == (("module found under 'model'",) if key else ())


def test_pickled_module_gives_only_its_weights_to_a_factory(here, net, x, accepted):
    torch.save(net, here / "m.pt")
    source = accepted(here / "m.pt", allow_pickle=True, factory="tinynet:build", inputs=("x=1x3x8x8",))
    same(source, net, x)
    assert source.kind == "state_dict"


@pytest.mark.parametrize("scripted", [False, True])
def test_torchscript(here, net, x, accepted, scripted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive = torch.jit.script(net.head) if scripted else torch.jit.trace(net.head, torch.randn(2, 4))
        torch.jit.save(archive, here / "m.pt")
    source = accepted(here / "m.pt", inputs=("input=1x4",))
    same(source, net.head, torch.randn(3, 4))
    assert (source.kind, source.arch) == ("torchscript", "Linear")
    assert described(source) == ["input float32 [batch=1:4:16, 4]"]


def test_torchscript_in_training_mode_is_switched(here, net, accepted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net.drop.train()), here / "m.pt")
    source = accepted(here / "m.pt", inputs=("input=1x4",))
    torch.testing.assert_close(source.module(torch.ones(2, 4)), torch.ones(2, 4))
    assert list(source.notes) == ["module was in training mode: switched to eval"]


def export(net, path, **dims):
    shapes = {"x": {0: torch.export.Dim("rows", **dims)}} if dims else None
    program = torch.export.export(net, (torch.randn(2, 3, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def test_exported_program(here, net, x, accepted, refused):
    path = export(net, here / "m.pt2", min=1, max=32)
    source = accepted(path)
    same(source, net, x)
    assert (source.kind, source.explicit_dynamic) == ("exported_program", True)
    assert described(source) == ["x float32 [batch=1:2:32, 3, 8, 8]"]
    assert described(accepted(path, dynamic=("x:0=2:3:5",))) == ["x float32 [batch=2:3:5, 3, 8, 8]"]
    assert "stay inside" in refused(path, dynamic=("x:0=2:3:50",))
    assert "was exported with the fixed size 8" in refused(path, dynamic=("x:3=2:3:50",))
    assert "differs from what" in refused(path, inputs=("x=1x3x9x9",))
    assert "contains its architecture" in refused(path, factory="tinynet:build")
    assert described(accepted(export(net, here / "fixed.pt2"))) == ["x float32 [2, 3, 8, 8]"]


def test_random_weights_are_the_same_every_time(here, accepted):
    state = torch.random.get_rng_state()
    first = accepted(None, arch="digits_lrnet", random_weights=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    second = accepted(None, arch="digits_lrnet", random_weights=True)
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (first.kind, first.name, first.path, first.sha256) == ("random", "digits_lrnet", None, None)
    assert "random" in first.notes[0]


def test_every_input_of_forward_may_be_given(here, net, x, accepted):
    torch.save(net.state_dict(), here / "w.pt")
    source = accepted(here / "w.pt", factory="tinynet:build", inputs=("shift=2x5", "x=2x3x8x8"))
    assert described(source) == ["x float32 [batch=1:2:16, 3, 8, 8]", "shift float32 [batch=1:2:16, 5]"]
