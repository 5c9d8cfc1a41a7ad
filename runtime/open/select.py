"""Opening a bundle by the name of a backend, or by what is here: an engine that fits, the GPU, the CPU."""

from __future__ import annotations

from pathlib import Path

from ...errors import AttnexportError, BundleError, ForeignEngineError, InputError, MissingBackendError, StageError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import EngineRecord
from ..sessions import Session
from ..sessions.emulated import EmulatedSession
from ..sessions.open import CastSession
from ..sessions.ort import OrtSession
from ..sessions.placement import Placement
from ..sessions.providers import CHAINS, chain
from ..sessions.tensorrt import TensorRTSession
from ..user_cache import cache_folder
from .engine_binding import check_engine
from .engine_fit import TITLES, Here, check_fit
from .session import BundleSession

EMULATED, TORCH = "emulated", "torch"
ENGINES = {"tensorrt": "enterprise", "tensorrt-rtx": "rtx"}
BACKENDS = ("auto", *CHAINS, *ENGINES, EMULATED, TORCH)
"""What may be asked for. A bundle holds no PyTorch module: ``torch`` is opened by :mod:`attnexport.export`."""
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

    ``auto`` takes an engine that was made for what is here, else ONNX Runtime on the GPU, else on the CPU; ``notes`` of what it
    gives say why. An engine for another GPU, version or flavour is refused, also by ``auto`` where a GPU is: what was
    exported to run fast does not run slowly unsaid.

    ``precision``: fp32, fp16, bf16, int8 or fp8; by default the bundle's smaller one on a GPU and fp32 on the CPU. ``threads``
    are ONNX Runtime's, per operator. ``cuda_graph`` records a run on a GPU and replays it while shapes stay. With ``strict`` a GPU
    session that leaves nodes to the CPU is an error, else a note.

    Raises BundleError for what is no bundle, ForeignEngineError for an engine made for elsewhere (it names the command that
    rebuilds it), InputError for an option, MissingBackendError for a backend that is not here, StageError under ``strict``.
    """
    if backend == TORCH:
        raise InputError(
            "a bundle holds no PyTorch module", "give its file as model=, or open what attnexport.export gave"
        )
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is not known", f"use one of {', '.join(BACKENDS)}")
    if precision not in (None, *PRECISIONS):
        raise InputError(f"precision {precision!r} is not known", f"use one of {', '.join(PRECISIONS)}")
    bundle = path if isinstance(path, StoredBundle) else StoredBundle.open(path)
    if parts := bundle.manifest.parts:
        raise InputError(
            f"{bundle.path} holds several graphs, {', '.join(parts)}, and no single one to run",
            f"open one of them, {bundle.path}/{next(iter(parts.values()))}, or decode with attnexport decode",
        )
    opener = _Opener(bundle, precision, threads, cuda_graph, strict)
    return opener.auto() if backend == "auto" else opener.named(backend)


class _Opener:
    """One bundle, and how it is to be opened; ``notes`` gathers what the user should know."""

    def __init__(
        self, bundle: StoredBundle, precision: str | None, threads: int | None, cuda_graph: bool, strict: bool
    ) -> None:
        self.bundle, self.precision, self.threads = bundle, precision, threads
        self.cuda_graph, self.strict = cuda_graph, strict
        self.notes: list[str] = []

    def auto(self) -> BundleSession:
        engines = self._engines()
        here = Here.look()
        if here is None:
            if engines:
                self.notes.append(f"{engines[0].file} does not run here, since no GPU is here: ONNX Runtime on the CPU")
            return self._ort("ort-cpu")
        if engines:
            try:
                return self._engine(engines, here)
            except MissingBackendError as error:
                self.notes.append(f"{engines[0].file} does not run here: {error.problem}")
            except ForeignEngineError as error:
                raise ForeignEngineError(
                    error.problem, f"{error.remedy}; or open it with backend='ort-cuda'"
                ) from error
        try:
            return self._ort("ort-cuda")
        except MissingBackendError as error:
            self.notes.append(f"{here.gpu[0]} is not used by ONNX Runtime: {error.problem}")
            return self._ort("ort-cpu")

    def named(self, backend: str) -> BundleSession:
        if backend in CHAINS:
            return self._ort(backend)
        if backend == EMULATED:
            file, precision = self._model(on_gpu=True)
            if precision == "fp32":
                raise InputError(f"{self.bundle.path} has no 16-bit model to emulate", "open it with backend='ort-cpu'")
            session = EmulatedSession(self.bundle.file(file))
            return self._opened(session, EMULATED, file, "onnxruntime, CPU, rounded to 16 bits after every node")
        engines = [e for e in self._engines() if e.flavour == ENGINES[backend]] or self._engines()
        if not engines:
            raise InputError(
                f"{self.bundle.path} has no {'' if self.precision is None else self.precision + ' '}engine",
                f"build one with: attnexport rebuild {self.bundle.path}",
            )
        here = Here.look()
        if here is None:
            raise MissingBackendError(
                f"{engines[0].file} needs an NVIDIA GPU and none is here", "open it with backend='ort-cpu'"
            )
        return self._engine(engines, here)

    def _engines(self) -> list[EngineRecord]:
        return [e for e in self.bundle.manifest.engines if self.precision in (None, e.precision)]

    def _engine(self, engines: list[EngineRecord], here: Here) -> BundleSession:
        """The first engine that fits. Raises what stands against the first where none does."""
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
            return self._opened(session, backend, record.file, how)
        raise refusals[0]

    def _ort(self, backend: str) -> BundleSession:
        file, precision = self._model(on_gpu=backend != "ort-cpu")
        inputs = self.bundle.manifest.inputs
        cache = cache_folder("providers") if backend in ("ort-tensorrt", "ort-tensorrt-rtx") else None
        providers = chain(backend, inputs, cache, half=precision != "fp32", cuda_graph=self.cuda_graph)
        session = OrtSession(self.bundle.file(file), threads=self.threads, providers=providers)
        names = [provider.name.removesuffix("ExecutionProvider") for provider in providers]
        how = f"onnxruntime, {names[0]}"
        placement = session.placement
        if placement is not None:
            how = f"onnxruntime, {placement.describe()}"
            if left := placement.on_cpu():
                if self.strict:
                    session.close()
                    raise StageError("placement", f"{file} by {names[0]}: {left}", "open it without strict")
                self.notes.append(f"{file} by {names[0]}: {left}")
        return self._opened(session, backend, file, how, placement)

    def _model(self, *, on_gpu: bool) -> tuple[str, str]:
        """The model file for a precision, and which that is."""
        small = [p for p in PRECISIONS[1:] if self.bundle.with_role(f"model-{p}")]
        wanted = self.precision or (small[0] if on_gpu and small else "fp32")
        files = self.bundle.with_role(f"model-{wanted}")
        if not files:
            has = [p for p in PRECISIONS if self.bundle.with_role(f"model-{p}")]
            raise InputError(f"{self.bundle.path} has no {wanted} model", f"it has {', '.join(has) or 'none'}")
        return files[0], wanted

    def _opened(
        self,
        session: OrtSession | TensorRTSession | EmulatedSession,
        backend: str,
        file: str,
        how: str,
        placement: Placement | None = None,
    ) -> BundleSession:
        """With casts at its border where the file has other types than the bundle (16 bits, ``--io-precision same``)."""
        manifest = self.bundle.manifest
        types = {spec.name: spec.dtype for spec in (*manifest.inputs, *manifest.outputs)}
        bordered: Session = session
        if {**session.input_dtypes, **session.output_dtypes} != types:
            bordered = CastSession(session, session.input_dtypes, {s.name: s.dtype for s in manifest.outputs})
        return BundleSession(
            bordered,
            manifest.inputs,
            manifest.outputs,
            backend=backend,
            file=file,
            how=how,
            placement=placement,
            notes=tuple(self.notes),
            takes_devices=backend in ENGINES,
        )
