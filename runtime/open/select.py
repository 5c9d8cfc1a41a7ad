"""Open a bundle on a named backend, on the best one of this machine (a fitting engine, the GPU, the CPU), or as a stage of the manifest."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import AttnexportError, BundleError, ForeignEngineError, InputError, MissingBackendError, StageError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import EngineRecord
from ..sessions import Session
from ..sessions.emulated import open_emulated
from ..sessions.open import CastSession, open_session
from ..sessions.ort import OrtSession
from ..sessions.providers import CHAINS, chain
from ..sessions.tensorrt import TensorRTSession
from ..user_cache import cache_folder
from .engine_fit import TITLES, Here, check_engine, check_fit
from .session import BundleSession, SessionInfo

EMULATED, TORCH = "emulated", "torch"
ENGINES = {"tensorrt": "enterprise", "tensorrt-rtx": "rtx"}
BACKENDS = ("auto", *CHAINS, *ENGINES, EMULATED, TORCH)
"""The names of backends. A bundle has no PyTorch module: :mod:`attnexport.export` opens ``torch``."""
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")


def open_bundle(
    path: str | Path | StoredBundle,
    backend: str = "auto",
    *,
    precision: str | None = None,
    threads: int | None = None,
    cuda_graph: bool = False,
    strict: bool = False,
) -> BundleSession:
    """Open a bundle on one of ``BACKENDS``.

    ``auto`` takes an engine that was built for this GPU and TensorRT, else ONNX Runtime on the GPU,
    else on the CPU; ``notes`` of the session explain the choice. An engine for another GPU, version
    or flavour is refused. ``auto`` refuses it too if there is a GPU: a model that was exported to
    run fast must not silently run slowly.

    ``precision``: fp32, fp16, bf16, int8 or fp8; by default the bundle's smaller one on a GPU and
    fp32 on the CPU. ``threads``: ONNX Runtime's threads per operator. ``cuda_graph``: record a run
    on a GPU and replay it while the shapes stay the same. With ``strict``, a GPU session that
    leaves nodes to the CPU is an error, otherwise a note.

    Raise BundleError for a path that is not a bundle, ForeignEngineError for an engine of another
    machine (it names the command that rebuilds it), InputError for an option, MissingBackendError
    for a missing backend, StageError under ``strict``.
    """
    if backend == TORCH:
        raise InputError(
            "a bundle has no PyTorch module", "pass its file as model=, or open the result of attnexport.export"
        )
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is not known", f"use one of {', '.join(BACKENDS)}")
    if precision not in (None, *PRECISIONS):
        raise InputError(f"precision {precision!r} is not known", f"use one of {', '.join(PRECISIONS)}")
    bundle = path if isinstance(path, StoredBundle) else StoredBundle.open(path)
    if parts := bundle.manifest.parts:
        raise InputError(
            f"{bundle.path} has several graphs, {', '.join(parts)}, and not one to run",
            f"open one of them, {bundle.path}/{next(iter(parts.values()))}, or decode with attnexport decode",
        )
    opener = _Opener(bundle, precision, threads, cuda_graph, strict)
    return opener.auto() if backend == "auto" else opener.named(backend)


class _Opener:
    """Opens one bundle with the given options."""

    def __init__(
        self, bundle: StoredBundle, precision: str | None, threads: int | None, cuda_graph: bool, strict: bool
    ) -> None:
        self.bundle, self.precision, self.threads = bundle, precision, threads
        self.cuda_graph, self.strict = cuda_graph, strict

    def auto(self) -> BundleSession:
        engines = self._engines()
        here = Here.look()
        if here is None:
            no_gpu = [f"{engine.file} needs a GPU and there is none: ONNX Runtime on the CPU" for engine in engines[:1]]
            return self._ort("ort-cpu", no_gpu)
        notes: list[str] = []
        if engines:
            try:
                return self._engine(engines, here)
            except MissingBackendError as error:
                notes = [f"{engines[0].file} does not run here: {error.problem}"]
            except ForeignEngineError as error:
                raise ForeignEngineError(
                    error.problem, f"{error.remedy}; or open it with backend='ort-cuda'"
                ) from error
        try:
            return self._ort("ort-cuda", notes)
        except MissingBackendError as error:
            return self._ort("ort-cpu", [*notes, f"ONNX Runtime does not use {here.gpu[0]}: {error.problem}"])

    def named(self, backend: str) -> BundleSession:
        if backend in CHAINS:
            return self._ort(backend)
        if backend == EMULATED:
            file, precision = choose_model(self.bundle, self.precision, on_gpu=True)
            if precision == "fp32":
                raise InputError(f"{self.bundle.path} has no 16-bit model to emulate", "open it with backend='ort-cpu'")
            session = open_emulated(self.bundle.file(file))
            how = "onnxruntime, CPU, rounded to 16 bits after every node"
            return self._opened(session, SessionInfo(EMULATED, file, how))
        engines = [e for e in self._engines() if e.flavour == ENGINES[backend]] or self._engines()
        if not engines:
            raise InputError(
                f"{self.bundle.path} has no {'' if self.precision is None else self.precision + ' '}engine",
                f"build one with: attnexport rebuild {self.bundle.path}",
            )
        here = Here.look()
        if here is None:
            raise MissingBackendError(
                f"{engines[0].file} needs an NVIDIA GPU and there is none", "open it with backend='ort-cpu'"
            )
        return self._engine(engines, here)

    def _engines(self) -> list[EngineRecord]:
        return [e for e in self.bundle.manifest.engines if self.precision in (None, e.precision)]

    def _engine(self, engines: list[EngineRecord], here: Here) -> BundleSession:
        """Open the first engine that fits. If none fits, raise the refusal of the first."""
        refusals: list[AttnexportError] = []
        for record in engines:
            try:
                check_fit(self.bundle.path, record, self.bundle.manifest.gpu, here)
            except (BundleError, MissingBackendError) as error:
                refusals.append(error)
                continue
            check_engine(self.bundle, record)
            session = TensorRTSession(
                self.bundle.file(record.file), record.flavour, cuda_graph=self.cuda_graph, cache=cache_folder("rtx")
            )
            backend = next(name for name, flavour in ENGINES.items() if flavour == record.flavour)
            how = f"{TITLES[record.flavour]} {record.version}, {here.gpu[0]}"
            return self._opened(session, SessionInfo(backend, record.file, how, takes_devices=True))
        raise refusals[0]

    def _ort(self, backend: str, notes: Sequence[str] = ()) -> BundleSession:
        file, precision = choose_model(self.bundle, self.precision, on_gpu=backend != "ort-cpu")
        inputs = self.bundle.manifest.inputs
        cache = cache_folder("providers") if backend in ("ort-tensorrt", "ort-tensorrt-rtx") else None
        providers = chain(backend, inputs, cache, half=precision != "fp32", cuda_graph=self.cuda_graph)
        session = OrtSession(self.bundle.file(file), threads=self.threads, providers=providers)
        names = [provider.name.removesuffix("ExecutionProvider") for provider in providers]
        how = f"onnxruntime, {names[0]}"
        placement = session.placement
        if placement is not None:
            how = f"onnxruntime, {placement.describe()}"
            if on_cpu := placement.on_cpu():
                note = f"{file} by {names[0]}: {on_cpu}"
                if self.strict:
                    session.close()
                    raise StageError("placement", note, "open it without strict")
                notes = (*notes, note)
        return self._opened(session, SessionInfo(backend, file, how, placement, tuple(notes)))

    def _opened(self, session: OrtSession | TensorRTSession, info: SessionInfo) -> BundleSession:
        """Wrap a session. Inputs and outputs are cast if the file has other types than the bundle (``--io-precision same``)."""
        manifest = self.bundle.manifest
        types = {spec.name: spec.dtype for spec in (*manifest.inputs, *manifest.outputs)}
        cast: Session = session
        if {**session.input_dtypes, **session.output_dtypes} != types:
            cast = CastSession(session, session.input_dtypes, {s.name: s.dtype for s in manifest.outputs})
        return BundleSession(cast, manifest.inputs, manifest.outputs, info)


def choose_model(bundle: StoredBundle, precision: str | None, *, on_gpu: bool) -> tuple[str, str]:
    """The ONNX file of a precision, and that precision; by default the smaller one on a GPU and fp32 on the CPU.

    Raise InputError if the bundle has no such model.
    """
    files = {p: names[0] for p in PRECISIONS if (names := bundle.with_role(f"model-{p}"))}
    small = [p for p in files if p != "fp32"]
    chosen = precision or (small[0] if on_gpu and small else "fp32")
    if chosen not in files:
        raise InputError(f"{bundle.path} has no {chosen} model", f"it has {', '.join(files) or 'none'}")
    return files[chosen], chosen


EMULATED = "emulated"  # how the stages are named that round to FP16 or BF16 after every node, as a GPU does


def open_stage(bundle: StoredBundle, stage: str, file: str, note: Callable[[str], None]) -> tuple[Session, str]:
    """Return a session for a stage's file, in the types of the bundle, and a description of it.

    Raise MissingBackendError for a backend that is not installed, ForeignEngineError for an engine
    of another machine.
    """
    path = bundle.file(file)
    dtypes = {spec.name: spec.dtype for spec in bundle.manifest.outputs}
    engine = next((e for e in bundle.manifest.engines if e.file == file), None)
    if engine is not None:
        here = Here.look()
        if here is None:
            raise MissingBackendError("no GPU")
        check_fit(bundle.path, engine, bundle.manifest.gpu, here)
        return open_session(path, engine.flavour, dtypes), f"TensorRT, {engine.flavour}"
    if not stage.startswith(EMULATED):
        return open_session(path, "onnxruntime", dtypes), "onnxruntime, CPU"
    if importlib.util.find_spec("onnx") is None:
        note(
            f"{file}: the package onnx is not installed, so 16-bit storage is not emulated, and onnxruntime alone, "
            "which computes in FP32 between casts, has run it; pip install onnx for both"
        )
        raise MissingBackendError("the package onnx is not installed")
    kind = "BF16" if stage.endswith("bf16") else "FP16"
    return open_session(path, EMULATED, dtypes), f"onnxruntime, CPU, rounded to {kind} after every node"
