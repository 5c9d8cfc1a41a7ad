"""Choose the Triton backend for a bundle, and the file that it loads."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import EngineRecord
from ..open.engine_fit import TITLES
from ..open.select import choose_model
from ..sessions.ort import OrtSession
from ..spec import TensorSpec
from .config import find_batch
from .options import RepositoryOptions

PYTHON, ONNXRUNTIME, TENSORRT = "python", "onnxruntime", "tensorrt"
_NATIVE_FILES = {ONNXRUNTIME: "model.onnx", TENSORRT: "model.plan"}
_DEFAULT_HOME = Path("/opt/tritonserver")  # its folder in NVIDIA's images


@dataclass(frozen=True)
class Choice:
    """A backend and, for a native one, the file that it loads and the name that Triton expects.

    ``why`` describes what runs, ``note`` is a remark for the user. ``inputs`` and ``outputs`` have
    the types of the file.
    """

    backend: str
    why: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    file: str = ""
    renamed: str = ""
    note: str = ""


def choose_backend(bundle: StoredBundle, options: RepositoryOptions) -> Choice:
    """The backend for a bundle of one graph.

    ``auto`` takes tensorrt for an engine of enterprise TensorRT, and onnxruntime for a bundle
    without an engine, if this Triton has them; else the Python backend, which runs any bundle.
    Triton's tensorrt backend does not load engines of TensorRT-RTX, and only the Python backend
    fills up batches for an engine whose smallest batch is above 1. Raise InputError if the
    requested backend cannot serve the bundle.
    """
    if options.backend == PYTHON:
        return _python(bundle, options)
    if options.backend in _NATIVE_FILES:
        return _native(bundle, options.backend, options)
    backend = ONNXRUNTIME
    if engines := _engines(bundle, options):
        enterprise = any(e.flavour == "enterprise" for e in engines)
        backend = TENSORRT if enterprise and _least_batch(bundle, options) == 1 else PYTHON
    native = options.session == "auto" and options.threads is None and backend in offered_backends(options.backends)
    return _native(bundle, backend, options) if native and backend != PYTHON else _python(bundle, options)


def offered_backends(folder: Path | None) -> tuple[str, ...]:
    """The backends of a Triton: of ``folder``, else of the one on PATH, else of NVIDIA's images; empty without a Triton.

    Raise InputError for a folder that does not exist.
    """
    if folder is None:
        binary = shutil.which("tritonserver")
        homes = [Path(binary).resolve().parents[1]] if binary else []
        folder = next((h / "backends" for h in (*homes, _DEFAULT_HOME) if (h / "backends").is_dir()), None)
        if folder is None:
            return ()
    elif not folder.is_dir():
        raise InputError(f"{folder} is not a directory of Triton's backends", "give one as /opt/tritonserver/backends")
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


def _python(bundle: StoredBundle, options: RepositoryOptions) -> Choice:
    manifest = bundle.manifest
    session = "the session that fits best" if options.session == "auto" else options.session
    return Choice(PYTHON, f"attnexport, {session}", manifest.inputs, manifest.outputs)


def _native(bundle: StoredBundle, backend: str, options: RepositoryOptions) -> Choice:
    if options.session != "auto" or options.threads is not None:
        raise InputError(
            f"--session and --threads require the Python backend, and the backend is {backend}", "give --backend python"
        )
    if backend == TENSORRT:
        engine = _enterprise(bundle, options)
        if (least := _least_batch(bundle, options)) > 1:
            raise InputError(
                f"engine {engine.file!r} runs {least} rows at least, and a request may have one",
                "serve it with --backend python, which fills batches up, or export with a batch from 1",
            )
        file, model = engine.file, engine.model
        why = f"TensorRT {engine.version}, {engine.precision}"
        note = f"{file} runs in a Triton with TensorRT {engine.version} only"
    else:
        file, precision = choose_model(bundle, options.precision, on_gpu=options.device == "gpu")
        model, note = file, ""
        why = f"ONNX Runtime, {precision}"
    with OrtSession(bundle.file(model), optimize=False, threads=1) as session:
        types = {
            **session.input_dtypes,
            **session.output_dtypes,
        }  # they differ from the bundle's with --io-precision same
    inputs, outputs = (
        tuple(spec.with_dtype(types[spec.name]) for spec in specs)
        for specs in (bundle.manifest.inputs, bundle.manifest.outputs)
    )
    return Choice(backend, why, inputs, outputs, file, _NATIVE_FILES[backend], note)


def _engines(bundle: StoredBundle, options: RepositoryOptions) -> list[EngineRecord]:
    return [e for e in bundle.manifest.engines if options.precision in (None, e.precision)]


def _enterprise(bundle: StoredBundle, options: RepositoryOptions) -> EngineRecord:
    engines = _engines(bundle, options)
    if fitting := [e for e in engines if e.flavour == "enterprise"]:
        return fitting[0]
    if engines:
        raise InputError(
            f"engine {engines[0].file!r} is {TITLES[engines[0].flavour]}'s, which Triton's tensorrt backend cannot load",
            "serve it with --backend python, or build one of TensorRT: attnexport rebuild --trt=enterprise",
        )
    raise InputError(
        f"{bundle.path} has no engine for the tensorrt backend", "build one: attnexport rebuild --trt=enterprise"
    )


def _least_batch(bundle: StoredBundle, options: RepositoryOptions) -> int:
    batch, _ = find_batch(bundle.manifest.inputs, bundle.manifest.outputs, options.batch_axis)
    return batch.min if batch is not None else 1
