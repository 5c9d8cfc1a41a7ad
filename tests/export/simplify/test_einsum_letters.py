"""Einsum in small letters: the same sums, in an equation that TensorRT's parser takes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import parser

from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.graph.rewrites import Refusal
from attnexport.export.progress import Silent
from attnexport.export.simplify.einsum_letters import einsum_letters, small_letters
from attnexport.export.stages.rewrite import find_windows
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "A": 6, "B": 2, "D": 5, "G": 3, "I": 4, "J": 6, "H": 2}


def model(equation: str, body: str = 'y = Einsum <equation = "{}"> (x, x)') -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[N, 3, 4] x) => (float[N, 4, 4] y) {{ {body.format(equation)} }}"""
    made = parser.parse_model(text)
    onnx.checker.check_model(made)
    return made


@pytest.mark.parametrize(
    ("equation", "letters"),
    [
        ("abc,cd->abd", "abc,cd->abd"),
        ("abc,cd", "abc,cd"),
        ("a b c, c d -> a b d", "abc,cd->abd"),
        ("B G I D, B G J D -> B G I J", "abcd,abed->abce"),
        ("...Ab,...b->...A", "...ab,...b->...a"),
        ("bA,Ac", "ab,bc->ac"),
        ("bA,cB", "ab,cd->bdac"),
        ("...bA,A", "...ab,b->...a"),
        ("AA->A", "aa->a"),
        ("AB->", "ab->"),
    ],
)
def test_an_equation_computes_the_same_in_small_letters(equation: str, letters: str) -> None:
    assert small_letters(equation) == letters
    rng = np.random.default_rng(0)
    terms = re.sub(r"\s", "", equation).partition("->")[0].split(",")
    operands = [rng.standard_normal([7] * term.count("...") + [SIZES[s] for s in term if s != "."]) for term in terms]
    expected = np.einsum(equation, *operands)
    np.testing.assert_array_equal(np.einsum(letters, *operands), expected)
    np.testing.assert_allclose(torch.einsum(equation, *map(torch.from_numpy, operands)).numpy(), expected, atol=1e-12)


def test_more_axes_than_letters_stay_as_they_are() -> None:
    equation = "abcdefghijklm,nopqrstuvwxyzA->A"
    assert small_letters(equation) == equation
    source = model("nij,nik->njk")
    source.graph.node[0].attribute[0].s = equation.encode()
    assert einsum_letters(source).refused == (Refusal("einsum_letters", "y", "it has more than 26 axes"),)


def test_a_model_without_capitals_is_returned_as_it_is() -> None:
    source = model("nij,nik->njk")
    assert einsum_letters(source).model is source


def test_equations_in_bodies_are_rewritten_and_the_model_is_not_changed() -> None:
    branch = '{ r = Einsum <equation = "NIJ,NIK->NJK"> (x, x) }'
    body = f"yes = Constant <value = bool {{1}}> () y = If (yes) <then_branch = one () => (float[N, 4, 4] r) {branch}, "
    body += f"else_branch = two () => (float[N, 4, 4] r) {branch}>"
    source = model("", body.replace("{", "{{").replace("}", "}}"))
    before = source.SerializeToString()
    result = einsum_letters(source)
    equations = re.findall(r"[A-Za-z]+,[A-Za-z]+->[A-Za-z]+", str(result.model))
    assert equations == ["abc,abd->acd", "abc,abd->acd"]
    assert [entry.detail for entry in result.applied] == ["NIJ,NIK->NJK -> abc,abd->acd"] * 2
    assert source.SerializeToString() == before


def test_tensorrt_reads_the_equation_in_small_letters(tmp_path: Path) -> None:
    source = model("N I J, N I K -> N J K")
    made = find_windows(source).model
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    with OrtSession(path) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], np.einsum("nij,nik->njk", x, x), atol=1e-6)
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "N"), Axis.fixed(3), Axis.fixed(4)))
    assert build_engine(path, (spec,), find_flavour("rtx"), EngineOptions(), {}, Silent()).plan
