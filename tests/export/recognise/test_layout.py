"""Dimensions as products of atoms: what a reshape does to them is what it does to indices."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.graph.size import ONE, parse
from attnexport.export.recognise.layout import (
    OUTER,
    Atom,
    flat,
    length,
    ordered,
    refinement,
    reshaped,
    substituted,
    unified,
    whole,
)


def dims(*sizes: str):
    return tuple(whole(OUTER, axis, parse(size)) for axis, size in enumerate(sizes))


def values(found, shape: tuple[int, ...]) -> np.ndarray:
    """What an array of axis indices looks like in the described dimensions: mixed radix, by definition."""
    index = np.indices([atom.length.value for dim in found for atom in dim]).reshape(len(flat(found)), -1)
    axes = [np.zeros(index.shape[1], int) for _ in shape]
    for row, atom in zip(index, flat(found), strict=True):
        axes[atom.axis] += row * atom.stride.value
    linear = np.ravel_multi_index(axes, shape)
    return linear.reshape([length(dim).value for dim in found])


@pytest.mark.parametrize("target", [(24, 5), (2, 12, 5), (2, 2, 6, 5), (8, 15), (120,), (4, 1, 30)])
def test_reshape_is_numpys(target) -> None:
    found = reshaped(dims("8", "3", "5"), [parse(str(size)) for size in target])
    assert found is not None
    np.testing.assert_array_equal(values(found, (8, 3, 5)), np.arange(120).reshape(target))


def test_axes_of_free_length_are_regrouped_and_split() -> None:
    found = reshaped(dims("2*b", "c", "h", "w"), [parse(s) for s in ("b", "2", "c", "h*w")])
    assert found is not None
    assert [[str(atom.length) for atom in dim] for dim in found] == [["b"], ["2"], ["c"], ["h", "w"]]


def test_one_length_may_be_unknown() -> None:
    found = reshaped(dims("b", "6", "h", "w"), [parse("b"), parse("3"), None, parse("w")])
    assert found is not None
    assert [str(length(dim)) for dim in found] == ["b", "3", "2*h", "w"]
    assert reshaped(dims("b", "6"), [None, None]) is None


@pytest.mark.parametrize("target", [("h", "w"), ("w*h",), ("2", "h*w"), ("w", "2", "h", "3")])
def test_boundaries_that_cannot_be_told(target) -> None:
    assert reshaped(dims("w", "h", "3"), [parse(size) for size in target]) is None


def test_pieces_of_an_axis_come_together_again() -> None:
    (atom,) = whole(OUTER, 0, parse("12"))
    outer, rest = atom.split(parse("2"), parse("6"))
    middle, inner = rest.split(parse("3"), parse("2"))
    assert ordered([inner, outer, middle]) == (outer, middle, inner)
    assert ordered([outer, inner]) is None
    assert refinement([atom], [outer, middle, inner]) == {atom: (outer, middle, inner)}
    assert refinement([atom], [atom]) == {}
    for order in ([atom, outer, middle, inner], [outer, rest, inner, middle, atom]):
        assert refinement([atom, rest], order) == {atom: (outer, middle, inner), rest: (middle, inner)}


def test_two_descriptions_of_one_tensor_are_brought_together() -> None:
    ours = (whole(OUTER, 0, parse("2*b")), whole(OUTER, 1, parse("9")))
    theirs = ((Atom(OUTER, 7, parse("b")), Atom(OUTER, 8, parse("2"))), whole(OUTER, 9, parse("9")))
    met = unified(ours, theirs)
    assert met is not None
    split, kept, same = met
    assert kept == {}
    assert substituted(ours, split)[0] == (Atom(OUTER, 0, parse("b"), parse("2")), Atom(OUTER, 0, parse("2"), ONE))
    assert [same[atom].axis for atom in flat(substituted(ours, split))] == [7, 8, 9]
    assert unified(ours, (theirs[1], theirs[0])) is None
