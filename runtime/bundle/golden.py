"""``golden.npz``: inputs and their reference outputs, so that a device can verify parity again without torch.

Plain NumPy arrays, never pickles. The keys::

    cases                 names of the cases, a one-dimensional array of strings
    feed/<i>/<input>      the input of case i, in the dtype that the model takes
    truth/<i>/<output>    the output of case i, from the original module in FP64 (integers and bool as they are)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import BundleError
from ..inputs.samples import UnreadableError, read_npz


@dataclass(frozen=True)
class GoldenCase:
    """One set of inputs with the outputs that the original module gives for it in FP64."""

    name: str
    feeds: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]


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
    feeds: list[dict[str, np.ndarray]] = [{} for _ in names]
    references: list[dict[str, np.ndarray]] = [{} for _ in names]
    for key, array in arrays.items():
        group, _, rest = key.partition("/")
        index, _, tensor = rest.partition("/")
        into = {"feed": feeds, "truth": references}.get(group)
        if into is None or not index.isdecimal() or int(index) >= len(names) or not tensor:
            raise BundleError(f"golden file {path} has an unknown entry {key!r}")
        into[int(index)][tensor] = array
    cases = tuple(GoldenCase(str(n), f, t) for n, f, t in zip(names, feeds, references, strict=True))
    if bare := [case.name for case in cases if not case.feeds or not case.reference]:
        raise BundleError(f"case {bare[0]!r} of golden file {path} lacks inputs or outputs")
    return cases
