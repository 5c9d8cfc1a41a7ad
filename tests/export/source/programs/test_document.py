"""The JSON of a program is written again from what is known: a rule for each text of torch's schema, a type for each value."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from attnexport.errors import InputError
from attnexport.export.source.programs.document import DROPPED, RULES, checked_document, text_fields
from attnexport.export.source.programs.tree_spec import checked_spec

OTHERWISE = {"Node.metadata", "ModuleCallSignature.in_spec", "ModuleCallSignature.out_spec"}


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("program") / "m.pt2"
    torch.export.save(torch.export.export(torch.nn.Conv2d(3, 4, 3).eval(), (torch.randn(2, 3, 8, 8),)), path)
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("m/models/model.json"))


def written(document: dict) -> dict:
    return json.loads(checked_document(json.dumps(document).encode(), "ExportedProgram", Path("m.pt2"), "model.json"))


def test_every_text_of_torchs_schema_has_a_rule():
    assert text_fields() == set(RULES) | DROPPED | OTHERWISE


def test_a_program_is_written_again_without_source_and_notes(document):
    again = written({**document, "guards_code": ["1"], "later": "unknown"})
    assert set(document) - set(again) == {"guards_code"}
    assert "later" not in again
    node, checked = document["graph_module"]["graph"]["nodes"][0], again["graph_module"]["graph"]["nodes"][0]
    assert set(checked["metadata"]) == {"stack_trace", "nn_module_stack"}
    assert {**node, "metadata": {}} == {**checked, "metadata": {}}


@pytest.mark.parametrize(
    ("stack", "kept"),
    [
        ("L__self__,,__main__.N;L__self___c,c,torch.nn.modules.conv.Conv2d", True),
        ("L['self'].layers[0],layers.0,a.<locals>.B", True),
        ("L__self__,__import__('os').getcwd(),x.Y", False),
        ("L__self__,a b,x.Y", False),
    ],
)
def test_module_paths_of_nodes_hold_no_calls(document, stack, kept):
    document = json.loads(json.dumps(document))
    document["graph_module"]["graph"]["nodes"][0]["metadata"]["nn_module_stack"] = stack
    metadata = written(document)["graph_module"]["graph"]["nodes"][0]["metadata"]
    assert metadata.get("nn_module_stack") == (stack if kept else None)


@pytest.mark.parametrize("value", [None, [], {}, 1.5, True])
def test_a_value_has_the_type_of_its_field(document, value):
    with pytest.raises(InputError, match=r"as Node\.target"):
        written(with_target(document, value))


def with_target(document: dict, value: object) -> dict:
    document = json.loads(json.dumps(document))
    document["graph_module"]["graph"]["nodes"][0]["target"] = value
    return document


LEAF = {"type": None, "context": None, "children_spec": []}


def spec(kind: str, context: object, *children: object) -> str:
    return json.dumps([1, {"type": kind, "context": context, "children_spec": list(children)}])


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        (spec("builtins.tuple", "null", LEAF, LEAF), True),
        (spec("builtins.dict", '["x"]', LEAF), True),
        (spec("builtins.dict", '["my output", 3]', LEAF, LEAF), False),
        (spec("collections.OrderedDict", '["y"]', LEAF), False),
        (spec("collections.deque", "4", LEAF), False),
    ],
)
def test_plain_nesting_is_kept(text, inputs):
    assert json.loads(checked_spec(text, inputs=inputs)) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (spec("builtins.dict", '["a=1"]', LEAF), "'a=1' is not a plain key"),
        (spec("builtins.dict", '[""]', LEAF), "'' is not a plain key"),
        (spec("builtins.dict", "[null]", LEAF), "'None' is not a plain key"),
        (spec("builtins.dict", '["a"]'), "is not a list of 0 keys"),
        (spec("builtins.dict", '[{"\\u005f_enum__": "true", "fqn": "os:x", "name": "y"}]', LEAF), "is not a plain key"),
        (spec("builtins.tuple", '{"__enum__": "true"}', LEAF), "is not a context of builtins.tuple"),
        (spec("collections.defaultdict", {"default_factory_module": "os"}, LEAF), "has a context that is not text"),
        (spec("collections.defaultdict", "[]"), "is not a container that programs may have"),
        (spec("os.system", "[]"), "is not a container that programs may have"),
        ("[2, {}]", "is not a specification of protocol 1"),
        ('[1, {"type": null}]', "has no type, context and children"),
    ],
)
def test_other_nesting_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        checked_spec(text, inputs=True)
