"""Rewrite Einsum equations in small letters without spaces, with the result spelled out when letters are large.

    "B H I D, B H J D -> B H I J"  ->  "abcd,abed->abce"          "bA,Ac"  ->  "ab,bc->ca"

TensorRT's parser reads only [a-z,.->]: it refused torchvision's MaxVit ("Invalid character(s) in Einsum equation"). In an
equation without ``->`` the result's axes are in alphabetical order, capitals first in PyTorch and NumPy. The pass writes
that order down before it changes the letters. It refuses more than 26 axes.
"""

import re
from collections import Counter
from collections.abc import Iterator
from string import ascii_lowercase

import onnx

from ..graph.rewrites import Refusal, Rewrite, Simplified

_RULE = "einsum_letters"


def einsum_letters(model: onnx.ModelProto) -> Simplified:
    """Rewrite such equations, in bodies too. ``model`` is not changed; it is returned if no equation has to change."""
    applied, refused = [], []
    for name, attribute in _equations(model.graph):
        before = attribute.s.decode()
        after = small_letters(before)
        if after != before:
            applied.append(Rewrite(_RULE, name, f"{before} -> {after}"))
        elif before != before.lower():
            refused.append(Refusal(_RULE, name, f"it has more than {len(ascii_lowercase)} axes"))
    if not applied:
        return Simplified(model, (), tuple(refused))
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _, attribute in _equations(changed.graph):
        attribute.s = small_letters(attribute.s.decode()).encode()
    return Simplified(changed, tuple(applied), tuple(refused))


def small_letters(equation: str) -> str:
    """The same equation as TensorRT reads it; unchanged if it is in small letters already or has more than 26 axes."""
    spelled = re.sub(r"\s", "", equation)
    if spelled == spelled.lower():
        return spelled
    if "->" not in spelled:
        spelled += f"->{_result(spelled)}"
    letters = dict.fromkeys(re.findall("[A-Za-z]", spelled))
    if len(letters) > len(ascii_lowercase):
        return equation
    return spelled.translate(str.maketrans(dict(zip(letters, ascii_lowercase, strict=False))))


def _result(operands: str) -> str:
    """The axes that occur once, in ASCII order, behind those of an ellipsis."""
    once = (letter for letter, times in Counter(re.findall("[A-Za-z]", operands)).items() if times == 1)
    return ("..." if "..." in operands else "") + "".join(sorted(once))


def _equations(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.AttributeProto]]:
    """The name of each Einsum and its equation."""
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Einsum" and attribute.name == "equation":
                yield node.name or node.output[0], attribute
            for body in (attribute.g, *attribute.graphs):
                yield from _equations(body)
