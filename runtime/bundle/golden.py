"""``golden.npz``: inputs and their reference outputs, so that a device can verify parity again without torch.

Plain NumPy arrays, never pickles. The keys::

    cases                 names of the cases, a one-dimensional array of strings
    feed/<i>/<input>      the input of case i, in the dtype that the model takes
    truth/<i>/<output>    the output of case i, from the original module in FP64 (integers and bool as they are)
    other/<i>/<output>    of an arg-max: the second best place ...
    gap/<i>/<output>      ... and by how much its score is less
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import BundleError
from ..inputs.samples import UnreadableError, read_npz


@dataclass(frozen=True)
class Tie:
    """Of an output that chooses one of several, in its shape: the second best place, and by how much its score is less."""

    other: np.ndarray
    gap: np.ndarray


@dataclass(frozen=True)
class GoldenCase:
    """One set of inputs with the outputs that the original module gives for it in FP64; ``ties`` by output."""

    name: str
    feeds: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]
    ties: Mapping[str, Tie] = field(default_factory=dict)


def write_golden(path: Path, cases: Sequence[GoldenCase]) -> None:
    """Write the cases, compressed. Raises ValueError for duplicate names, or a floating reference that is not float64."""
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError(f"golden cases need distinct names, not {names}")
    arrays = {"cases": np.array(names, dtype=np.str_)}
    for i, case in enumerate(cases):
        for name, array in case.feeds.items():
            arrays[f"feed/{i}/{name}"] = array
        for name, array in case.reference.items():
            if np.issubdtype(array.dtype, np.floating) and array.dtype != np.float64:
                raise ValueError(f"the reference of {name!r} must be float64, not {array.dtype}")
            arrays[f"truth/{i}/{name}"] = array
        for name, tie in case.ties.items():
            arrays[f"other/{i}/{name}"], arrays[f"gap/{i}/{name}"] = tie.other, tie.gap
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # the stub lets a name be allow_pickle


def read_golden(path: Path) -> tuple[GoldenCase, ...]:
    """Read the cases. Raises BundleError for a file that is damaged, pickled, empty or of another layout."""
    if not path.is_file():
        raise BundleError(f"golden file {path} does not exist", "copy the whole bundle again")
    try:
        arrays = read_npz(path)
    except UnreadableError as error:
        raise BundleError(f"golden file {path} cannot be read ({error})", "copy the whole bundle again") from error
    names = arrays.pop("cases", None)
    if names is None or names.ndim != 1 or names.dtype.kind != "U" or not names.size:
        raise BundleError(f"golden file {path} lists no cases")
    groups: dict[str, list[dict[str, np.ndarray]]] = {
        group: [{} for _ in names] for group in ("feed", "truth", "other", "gap")
    }
    for key, array in arrays.items():
        group, _, rest = key.partition("/")
        index, _, tensor = rest.partition("/")
        into = groups.get(group)
        if into is None or not index.isdecimal() or int(index) >= len(names) or not tensor:
            raise BundleError(f"golden file {path} has an unknown entry {key!r}")
        into[int(index)][tensor] = array
    if halves := [i for i in range(len(names)) if groups["other"][i].keys() != groups["gap"][i].keys()]:
        raise BundleError(f"case {str(names[halves[0]])!r} of golden file {path} lacks a part of its ties")
    cases = tuple(
        GoldenCase(str(name), feeds, reference, {n: Tie(array, gap[n]) for n, array in other.items()})
        for name, feeds, reference, other, gap in zip(names, *groups.values(), strict=True)
    )
    if bare := [case.name for case in cases if not case.feeds or not case.reference]:
        raise BundleError(f"case {bare[0]!r} of golden file {path} lacks inputs or outputs")
    return cases
