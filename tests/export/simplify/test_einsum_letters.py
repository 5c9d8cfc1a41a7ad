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
    ("equation", "anew"),
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
def test_an_equation_says_the_same_in_small_letters(equation: str, anew: str) -> None:
    assert small_letters(equation) == anew
    rng = np.random.default_rng(0)
    terms = re.sub(r"\s", "", equation).partition("->")[0].split(",")
    operands = [rng.standard_normal([7] * term.count("...") + [SIZES[s] for s in term if s != "."]) for term in terms]
    held = np.einsum(equation, *operands)
    np.testing.assert_array_equal(np.einsum(anew, *operands), held)
    np.testing.assert_allclose(torch.einsum(equation, *map(torch.from_numpy, operands)).numpy(), held, atol=1e-12)


def test_more_axes_than_letters_stay_as_they_are() -> None:
    equation = "abcdefghijklm,nopqrstuvwxyzA->A"
    assert small_letters(equation) == equation


def test_a_model_without_capitals_is_returned_as_it_is() -> None:
    given = model("nij,nik->njk")
    assert einsum_letters(given) is given


def test_equations_in_bodies_are_spelled_anew_and_the_given_model_stays() -> None:
    branch = '{ r = Einsum <equation = "NIJ,NIK->NJK"> (x, x) }'
    body = f"yes = Constant <value = bool {{1}}> () y = If (yes) <then_branch = one () => (float[N, 4, 4] r) {branch}, "
    body += f"else_branch = two () => (float[N, 4, 4] r) {branch}>"
    given = model("", body.replace("{", "{{").replace("}", "}}"))
    before = given.SerializeToString()
    found = re.findall(r"[A-Za-z]+,[A-Za-z]+->[A-Za-z]+", str(einsum_letters(given)))
    assert found == ["abc,abd->acd", "abc,abd->acd"]
    assert given.SerializeToString() == before


def test_tensorrt_takes_what_it_refused(tmp_path: Path) -> None:
    given = model("N I J, N I K -> N J K")
    made = find_windows(given).model
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    with OrtSession(path) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], np.einsum("nij,nik->njk", x, x), atol=1e-6)
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "N"), Axis.fixed(3), Axis.fixed(4)))
    assert build_engine(path, (spec,), find_flavour("rtx"), EngineOptions(), {}, Silent()).plan
