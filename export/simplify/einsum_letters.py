"""Einsum's axes by small letters, without spaces, its result spelled out where letters are large.

    "B H I D, B H J D -> B H I J"  ->  "abcd,abed->abce"          "bA,Ac"  ->  "ab,bc->ca"

TensorRT's parser takes [a-z,.->] alone: torchvision's MaxVit was refused ("Invalid character(s) in Einsum equation"). An equation
without ``->`` has its result's axes in the alphabet's order, capitals first in PyTorch and NumPy, so that order is written down before
the letters change. Refused, and left as it is: more than 26 axes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from string import ascii_lowercase

import onnx


def einsum_letters(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with such equations spelled anew, in bodies too. ``model`` is not changed; where there is none, it is returned."""
    if not any(small_letters(a.s.decode()) != a.s.decode() for a in _equations(model.graph)):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for attribute in _equations(changed.graph):
        attribute.s = small_letters(attribute.s.decode()).encode()
    return changed


def small_letters(equation: str) -> str:
    """The same equation; one that TensorRT takes stays as it is."""
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
    """The axes that occur once, in ASCII's order, behind those of an ellipsis."""
    once = (letter for letter, times in Counter(re.findall("[A-Za-z]", operands)).items() if times == 1)
    return ("..." if "..." in operands else "") + "".join(sorted(once))


def _equations(graph: onnx.GraphProto) -> Iterator[onnx.AttributeProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Einsum" and attribute.name == "equation":
                yield attribute
            for body in (attribute.g, *attribute.graphs):
                yield from _equations(body)
