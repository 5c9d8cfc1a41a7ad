"""Hostile ``.pt2`` files: code in every name, size, target, specification and member, in both layouts."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from pathlib import Path

import pytest
import torch

from attnexport.export.source import SourceOptions, load

from .exported import (
    NAMES,
    NODES,
    at,
    in_branch,
    node_of,
    old_program_bytes,
    program_bytes,
    rewritten,
    with_document,
)


@pytest.fixture(scope="module")
def program() -> bytes:
    return program_bytes()


@pytest.fixture(scope="module")
def old_program(program) -> bytes:
    return old_program_bytes(program)


def code(canary: Path) -> str:
    return f"__import__('pathlib').Path({str(canary)!r}).touch()"


# What an attacker writes for a name; {} is an expression that makes the canary.
PAYLOADS = {
    "default": "x={}",
    "line": "x\n{}",
    "quote": 'x"+str({})+"',
    "escaped": "x\\\n{}",
    "call": "{}",
    "special": "__class__",
    "wide": "ｘ={}",
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("place", NAMES)
def test_code_as_a_name(program, tmp_path, canary, refusal, place, payload):
    text = PAYLOADS[payload].format(code(canary))
    evil = with_document(program, tmp_path / "evil.pt2", lambda document: NAMES[place](document, text))
    message = refusal(evil)
    assert "--allow-pickle" in message
    assert repr(text[:20])[1:-1] in message


def test_the_attack_on_names_is_real(program, tmp_path, canary):
    """torch compiles the name of an input as source: a default value is an expression."""
    text = PAYLOADS["default"].format(code(canary))
    evil = with_document(program, tmp_path / "evil.pt2", lambda document: NAMES["input"](document, text))
    with contextlib.suppress(Exception):
        torch.export.load(evil).module()
    assert canary.exists()


@pytest.mark.parametrize(
    "place", ["input", "node", "keyword of a higher-order operator", "branch", "argument of forward"]
)
def test_a_keyword_of_python_as_a_name(program, tmp_path, refusal, place):
    evil = with_document(program, tmp_path / "evil.pt2", lambda document: NAMES[place](document, "lambda"))
    assert "has the name 'lambda', which is not a plain identifier" in refusal(evil)


@pytest.mark.parametrize("place", ["input", "argument of forward", "keyword of a higher-order operator", "parameter"])
def test_the_older_layout_has_the_same_rules(old_program, tmp_path, canary, refusal, place):
    text = PAYLOADS["default"].format(code(canary))
    evil = with_document(
        old_program,
        tmp_path / "evil.pt2",
        lambda document: NAMES[place](document, text),
        "serialized_exported_program.json",
    )
    assert "which is not a plain" in refusal(evil)


@pytest.mark.parametrize("layout", ["new", "old"])
def test_untouched_programs_load(program, old_program, tmp_path, layout):
    path = rewritten(program if layout == "new" else old_program, tmp_path / "good.pt2", lambda name, content: content)
    source = load(path, SourceOptions())
    assert [spec.name for spec in source.inputs] == ["x"]
    assert set(source.module(torch.ones(5, 3, 8, 8))) == {"y", "z"}


TARGETS = [
    "torch.os.system", "torch.load", "torch.hub.load", "torch.ops.load_library", "torch.ops.aten.from_file.default",
    "torch.ops.aten.save.default", "torch.ops.aten.add.overloads", "torch.ops.aten.add.__class__", "torch.ops.aten.add",
    "torch.ops.profiler._record_function_enter.default", "torch.ops.higher_order.triton_kernel_wrapper_functional",
    "torch.ops.higher_order.call_torchbind", "torch.ops.higher_order.print", "torch.ops.higher_order.run_const_graph",
    "torch.ops.inductor.accumulate_grad_.default", "torch.ops.c10d.barrier.default", "torch.ops.aten.set_.source_Storage",
    "torch.fx.experimental.symbolic_shapes.os", "torch._dynamo.eval_frame", "_operator.methodcaller", "_operator.attrgetter",
    "_operator.call", "math.__loader__.load_module", "operator.add", "#x:y", "os.system", "builtins.eval", "",
    "torch.ops.aten.conv2d.default\n", "torch.ops.aten.\uff43onv2d.default",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("graph", ["graph", "branch"])
def test_a_target_that_is_not_an_operator(program, tmp_path, refusal, target, graph):
    place = at(*NODES, 0, "target")
    edit = place if graph == "graph" else in_branch(place)
    evil = with_document(program, tmp_path / "evil.pt2", lambda document: edit(document, target))
    assert f"calls {target!r}, which is not an operator that programs may call" in refusal(evil)


def test_an_operator_as_an_argument(program, tmp_path, refusal):
    def edit(document):
        node_of(document, "cond")["inputs"][-1]["arg"] = {"as_operator": "torch.os.system"}

    assert "calls 'torch.os.system'" in refusal(with_document(program, tmp_path / "evil.pt2", edit))


SIZES = [
    "{}", "s77+{}", "Symbol({!r})", "Max({!r}, 2)", "().__class__.__base__", "[c for c in ()]", "(lambda: 1)()", "s77[0]",
    "s77.__class__", "10**10**10", "Pow(Integer(10), Integer(100000000))", "((9**64)**64)**64", "LShift(1, 100000000)",
    "Float('1', precision=53, **{{}})", "Symbol('s77', **{{}})", "f'{{1}}'", "'s77'", "b's77'", "s77 if 1 else 2", "(s77:=1)",
    "open", "S", "s99999999999", "s77\n", "9" * 5000, "Symbol(*'ab')", "print(1)", "exec('1')", "factorial(99999999)", "s77!",
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_is_not_arithmetic(program, tmp_path, canary, refusal, size):
    text = size.format(code(canary)) if "{" in size else size
    evil = with_document(program, tmp_path / "evil.pt2", lambda document: every_size(document, text))
    assert "has a symbolic size that is not arithmetic" in refusal(evil)


def every_size(document, text):
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "expr_str":
                document[key] = text
            else:
                every_size(value, text)
    elif isinstance(document, list):
        for value in document:
            every_size(value, text)


LEAF = {"type": None, "context": None, "children_spec": []}


def spec(kind: str, context: str, protocol: int = 1) -> str:
    """A specification of one leaf, of two pieces of JSON as the file spells them."""
    return f'[{protocol}, {{"type": {kind}, "context": {context}, "children_spec": [{json.dumps(LEAF)}]}}]'


ENUM = r"{\"__enum__\": true, \"fqn\": \"evil:E\", \"name\": \"a\"}"
ESCAPED_ENUM = r"{\"\\u005f_\u0065num__\": true, \"fqn\": \"evil:\u0045\", \"name\": \"a\"}"
FACTORY = '{"default_factory_module": "evil", "default_factory_name": "E", "dict_context": ["y"]}'
SPECS = {
    "enumeration": spec('"builtins.dict"', f'"[{ENUM}]"'),
    "escaped enumeration": spec('"builtins.dict"', f'"[{ESCAPED_ENUM}]"'),
    "enumeration as a context": spec('"builtins.tuple"', f'"{ENUM}"'),
    "factory": spec('"collections.defaultdict"', FACTORY),
    "escaped factory": spec(r'"collections.d\u0065faultdict"', FACTORY.replace("module", r"mod\u0075le")),
    "class": spec('"evil.Class"', '"[]"'),
    "named tuple": spec('"collections.namedtuple"', '"evil:Class()"'),
    "constant": spec('"NO_SERIALIZED_TYPE_NAME_FOUND"', '"[]"'),
    "protocol": spec('"builtins.tuple"', '"null"', 9),
    "deep": "[1, " + '{"type": "builtins.tuple", "context": "null", "children_spec": [' * 5000 + "]}" * 5000 + "]",
}


@pytest.mark.parametrize("side", ["in_spec", "out_spec"])
@pytest.mark.parametrize("name", SPECS)
def test_nesting_that_imports(program, tmp_path, canary, refusal, monkeypatch, name, side):
    """A module on the path of the process: to import it is to run it."""
    (tmp_path / "evil.py").write_text(f"{code(canary)}\nimport enum\nclass E(enum.Enum):\n    a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def edit(document):
        document["graph_module"]["module_call_graph"][0]["signature"][side] = SPECS[name]

    message = refusal(with_document(program, tmp_path / "evil.pt2", edit))
    assert f"builds its {'inputs' if side == 'in_spec' else 'outputs'} from what is not allowed" in message


class Plant:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled(canary: Path, *, by_torch: bool) -> bytes:
    stream = io.BytesIO()
    if by_torch:
        torch.save(Plant(canary), stream)
        return stream.getvalue()
    return pickle.dumps(Plant(canary))


@pytest.mark.parametrize("by_torch", [True, False])
@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("data/sample_inputs/model.pt", "is a pickle that loads more than tensors"),
        ("data/weights/model.pt", "is a pickle that loads more than tensors"),
        ("data/constants/model.pt", "is a pickle that loads more than tensors"),
        ("data/constants/custom_obj_0", "holds a pickled object"),
        ("data/constants/opaque_obj_0", "holds a pickled object"),
        ("data/aotinductor/model/x.so", "holds compiled code"),
        ("data/executorch/model.pte", "which programs do not have"),
        ("model.py", "which programs do not have"),
        ("data/weights/../../x", "which programs do not have"),
        ("models/model.json/x", "which programs do not have"),
    ],
)
def test_a_member_with_code(program, tmp_path, canary, refusal, member, words, by_torch):
    content = pickled(canary, by_torch=by_torch)
    given = member.endswith("sample_inputs/model.pt")
    evil = rewritten(
        program, tmp_path / "evil.pt2", lambda n, c: content if given and n.endswith(member) else c,
        None if given else {member: content},
    )  # fmt: skip
    assert words in refusal(evil)


@pytest.mark.parametrize("part", ["state_dict", "constants", "example_inputs"])
@pytest.mark.parametrize("by_torch", [True, False])
def test_pickles_of_the_older_layout(old_program, tmp_path, canary, refusal, part, by_torch):
    content = pickled(canary, by_torch=by_torch)
    evil = rewritten(old_program, tmp_path / "evil.pt2", lambda n, c: content if part in n else c)
    assert "is a pickle that loads more than tensors" in refusal(evil)


@pytest.mark.parametrize("config", ["weights", "constants"])
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("use_pickle", True, "holds pickled weights"),
        ("path_name", "custom_obj_0", "holds a pickled object"),
        ("path_name", "../../x", "holds a pickled object"),
        ("tensor_meta", {"dtype": 7, "device": {"type": "eval"}}, "is for the device 'eval'"),
        ("is_param", "yes", "as PayloadMeta.is_param"),
    ],
)
def test_where_weights_lie(program, tmp_path, refusal, config, field, value, words):
    def edit(document):
        document["config"]["conv.weight"] = {
            "path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": None, field: value
        }  # fmt: skip

    evil = with_document(program, tmp_path / "evil.pt2", edit, f"model_{config}_config.json")
    assert words in refusal(evil)


def test_keys_of_example_inputs_reach_no_source(program, tmp_path, canary):
    """torch writes the paths of example inputs into guards, and compiles them: they are left out."""
    stream = io.BytesIO()
    torch.save(((), {f"x'] + {code(canary)} + ['": torch.ones(4, 3, 8, 8)}), stream)
    evil = rewritten(
        program, tmp_path / "evil.pt2", lambda n, c: stream.getvalue() if n.endswith("sample_inputs/model.pt") else c
    )
    assert load(evil, SourceOptions()).module(torch.ones(4, 3, 8, 8)) is not None
    assert not canary.exists()


def test_a_bomb_is_not_unpacked(program, tmp_path, refusal):
    import zipfile

    evil = rewritten(program, tmp_path / "evil.pt2", lambda n, c: c)
    with zipfile.ZipFile(evil, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/data/weights/weight_9", bytes(200_000_000))
    assert "grows to many times its size" in refusal(evil)
