"""A .pt2 file is refused wherever torch.export.load would run what it brings; each attack plants a file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import zipfile

import pytest
import torch

from attnexport.export.source.programs.expressions import is_arithmetic
from attnexport.export.source.programs.operators import is_target


class Plant:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def program(here, net):
    shapes = {"x": {0: torch.export.Dim("rows", min=1, max=16)}}
    torch.export.save(torch.export.export(net, (torch.randn(2, 3, 8, 8),), dynamic_shapes=shapes), here / "m.pt2")
    return here / "m.pt2"


@pytest.fixture
def attacked(here, program, repack, refused):
    """Repack the program after ``change(name, content)``: its refusal, with nothing planted."""

    def run(change=lambda name, content: content, extra=None):
        message = refused(repack(program, here / "evil.pt2", change, extra))
        assert not (here / "planted").exists()
        return message

    return run


def in_json(edit):
    """Apply ``edit(document)`` to the program's own JSON."""

    def change(name, content):
        if name.endswith("models/model.json"):
            document = json.loads(content)
            edit(document)
            return json.dumps(document).encode()
        return content

    return change


def test_an_untouched_copy_loads(here, program, repack, accepted):
    assert accepted(repack(program, here / "copy.pt2", lambda n, c: c)).kind == "exported_program"


def test_example_inputs_with_code(here, attacked):
    buffer = io.BytesIO()
    torch.save(Plant(here / "planted"), buffer)
    message = attacked(lambda n, c: buffer.getvalue() if n.endswith("sample_inputs/model.pt") else c)
    assert "is a pickle that loads more than tensors" in message
    assert "sample_inputs/model.pt" in message


@pytest.mark.filterwarnings("ignore")
def test_the_example_inputs_attack_is_real(here, program, repack):
    """torch itself falls back to full unpickling and runs the plant."""
    buffer = io.BytesIO()
    torch.save(Plant(here / "planted"), buffer)
    evil = repack(
        program, here / "evil.pt2", lambda n, c: buffer.getvalue() if n.endswith("sample_inputs/model.pt") else c
    )
    with contextlib.suppress(Exception):
        torch.export.load(evil)
    assert (here / "planted").is_dir()


def test_pickled_weights(here, attacked):
    def change(name, content):
        if name.endswith("weights_config.json"):
            document = json.loads(content)
            next(iter(document["config"].values()))["use_pickle"] = True
            return json.dumps(document).encode()
        return pickle.dumps(Plant(here / "planted")) if name.endswith("weight_0") else content

    assert "holds pickled weights" in attacked(change)


@pytest.mark.parametrize("path_name", ["opaque_obj_0", "custom_obj_0"])
def test_pickled_objects(here, attacked, path_name):
    payload = pickle.dumps(Plant(here / "planted"))

    def change(name, content):
        if not name.endswith("constants_config.json"):
            return content
        entry = {"path_name": path_name, "is_param": False, "use_pickle": False, "tensor_meta": None}
        return json.dumps({"config": {"obj": entry}}).encode()

    assert "holds a pickled object" in attacked(change, {f"data/constants/{path_name}": payload})


def test_symbolic_size_with_code(here, attacked):
    def edit(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "expr_str":
                    value[key] = f"__import__('os').mkdir({str(here / 'planted')!r})"
                else:
                    edit(inner)
        elif isinstance(value, list):
            for inner in value:
                edit(inner)

    assert "symbolic size that is not arithmetic" in attacked(in_json(edit))


def test_operator_that_is_none(here, attacked):
    def edit(document):
        document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.mkdir"

    assert "calls 'torch.os.mkdir', which is not an operator" in attacked(in_json(edit))


def test_guards_are_dropped(here, program, repack, accepted):
    """Guards are Python source that becoming a module would compile and run."""

    def edit(document):
        assert "guards_code" in document
        document["guards_code"] = [f"__import__('os').mkdir({str(here / 'planted')!r})"]

    source = accepted(repack(program, here / "evil.pt2", in_json(edit)))
    source.module(torch.randn(2, 3, 8, 8))
    assert source.traced.module() is not None
    assert not (here / "planted").exists()


def test_compiled_code(attacked):
    assert "holds compiled code" in attacked(extra={"data/aotinductor/model/x.so": b"\x7fELF"})


def test_a_member_named_twice(here, program, refused):
    with zipfile.ZipFile(program) as archive:
        root = archive.namelist()[0].partition("/")[0]
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr(f"{root}/MODELS/model.json", b"{}")
    assert "names a member twice" in refused(program)


@pytest.mark.parametrize("flag", ["dropout", "batch_norm"])
def test_exported_in_training_mode(here, net, refused, flag):
    part = (net.drop if flag == "dropout" else net.norm).train()
    program = torch.export.export(torch.nn.Sequential(net.conv, part), (torch.randn(2, 3, 8, 8),))
    torch.export.save(program, here / "t.pt2")
    assert f"was exported in training mode ({flag} is active)" in refused(here / "t.pt2")


def test_half_precision_program(here, net, refused):
    torch.export.save(torch.export.export(net.head.half(), (torch.randn(2, 4).half(),)), here / "h.pt2")
    assert "is half precision" in refused(here / "h.pt2")


def test_damaged_program(here, attacked):
    def edit(document):
        document["graph_module"]["graph"]["nodes"][0]["inputs"] = []

    assert "cannot be read by torch.export.load of torch" in attacked(in_json(edit))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s0", True),
        ("2*s0 + 1", True),
        ("Max(1, s0//4)", True),
        ("FloorDiv(s0, 2)", True),
        ("Symbol('s0', positive=True, integer=True)", True),
        ("eval('1')", False),
        ("Max('eval(1)', 2)", False),
        ("().__class__", False),
        ("[c for c in ()]", False),
        ("(lambda: 1)()", False),
        ("__import__", False),
        ("s0[0]", False),
        ("", False),
        ("(" * 500, False),
    ],
)
def test_arithmetic(text, expected):
    assert is_arithmetic(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch.ops.aten.conv2d.default", True),
        ("torch.ops.aten.__and__.Tensor", True),
        ("torch.ops.aten._softmax.default", True),
        ("torch.ops.higher_order.cond", True),
        ("torch.sym_max", True),
        ("_operator.floordiv", True),
        ("math.ceil", True),
        ("conv.weight", False),
        ("torch.ops.load_library", False),
        ("torch.ops.aten.from_file.default", False),
        ("torch.ops.aten.add.__class__.mro", False),
        ("torch.os.system", False),
        ("torch.load", False),
        ("_operator.methodcaller", False),
        ("_operator.attrgetter", False),
        ("math.__loader__.exec_module", False),
    ],
)
def test_operators(text, expected):
    assert is_target(text) is expected
