"""Real samples: ``.npz`` with one array per input, ``.npy`` for a single input, or a directory of ``.npy`` files or images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..spec import TensorSpec
from .picture import Scale, holds_images, read_images


class UnreadableError(ValueError):
    """The file is damaged, of another kind, or has Python objects; the message is one line."""


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


_FORMS = "give a .npz, a .npy, or a directory of .npy files or images"


@dataclass(frozen=True)
class Samples:
    """Samples along axis 0 of every input: ``arrays[name]`` is (N, …), in the dtype of the model.

    ``labels`` is (N,) if the file has an array of that name; ``extra`` has the other arrays;
    ``notes`` list casts. ``images`` describes how images were converted, and is empty without
    images.
    """

    arrays: dict[str, np.ndarray]
    labels: np.ndarray | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    images: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """N."""
        return len(next(iter(self.arrays.values())))


def load_samples(path: str | Path, specs: Sequence[TensorSpec], scale: Scale | None = None) -> Samples:
    """Read samples for a model's inputs.

    Axis 0 of each array counts the samples and may have any size from 1; the other axes must fit
    the spec, symbols included. In a directory each ``.npy`` file, in the order of the names, is one
    sample without axis 0, or several with it; images are read as in ``picture.py`` and
    normalised by ``scale``. Floats are cast to the model's float type and integers widened, with a
    note; other dtypes are refused. Raise InputError for an error of a file, MissingBackendError for
    images without Pillow.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"samples {path} do not exist", _FORMS)
    extra: dict[str, np.ndarray] = {}
    images: dict[str, Any] = {}
    if path.is_dir() and holds_images(path):
        only = _only(specs, path)
        if any(path.glob("*.npy")):
            raise InputError(f"directory {path} has images and .npy files", "give one kind of them")
        array, classes, images = read_images(path, only, scale or Scale())
        raw = {only.name: array}
        if classes is not None:
            extra["labels"] = classes
    elif path.is_dir():
        raw = {_only(specs, path).name: _read_directory(path, _only(specs, path))}
    elif path.suffix == ".npy":
        raw = {_only(specs, path).name: _read_npy(path)}
    elif path.suffix == ".npz":
        raw = _read_npz(path)
        names = [s.name for s in specs]
        if missing := [n for n in names if n not in raw]:
            raise InputError(f"{path} has no array {missing[0]!r}", f"it has {', '.join(raw) or 'none'}")
        extra = {n: a for n, a in raw.items() if n not in names}
    else:
        raise InputError(f"samples {path} have an unknown ending", _FORMS)
    if scale is not None and not images:
        raise InputError(f"{path} has no images to normalise", "leave out --image-mean and --image-std")
    arrays = {s.name: _fit(s, raw[s.name], path) for s in specs}
    notes = [
        f"array {s.name!r} of {path} was cast from {raw[s.name].dtype} to {s.dtype}"
        for s in specs
        if raw[s.name].dtype != s.numpy_dtype
    ]
    _check_together(specs, arrays, path)
    labels = extra.pop("labels", None)
    count = len(next(iter(arrays.values())))
    if labels is not None and labels.shape != (count,):
        raise InputError(f"labels of {path} have shape {labels.shape}", f"give one per sample, ({count},)")
    if images and scale is None:
        notes.append(
            f"images of {path} are scaled to 0..1 and not normalised: give --image-mean and --image-std as in training"
        )
    return Samples(arrays, labels, extra, tuple(notes), images)


def _only(specs: Sequence[TensorSpec], path: Path) -> TensorSpec:
    if len(specs) != 1:
        names = ", ".join(s.name for s in specs)
        raise InputError(f"{path} has one input and the model takes {names}", "give a .npz with one array per input")
    return specs[0]


def _read_npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except Exception as error:
        problem = f"{path} cannot be read as .npy ({_unreadable(error)})"
        raise InputError(problem, "write it with numpy.save, no objects") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path)
    except UnreadableError as error:
        raise InputError(f"{path} cannot be read as .npz ({error})", "write it with numpy.savez, no objects") from error


def _read_directory(path: Path, spec: TensorSpec) -> np.ndarray:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise InputError(f"directory {path} has no .npy file and no image", "give a .npy, .png or .jpg per sample")
    parts = []
    for file in files:
        array = _read_npy(file)
        parts.append(array[None] if array.ndim == len(spec.axes) - 1 else array)
        if parts[-1].shape[1:] != parts[0].shape[1:] or parts[-1].ndim != parts[0].ndim:
            raise InputError(
                f"{file} has shape {array.shape} and {files[0].name} has samples of shape {parts[0].shape[1:]}",
                "give samples of one shape",
            )
        if array.dtype != parts[0].dtype:
            raise InputError(f"{file} has dtype {array.dtype} and {files[0].name} has {parts[0].dtype}", "convert one")
    return np.concatenate(parts) if parts[0].ndim else parts[0]


def _fit(spec: TensorSpec, array: np.ndarray, path: Path) -> np.ndarray:
    """The samples of an input as a contiguous array of its dtype."""
    what = f"array {spec.name!r} of {path}"
    if array.ndim != len(spec.axes) or array.ndim == 0:
        raise InputError(f"{what} has rank {array.ndim}", f"give samples along axis 0 of {spec.describe()}")
    if not len(array):
        raise InputError(f"{what} has no samples", "give at least one")
    for i, (size, axis) in enumerate(zip(array.shape, spec.axes, strict=True)):
        if i and not axis.min <= size <= axis.max:
            raise InputError(f"axis {i} of {what} has size {size}", f"the model takes {spec.describe()}")
    if array.dtype == spec.numpy_dtype:
        cast = array
    elif (array.dtype.kind == spec.numpy_dtype.kind == "f") or (
        array.dtype.kind in "iu" and spec.numpy_dtype.kind in "iu" and np.can_cast(array.dtype, spec.numpy_dtype)
    ):
        with np.errstate(over="ignore"):  # overflow is refused below, with its sample
            cast = array.astype(spec.numpy_dtype)
    else:
        raise InputError(f"{what} has dtype {array.dtype}", f"give {spec.dtype}")
    if cast.dtype.kind == "f" and not np.isfinite(cast).all():
        first = int(np.argwhere(~np.isfinite(cast))[0][0])
        raise InputError(f"sample {first} of {what} has a value that is not finite in {spec.dtype}", "clean them")
    return np.ascontiguousarray(cast)


def _check_together(specs: Sequence[TensorSpec], arrays: dict[str, np.ndarray], path: Path) -> None:
    counts = {name: len(a) for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"inputs of {path} have different sample counts: {counts}", "give one sample of each per row")
    sizes: dict[str, int] = {}
    for spec in specs:
        for size, axis in zip(arrays[spec.name].shape[1:], spec.axes[1:], strict=True):
            if axis.symbol is not None and sizes.setdefault(axis.symbol, size) != size:
                raise InputError(
                    f"{axis.symbol!r} is {size} in {spec.name!r} of {path} and {sizes[axis.symbol]} elsewhere",
                    "axes of one symbol have one size",
                )
