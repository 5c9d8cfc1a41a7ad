"""Weights that do not fit, or that nothing can be made of, are named."""

from __future__ import annotations

import pytest
import torch

INPUT = ("x=1x3x8x8",)


@pytest.fixture
def without(here, net, refused):
    """Save the state dict after ``change`` and give the refusal."""

    def run(change, factory="tinynet:build", **options):
        weights = dict(net.state_dict())
        change(weights)
        torch.save(weights, here / "w.pt")
        return refused(here / "w.pt", factory=factory, inputs=INPUT, **options)

    return run


def test_state_dict_without_an_architecture(here, net, refused):
    torch.save(net.state_dict(), here / "w.pt")
    message = refused(here / "w.pt")
    assert "holds 9 weights and no architecture" in message
    assert "--arch" in message and "digits_sasa" in message and "--factory" in message


def test_missing_and_unexpected_names_with_near_misses(without):
    def change(w):
        w["convs.weight"] = w.pop("conv.weight")

    message = without(change)
    assert "8 of 9 names match" in message
    assert "1 missing: 'conv.weight' (did you mean 'convs.weight'?)" in message
    assert "1 unexpected: 'convs.weight'" in message


def test_only_three_names_of_each(without):
    def change(w):
        for name in [k for k in w if k.startswith(("conv", "head"))]:
            w[f"zz.{len(w)}"] = w.pop(name)
            w[f"yy.{len(w)}.{name[0]}"] = torch.ones(1)

    message = without(change)
    assert "4 missing: 'conv.weight', 'conv.bias', 'head.weight' and 1 more" in message
    assert "8 unexpected: " in message and " and 5 more" in message


def test_a_prefix_that_matches_nothing_is_left(here, refused):
    torch.save({"module.zz": torch.ones(1)}, here / "w.pt")
    assert "1 unexpected: 'module.zz'" in refused(here / "w.pt", factory="tinynet:build", inputs=INPUT)


def test_shapes(without):
    def change(w):
        w["head.weight"] = torch.zeros(10, 4)

    assert "1 of another shape: 'head.weight' is 10x4 in the file and 5x4 in the module" in without(change)
    assert "of another shape: 'conv.weight' is 4x3x3x3 in the file and 8x3x3x3" in without(
        lambda w: None, kwargs={"channels": 8}
    )


def test_wrong_architecture(here, net, refused):
    torch.save(net.state_dict(), here / "w.pt")
    message = refused(here / "w.pt", arch="digits_sasa")
    assert "names match" in message and "missing" in message and "check --arch" in message
    assert "'digits_sas' is not known" in refused(here / "w.pt", arch="digits_sas")
    assert "has no option 'depth'" in refused(here / "w.pt", arch="digits_sasa", kwargs={"depth": 3})


@pytest.mark.parametrize(
    ("name", "value", "fragment"),
    [
        ("head.weight", torch.full((5, 4), float("nan")), "weight 'head.weight' of w.pt holds NaN (20 of 20 values)"),
        ("head.bias", torch.tensor([1, 2, float("inf"), 4, 5]), "holds Inf (1 of 5 values)"),
        ("norm.running_var", torch.tensor([1, 2, float("nan"), 4]), "'norm.running_var' of w.pt holds NaN"),
        ("head.bias", torch.quantize_per_tensor(torch.ones(5), 0.1, 0, torch.qint8), "is quantised (qint8)"),
        ("head.bias", torch.ones(5).to(torch.float8_e4m3fn), "is quantised (float8_e4m3fn)"),
        ("head.bias", torch.ones(5, dtype=torch.int8), "is int8 where the module has float32"),
        ("head.bias", torch.ones(5, dtype=torch.complex64), "is complex64 where the module has float32"),
        ("head.bias", torch.ones(5).to_sparse(), "is sparse"),
        ("head.bias", torch.ones(5, device="meta"), "has no values"),
        ("norm.num_batches_tracked", torch.tensor(1.5), "is float32 where the module has int64"),
    ],
)
def test_values(without, name, value, fragment, here):
    def change(w):
        w[name] = value

    assert fragment in without(change).replace(f"{here}/", "")


def test_quantised_module_of_its_own_names(without):
    def change(w):
        w["head._packed_params.dtype"] = torch.ones(1)
        w["head.scale"] = torch.ones(1)

    assert "holds quantised weights" in without(change)


def test_module_without_parameters(here, refused, accepted):
    import sys

    torch.save({"a": torch.ones(1)}, here / "w.pt")
    assert "1 unexpected: 'a'" in refused(here / "w.pt", factory="tinynet:Bare", inputs=("x=1x2",))
    torch.save(sys.modules["tinynet"].Bare(), here / "m.pt")
    assert "has no parameters" in refused(here / "m.pt", allow_pickle=True, inputs=("x=1x2",))
    assert accepted(None, factory="tinynet:bare", random_weights=True, inputs=("x=1x2",)).name == "bare"


def test_checkpoint_fields(here, refused):
    good = {
        "attnexport": 1,
        "arch": "digits_sasa",
        "kwargs": {},
        "state_dict": {},
        "inputs": [],
        "outputs": [],
        "task": None,
    }
    for change, fragment in [
        ({"attnexport": 9}, "checkpoint of version 9"),
        ({"kwargs": 3}, "field 'kwargs'"),
        ({}, "holds no weights"),
        ({"state_dict": {"a": torch.ones(1)}}, "1 unexpected: 'a'"),
        ({"kwargs": {"nope": 1}}, "no option 'nope'"),
    ]:
        torch.save({**good, **change}, here / "c.pt")
        assert fragment in refused(here / "c.pt"), fragment


def test_quantised_torchscript(here, refused):
    engine = torch.backends.quantized.supported_engines
    if "fbgemm" not in engine and "onednn" not in engine:
        pytest.skip("no quantised CPU engine in this torch")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(4, 4)), {torch.nn.Linear})
        torch.jit.save(torch.jit.trace(net, torch.ones(1, 4)), here / "q.pt")
    assert "is quantised" in refused(here / "q.pt", inputs=("input=1x4",))


def test_traced_in_training_mode(here, refused):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout())
        torch.jit.save(torch.jit.trace(net.train(), torch.ones(1, 4), check_trace=False), here / "t.pt")
    assert "was traced in training mode (dropout is active)" in refused(here / "t.pt", inputs=("input=1x4",))
