"""The algebra of axes: a dimension is an ordered product of atoms, and an atom is a piece of an axis of a source.

A reshape only regroups atoms, or splits one: axis 8 read as (2, 4) is the atoms (stride 4, length 2) and (stride 1,
length 4) of that axis. Dimensions of length 1 have no atoms. Lengths are ``Size``, so all of this is valid for free
sizes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from ..graph.size import ONE, Size, product

OUTER = "outer"
"""An axis of the source that no window slides along: batch, heads, channels."""
PLACE = "place"
"""A place in the window."""
POSITION = "position"
"""A position of the window."""
FOREIGN = "foreign"
"""An axis that only the tensor multiplied with the windows has."""
REPEATED = "repeated"
"""An axis along which values repeat (Expand, Tile)."""

_fresh = count()


@dataclass(frozen=True)
class Atom:
    """``index // stride % length`` of an ``axis`` of a source. Axes without a source have a running number."""

    role: str
    axis: int
    length: Size
    stride: Size = ONE

    def split(self, outer: Size, inner: Size) -> "tuple[Atom, Atom]":
        """Split into two digits; ``outer`` * ``inner`` is the length."""
        return replace(self, length=outer, stride=self.stride * inner), replace(self, length=inner)


Dim = tuple[Atom, ...]
Dims = tuple[Dim, ...]


def whole(role: str, axis: int, length: Size) -> Dim:
    """A dimension that is one whole axis."""
    return () if length == ONE else (Atom(role, axis, length),)


def fresh(role: str, length: Size) -> Dim:
    """A new dimension, foreign or repeated."""
    return whole(role, next(_fresh), length)


def length(dim: Iterable[Atom]) -> Size:
    """The length of a dimension."""
    return product(atom.length for atom in dim)


def flat(dims: Iterable[Dim]) -> Dim:
    """All atoms in order."""
    return tuple(atom for dim in dims for atom in dim)


def substituted(dims: Iterable[Dim], pieces: dict[Atom, Dim]) -> Dims:
    """Dimensions with atoms replaced by the pieces that they were split into."""
    return tuple(tuple(piece for atom in dim for piece in pieces.get(atom, (atom,))) for dim in dims)


def reshaped(dims: Dims, sizes: Sequence[Size | None]) -> Dims | None:
    """The atoms regrouped to ``sizes``, one of which may be unknown. None if a boundary falls at an unknown place in an atom."""
    if sum(size is None for size in sizes) > 1:
        return None
    hole = next((axis for axis, size in enumerate(sizes) if size is None), len(sizes))
    rest = list(flat(dims))
    front = [_take(rest, size, _outer) for size in sizes[:hole] if size is not None]
    back = [_take(rest, size, _inner) for size in reversed(sizes[hole + 1 :]) if size is not None]
    taken = [*front, *([tuple(rest)] if hole < len(sizes) else []), *reversed(back)]
    if any(dim is None for dim in taken) or (hole == len(sizes) and rest):
        return None
    return tuple(dim for dim in taken if dim is not None)


Take = Callable[[Atom, Size, Size], tuple[Atom, Atom]]


def _outer(atom: Atom, size: Size, other: Size) -> tuple[Atom, Atom]:
    outer, inner = atom.split(size, other)
    return outer, inner


def _inner(atom: Atom, size: Size, other: Size) -> tuple[Atom, Atom]:
    outer, inner = atom.split(other, size)
    return inner, outer


def _take(rest: list[Atom], size: Size, end: Take) -> Dim | None:
    """Take atoms of the total length ``size`` from one end of ``rest`` (changed); split the last one if needed."""
    at = 0 if end is _outer else -1
    taken: list[Atom] = []
    while size != ONE:
        if not rest:
            return None
        atom = rest.pop(at)
        smaller, other = size.over(atom.length), atom.length.over(size)
        if smaller is not None:
            taken.append(atom)
            size = smaller
        elif other is not None:
            mine, left = end(atom, size, other)
            taken.append(mine)
            rest.insert(0 if end is _outer else len(rest), left)
            size = ONE
        else:
            return None
    return tuple(taken) if end is _outer else tuple(reversed(taken))


def ordered(atoms: Iterable[Atom]) -> Dim | None:
    """The pieces of one axis, outermost first; None if they are not a contiguous run down to stride 1."""
    left = {atom.stride: atom for atom in atoms}
    pieces: list[Atom] = []
    stride = ONE
    while left:
        atom = left.pop(stride, None)
        if atom is None:
            return None
        pieces.insert(0, atom)
        stride = stride * atom.length
    return tuple(pieces)


def unified(ours: Dims, theirs: Dims) -> tuple[dict[Atom, Dim], dict[Atom, Dim], dict[Atom, Atom]] | None:
    """Unify two descriptions of the same dimensions: the split of each one's atoms, and the map from our pieces to theirs."""
    splits: tuple[dict[Atom, Dim], dict[Atom, Dim]] = ({}, {})
    same: dict[Atom, Atom] = {}
    if len(ours) != len(theirs):
        return None
    for mine, other in zip(ours, theirs, strict=True):
        left, right = list(mine), list(other)
        while left and right:
            a, b = left[0], right[0]
            more, fewer = a.length.over(b.length), b.length.over(a.length)
            if more is not None and more != ONE:
                _split(splits[0], left, *a.split(b.length, more))
            elif fewer is not None and fewer != ONE:
                _split(splits[1], right, *b.split(a.length, fewer))
            elif a.length == b.length:
                same[left.pop(0)] = right.pop(0)
            else:
                return None
        if left or right:
            return None
    return splits[0], splits[1], same


def _split(done: dict[Atom, Dim], queue: list[Atom], first: Atom, second: Atom) -> None:
    atom = queue[0]
    queue[:1] = [first, second]
    # An atom that is a piece of a split atom is replaced in that split.
    for whole_atom, pieces in done.items():
        if atom in pieces:
            at = pieces.index(atom)
            done[whole_atom] = (*pieces[:at], first, second, *pieces[at + 1 :])
            return
    done[atom] = (first, second)


def pieces(dims: Dims, role: str, axis: int) -> Dim | None:
    """The pieces of one axis that are in ``dims``, outermost first; None if they are not a whole."""
    return ordered(atom for atom in flat(dims) if atom.role == role and atom.axis == axis)


def refinement(coarse: Iterable[Atom], fine: Iterable[Atom]) -> dict[Atom, Dim]:
    """The split of the atoms of an earlier view into those of a later view, without atoms that are still whole."""
    known: dict[tuple[str, int, Size], Atom] = {}
    for atom in fine:
        at = (atom.role, atom.axis, atom.stride)
        # The shorter of two pieces that begin at one place: ``fine`` may have a whole beside its pieces, in any order.
        if at not in known or known[at].length.over(atom.length) is not None:
            known[at] = atom
    splits: dict[Atom, Dim] = {}
    for atom in coarse:
        found: list[Atom] = []
        stride, end = atom.stride, atom.stride * atom.length
        while stride != end and (piece := known.get((atom.role, atom.axis, stride))) is not None:
            found.insert(0, piece)
            stride = stride * piece.length
        if stride == end and tuple(found) != (atom,):
            splits[atom] = tuple(found)
    return splits
