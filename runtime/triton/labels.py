"""Class names for Triton's classification extension: a line for each class, by index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ..bundle.manifest import Manifest
from .config import Config
from .model_tensors import Tensor


def class_names(manifest: Manifest, file: Path | None) -> list[str]:
    """Read ``file``, one name per line; by default the folder names of the bundle's image samples; else empty.

    Raise InputError for a file that cannot be read or has an empty line.
    """
    if file is None:
        known = manifest.samples.images.get("classes", []) if manifest.samples is not None else []
        return [str(name) for name in known]
    try:
        names = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels {file} cannot be read ({error})", "give a text file with a class per line") from error
    if not names or not all(name.strip() for name in names):
        raise InputError(f"labels {file} has an empty line, or none at all", "write the name of a class per line")
    return names


def add_labels(config: Config, folder: Path, outputs: Sequence[Tensor], names: Sequence[str], *, asked: bool) -> None:
    """Write the names to a file for each output with as many classes.

    Raise InputError if the user ``asked`` for labels and no output has as many classes.
    """
    fitting = [tensor.name for tensor in outputs if tensor.dims == (len(names),) and tensor.type.startswith("TYPE_FP")]
    if not names or not fitting:
        if asked:
            shapes = ", ".join(f"{tensor.name} {list(tensor.dims)}" for tensor in outputs)
            raise InputError(f"{len(names)} labels fit no output", f"the outputs are {shapes}")
        return
    content = "".join(f"{name}\n" for name in names).encode()
    file = f"labels-{hashlib.sha256(content).hexdigest()[:12]}.txt"
    (folder / file).write_bytes(content)
    for tensor in config.output:
        if tensor.name in fitting:
            tensor.label_filename = file
