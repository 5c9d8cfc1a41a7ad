"""--factory package.module:callable: one line for each way that it fails, and nothing left changed."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(
    ("factory", "kwargs", "fragments"),
    [
        ("tinynet", {}, ["is not package.module:callable"]),
        ("tinynet.py:build", {}, ["is not package.module:callable"]),
        ("tinnet:build", {}, ["no module 'tinnet'", "did you mean 'tinynet'?"]),
        ("tinynet:biuld", {}, ["it has no 'biuld'", "did you mean 'build'?"]),
        ("tinynet:value", {}, ["is a int"]),
        ("tinynet:fails", {}, ["raised RuntimeError: no data here"]),
        ("tinynet:leaves", {}, ["raised SystemExit: 3"]),
        ("tinynet:gives_list", {}, ["returned a list"]),
        ("tinynet:build", {"depth": 2}, ["unexpected keyword argument 'depth'", "it takes (channels: int = 4)"]),
        ("broken:build", {}, ["importing broken raised SyntaxError"]),
        ("needy:build", {}, ["importing needy failed, No module named 'not_installed_here'"]),
    ],
)
def test_failures(here, refused, factory, kwargs, fragments):
    (here / "broken.py").write_text("def build(:\n")
    (here / "needy.py").write_text("import not_installed_here\n")
    before = list(sys.path)
    message = refused(None, factory=factory, kwargs=kwargs, random_weights=True, inputs=("x=1x3x8x8",))
    assert all(f in message for f in fragments), message
    assert sys.path == before


def test_the_search_path_is_restored_and_random_weights_are_seeded(here, accepted):
    before = list(sys.path)
    first = accepted(None, factory="tinynet:Net", random_weights=True, inputs=("x=1x3x8x8",))
    second = accepted(None, factory="tinynet:Net", random_weights=True, inputs=("x=1x3x8x8",))
    assert sys.path == before
    assert (first.module.conv.weight == second.module.conv.weight).all()
    assert (first.name, first.arch) == ("Net", "tinynet:Net")


def test_no_shapes(here, refused):
    message = refused(None, factory="tinynet:build", random_weights=True)
    assert "forward takes (x, shift)" in message
    assert "--input x=" in message


def test_lists_become_tuples_where_lists_are_refused(here, refused, accepted):
    (here / "picky.py").write_text(
        "import torch\n"
        "def build(depths, sizes=()):\n"
        "    assert isinstance(depths, tuple) and all(isinstance(s, tuple) for s in sizes), f'no tuple: {depths}'\n"
        "    assert depths[0] < 3, f'too deep: {depths}'\n"
        "    return torch.nn.Linear(len(depths), 2)\n"
        "def lists(depths):\n"
        "    assert isinstance(depths, list)\n"
        "    return torch.nn.Linear(len(depths), 2)\n"
    )
    given = {"random_weights": True, "inputs": ("input=1x2",)}
    assert (
        accepted(None, factory="picky:build", kwargs={"depths": [1, 2], "sizes": [[1, 2]]}, **given).module.in_features
        == 2
    )
    assert accepted(None, factory="picky:lists", kwargs={"depths": [1, 2]}, **given).module.in_features == 2
    assert "no tuple: [3, 2]" in refused(None, factory="picky:build", kwargs={"depths": [3, 2]}, **given)
