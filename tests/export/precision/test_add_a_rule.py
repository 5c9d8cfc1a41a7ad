"""The recipe "add a precision rule" of docs/design.md, followed for a made-up rule: one file with a RULE, one line in RULES."""

from __future__ import annotations

import importlib.util
import sys

import onnx
import pytest

from attnexport.export.precision import convert, policy
from attnexport.export.precision.rules import RULES

NEW_FILE = '''"""An exponential of data that is not shifted first stays FP32: exp(12) is beyond FP16."""

from __future__ import annotations

from ..graph import GraphIndex
from ..halves import HalfType
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield each Exp of a tensor that no Sub makes."""
    for node in index.nodes:
        maker = index.producer(node.input[0]) if node.op_type == "Exp" else None
        if maker is not None and maker.op_type != "Sub":
            yield node, f"an exponential of unshifted data exceeds {half.title}'s range"


RULE = PrecisionRule("exponentials", "caution", find)
'''
NET = """g (float[4, 8] x) => (float[4, 8] y, float[4, 8] z) {
  a = Relu(x)  y = Exp(a)  b = Sub(a, x)  z = Exp(b)
}"""


@pytest.fixture
def rule(tmp_path, monkeypatch):
    """The RULE of the new file, imported as if the file was in the folder of the rules."""
    file = tmp_path / "exponentials.py"
    file.write_text(NEW_FILE)
    name = "attnexport.export.precision.rules.exponentials"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module.RULE


def test_a_new_rule_needs_one_file_and_one_line(rule, model, types, monkeypatch):
    source = model(NET)
    assert [d.rule for d in policy.decide(source)] == []
    monkeypatch.setattr(policy, "RULES", (*RULES, rule))
    result = convert(source)
    (decision,) = result.decisions
    assert (decision.node, decision.rule, decision.severity) == ("y", "exponentials", "caution")
    assert decision.reason == "an exponential of unshifted data exceeds FP16's range"
    assert types(result.model) == {"a": "f16", "y": "f32", "b": "f16", "z": "f16"}
    onnx.checker.check_model(result.model, full_check=True)


def test_a_search_may_overrule_a_new_caution(rule, model, monkeypatch):
    monkeypatch.setattr(policy, "RULES", (*RULES, rule))
    assert policy.decide(model(NET), "hazard") == []
    assert [d.node for d in policy.decide(model(NET), "caution")] == ["y"]


def test_rules_have_different_names_and_hazards_come_first():
    assert len({rule.name for rule in RULES}) == len(RULES)
    severities = [rule.severity for rule in RULES]
    assert severities == sorted(severities, key=["hazard", "caution"].index)
