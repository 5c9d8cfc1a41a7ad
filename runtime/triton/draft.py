"""Write one version of one model to a staging folder, in the layout of the repository, with the names of its classes."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..bundle.bundle import MANIFEST, StoredBundle
from ..bundle.manifest import Manifest
from .backend import PYTHON, Choice, choose_backend
from .config import Config, ModelTensors, Tensor, add_parameters, model_config, to_text
from .lint import CONFIG
from .model import BATCH_AXIS, PRECISION, SESSION, THREADS
from .options import RepositoryOptions
from .warmup import add_warmup

_MODEL_PY = '''"""Written by attnexport: serves the bundle beside this file."""

from pathlib import Path

from attnexport.runtime.triton.python_models import {base}


class TritonPythonModel({base}):
    bundle = Path(__file__).with_name("{bundle}")
'''
_NO_BYTECODE = "This file prevents a folder: bytecode written here would make Triton reload the model.\n"
HEADER = ("Written by attnexport triton.",)


@dataclass(frozen=True)
class Draft:
    """A staged model: ``folder`` has its config.pbtxt, its single version, warm-up data and labels."""

    name: str
    version: int
    folder: Path
    config: Config
    bundle: Path
    role: str
    how: str
    notes: tuple[str, ...] = ()

    @property
    def backend(self) -> str:
        """python, onnxruntime, tensorrt or ensemble."""
        return str(self.config.backend or self.config.platform)


def draft_model(
    bundle: StoredBundle,
    name: str,
    version: int,
    staging: Path,
    options: RepositoryOptions,
    *,
    role: str = "model",
    python_class: str = "BundleModel",
) -> Draft:
    """Stage a bundle of one graph for its backend."""
    choice = choose_backend(bundle, options)
    border = ModelTensors.of(choice.inputs, choice.outputs, options.batch_axis).capped(options.max_batch)
    notes = [note for note in (choice.note, border.note) if note]
    config = model_config(name, choice.backend, border, options)
    folder, into = version_folder(staging, name, version)
    if choice.backend == PYTHON:
        write_python(bundle, name, into, python_class)
        add_parameters(config, session_parameters(options))
    else:
        _copy_native(bundle, choice, into)
    names = class_names(bundle.manifest, options.labels)
    add_labels(config, folder, border.outputs, names, asked=options.labels is not None)
    if options.warmup:
        add_warmup(config, folder, choice.inputs, [_in_types(case.feeds, choice) for case in bundle.golden()])
    write_config(folder, config)
    return Draft(name, version, folder, config, bundle.path, role, choice.why, tuple(notes))


def version_folder(staging: Path, name: str, version: int) -> tuple[Path, Path]:
    """Make the folder of a version; return the model's folder and this one."""
    folder = staging / name
    (folder / str(version)).mkdir(parents=True)
    return folder, folder / str(version)


def write_python(bundle: StoredBundle, name: str, into: Path, base: str) -> None:
    """Write ``model.py`` with a subclass of ``base``, and the whole bundle beside it."""
    beside = f"{name}.attn"
    copy_bundle(bundle, into / beside)
    (into / "model.py").write_text(_MODEL_PY.format(base=base, bundle=beside), encoding="utf-8")
    (into / "__pycache__").write_text(_NO_BYTECODE, encoding="utf-8")


def session_parameters(options: RepositoryOptions) -> dict[str, object]:
    """Parameters that tell a model of the Python backend which session to open."""
    return {
        SESSION: options.session, PRECISION: options.precision, THREADS: options.threads, BATCH_AXIS: options.batch_axis
    }  # fmt: skip


def copy_bundle(bundle: StoredBundle, to: Path) -> None:
    """Copy the manifest and the files that it lists."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.copy(bundle.path / MANIFEST, to / MANIFEST)
    for relative in bundle.manifest.files:
        (to / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.file(relative), to / relative)


def _copy_native(bundle: StoredBundle, choice: Choice, into: Path) -> None:
    """Copy the model under the name that Triton expects, and its separate weights under their own name."""
    shutil.copy(bundle.file(choice.file), into / choice.renamed)
    for weights in bundle.with_role("weights"):
        if weights.startswith(f"{choice.file}."):
            shutil.copy(bundle.file(weights), into / weights)


def write_config(folder: Path, config: Config) -> None:
    """Write ``config.pbtxt``."""
    (folder / CONFIG).write_text(to_text(config, HEADER), encoding="utf-8")


def _in_types(feeds: Mapping[str, np.ndarray], choice: Choice) -> dict[str, np.ndarray]:
    return {spec.name: np.asarray(feeds[spec.name]).astype(spec.numpy_dtype, copy=False) for spec in choice.inputs}


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
