"""The registry: what it knows, what it builds and refuses, and that a module remembers what it was built from."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch

from attnexport.export.source import checkpoint
from attnexport.models import distinct, registry
from attnexport.runtime.spec import TensorSpec

NAMES = ("digits_lrnet", "digits_sasa", "digits_stn_cbam")
OPTIONS = {
    "digits_lrnet": {"classes": 5, "width": 16, "kernel_size": 3, "share": 4, "composability": "product"},
    "digits_sasa": {"classes": 5, "width": 16, "kernel_size": 5, "heads": 2},
    "digits_stn_cbam": {"classes": 5, "width": 8, "reduction": 4},
}


def test_the_digits_networks_are_known():
    assert set(NAMES) <= set(registry.names())
    assert list(registry.names()) == sorted(registry.REGISTRY)


def feeds(inputs, point):
    """Arguments of ``forward`` at a point of the profile: real values, or none under the meta device."""
    specs = [TensorSpec.from_json(spec) for spec in inputs]
    return [
        torch.randn(spec.shape(point))
        if spec.dtype == "float32"
        else torch.randint(spec.low or 0, spec.high or 2, spec.shape(point), dtype=getattr(torch, spec.dtype))
        for spec in specs
    ]


@pytest.mark.parametrize("name", registry.names())
def test_an_entry_says_what_the_network_takes(name):
    entry = registry.entry(name)
    assert entry.name == name
    assert entry.paper
    assert entry.summary
    for inputs in (entry.inputs, entry.reduced_inputs or entry.inputs):
        specs = [TensorSpec.from_json(spec) for spec in inputs]
        assert [spec.to_json() for spec in specs] == list(inputs)
        assert all(spec.axes[0].symbol == "batch" and spec.axes[0].max > spec.axes[0].min for spec in specs)
    with torch.device("meta"):
        model = registry.build(name)
    assert [spec["name"] for spec in entry.inputs] == list(inspect.signature(model.forward).parameters)


GROUPS = distinct.reduced(registry.names())


@pytest.mark.parametrize("name", GROUPS)
def test_a_reduced_network_gives_what_its_entry_says_at_every_point(name):
    entry = registry.entry(name)
    model = registry.build(name, **entry.reduced_options).eval()
    for point in ("min", "opt", "max"):
        arguments = feeds(entry.reduced_inputs or entry.inputs, point)
        with torch.no_grad():
            outputs = model(*arguments)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert len(outputs) == len(entry.outputs)
        assert all(output.shape[0] == arguments[0].shape[0] and output.isfinite().all() for output in outputs)


LONG = {name for name in registry.names() if name.startswith("seq2seq_") and name != "seq2seq_luong_concat"}
"""A step of these takes as long on the meta device as on a CPU."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.sweep] if name in LONG else []) for name in registry.names()]
)
def test_a_whole_network_keeps_its_batch(name):
    """On the meta device, where shapes are computed and no values."""
    entry = registry.entry(name)
    with torch.device("meta"), torch.no_grad():
        arguments = feeds(entry.inputs, "min")
        outputs = registry.build(name).eval()(*arguments)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(entry.outputs)
    assert all(output.shape[0] == arguments[0].shape[0] for output in outputs)


def test_reduced_networks_that_are_the_same_are_found_and_others_kept_apart():
    assert GROUPS["resnet18_se"] == ("resnet18_se", "resnet34_se")
    assert GROUPS["resnet101_se"] == ("resnet101_se", "resnet50_se")
    assert sorted(name for group in GROUPS.values() for name in group) == list(registry.names())
    for apart in ("resnet18_gam", "resnet18_gam_notes", "stn_affine", "sasa_resnet26", "seq2seq_luong_local_p"):
        assert apart in GROUPS


def test_one_attribute_or_one_shape_makes_another_structure():
    def network(**options):
        return registry.build("digits_lrnet", **options)

    assert distinct.structure(network()) == distinct.structure(network())
    assert distinct.structure(network()) != distinct.structure(network(composability="product"))
    assert distinct.structure(network()) != distinct.structure(network(classes=11))


def test_every_family_lists_its_names():
    families = registry.families()
    assert families["stn"] == ("stn_affine", "stn_projective", "stn_tps")
    assert sorted(name for names in families.values() for name in names) == list(registry.names())


