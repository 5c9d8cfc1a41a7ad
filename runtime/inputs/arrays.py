"""Read NumPy files from unknown sources: no pickles, and one exception for every kind of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class UnreadableError(ValueError):
    """The file is damaged, of another kind, or has Python objects; the message is one line."""


def read_npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file. Raises UnreadableError."""
    try:
        with path.open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except Exception as error:
        raise _unreadable(error) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a ``.npz`` file by name. Raises UnreadableError."""
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:
        raise _unreadable(error) from error
    # NumPy returns the bytes of a member that is not a .npy file.
    if foreign := [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise UnreadableError(f"{foreign[0]!r} is not an array")
    return arrays


def _unreadable(error: Exception) -> UnreadableError:
    # For damaged bytes zipfile, zlib and NumPy raise a dozen kinds of errors, among them NotImplementedError.
    text = " ".join(str(error).split()) or type(error).__name__
    return UnreadableError(text[:200])