@pytest.mark.parametrize("name", NAMES)
def test_digits_networks_take_images_and_give_logits(name):
    entry = registry.entry(name)
    assert entry.inputs[0]["axes"] == [{"symbol": "batch", "min": 1, "opt": 4, "max": 16}, 3, 32, 32]
    assert (entry.outputs, entry.task) == (("logits",), "classification")
    assert registry.build(name).eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_options_reach_the_network(name):
    default, small = registry.build(name), registry.build(name, **OPTIONS[name])
    assert small.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in default.parameters())


def test_the_random_state_decides_the_weights():
    torch.manual_seed(3)
    first = registry.build("digits_sasa")
    torch.manual_seed(3)
    again, other = registry.build("digits_sasa"), registry.build("digits_sasa")
    weight = "head.weight"
    assert torch.equal(first.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits_sassa", "architecture 'digits_sassa' is not known: did you mean digits_sasa"),
        ("digit_lrnet", "did you mean digits_lrnet"),
        ("zzz", f"architecture 'zzz' is not known: attnexport models lists the {len(registry.names())} that are"),
    ],
)
@pytest.mark.parametrize("function", [registry.entry, registry.build])
def test_an_unknown_name_gets_its_near_misses(function, name, message):
    with pytest.raises(ValueError, match=message):
        function(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits_sasa", {"depth": 3}, "digits_sasa has no option 'depth': it takes classes, width, kernel_size, heads"),
        ("digits_sasa", {"classes": "ten"}, "option 'classes' of digits_sasa is 'ten': it takes int"),
        ("digits_sasa", {"classes": True}, "option 'classes' of digits_sasa is True: it takes int"),
        ("digits_sasa", {"classes": None}, "option 'classes' of digits_sasa is None: it takes int"),
        ("digits_sasa", {"width": -4}, "option 'width' of digits_sasa is -4: it takes 1 or more"),
        ("digits_sasa", {"kernel_size": 4}, "kernel size 4 is not odd"),
        ("digits_sasa", {"heads": 5}, "5 heads do not divide"),
        ("digits_lrnet", {"composability": "cosine"}, "composability 'cosine' is not one of"),
        ("digits_lrnet", {"share": 7}, "7 channels to a weight do not divide"),
        ("digits_stn_cbam", {"reduction": 5}, "reduction 5 does not divide 16 channels"),
    ],
)
def test_a_wrong_option_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        registry.build(name, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("copied", [lambda m: m, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_module_remembers_what_it_was_built_from(name, copied):
    module = copied(registry.build(name, **OPTIONS[name]))
    assert registry.describe(module) == (name, OPTIONS[name])
    assert registry.describe(module.double().eval()) == (name, OPTIONS[name])


def test_what_describe_returns_can_be_changed_without_harm():
    module = registry.build("digits_sasa", classes=5)
    described = registry.describe(module)
    assert described is not None
    described[1]["classes"] = 7
    assert registry.describe(module) == ("digits_sasa", {"classes": 5})


def test_other_modules_have_no_description():
    module = registry.build("digits_sasa")
    assert registry.describe(torch.nn.Linear(2, 2)) is None
    assert registry.describe(module.features) is None
    assert registry.describe(torch.nn.Sequential(module)) is None


def test_remembering_leaves_the_state_dict_alone():
    module = registry.build("digits_sasa")
    plain = registry.entry("digits_sasa").builder()
    assert list(module.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(module.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_build_save_load_round_trip(name, tmp_path):
    entry = registry.entry(name)
    module = registry.build(name, **OPTIONS[name]).eval()
    path = checkpoint.save(module, tmp_path / "m.pt", inputs=entry.inputs, outputs=entry.outputs, task=entry.task)
    saved = checkpoint.parse(torch.load(path, weights_only=True), "m.pt")
    assert (saved.arch, saved.kwargs) == (name, OPTIONS[name])
    assert (saved.outputs, saved.task) == (entry.outputs, entry.task)
    again = registry.build(saved.arch, **saved.kwargs).eval()
    again.load_state_dict(saved.state_dict)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(x), module(x))


@pytest.mark.parametrize("name", NAMES)
def test_networks_run_in_fp64_and_export_with_a_free_batch_axis(name):
    module = registry.build(name).double().eval()
    batch = torch.export.Dim("batch", min=1, max=16)
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for size in (1, 3, 16):
        x = torch.randn(size, 3, 32, 32, dtype=torch.float64)
        assert module(x).dtype == torch.float64
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-10)
