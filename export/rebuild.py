"""``attnexport rebuild``: rebuild the engines of a bundle from its ONNX models, for this GPU and TensorRT.

It needs onnx and TensorRT, but not torch, so it runs on the target device. The bundle is replaced completely or not at all.
"""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ForeignEngineError, InputError, MissingBackendError, ParityError
from ..runtime.bundle.bundle import MANIFEST, StoredBundle
from ..runtime.bundle.codec import encode_fields
from ..runtime.bundle.figures import GATE
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.sections import EngineRecord, StageRecord
from ..runtime.bundle.stage import Stage
from ..runtime.bundle.writer import BundleFolder, BundleWriter
from ..runtime.check.check import check
from ..runtime.check.check_rows import FAILED, CheckResult
from ..runtime.cuda import cuda_device
from ..runtime.open.engine_fit import Here, check_fit
from ..runtime.open.select import open_bundle
from ..runtime.open.session import BundleSession
from ..runtime.sessions.trt_library import portable, supports
from ..runtime.spec import TensorSpec
from .engine import EngineOptions
from .engine.build import build_engine
from .engine.config import CACHE_SUFFIX
from .engine.flavour import Flavour, find_flavour
from .engine.layers import onnx_dtype_name
from .engine.record import engine_file, engine_record
from .graph.origin import Origin, Origins
from .progress import Reporter, Silent

_MODEL_TYPES = ("fp16", "bf16", "int8", "fp8", "fp32")
"""The first of these models that a bundle without engines has becomes its engine."""


@dataclass(frozen=True)
class Rebuilt:
    """The rebuilt bundle. ``engines``: the new engines; ``checked``: the check on the golden cases, None without a GPU.

    ``timing_cache`` is the file with kernel timings for the next build, None if the library has none.
    """

    bundle: Path
    engines: tuple[EngineRecord, ...]
    checked: CheckResult | None
    timing_cache: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary, with the number of layers of each engine."""
        engines = [{**encode_fields(engine), "layers": len(engine.layers)} for engine in self.engines]
        checked = None if self.checked is None else self.checked.to_json()
        cache = None if self.timing_cache is None else str(self.timing_cache)
        return {"bundle": str(self.bundle), "engines": engines, "checked": checked, "timing_cache": cache}


def rebuild(
    path: str | Path,
    *,
    trt: str = "auto",
    precision: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    options: EngineOptions | None = None,
    reporter: Reporter | None = None,
) -> Rebuilt:
    """Rebuild each engine of a bundle from its model, and replace the old engines.

    A bundle without engines gets one. ``trt``: auto, rtx or enterprise. ``precision``: build from this model instead. ``out``
    writes another bundle (``force`` replaces an existing one) instead of changing this one. On a machine with a GPU, the new
    engines must pass their gates on the golden cases before anything is replaced. Without a timing cache in ``options``, the
    one of :func:`cache_beside` is used if the library keeps timings.

    Raises BundleError for a damaged bundle, InputError for a precision that it does not have, MissingBackendError without
    TensorRT or onnx, EngineError if TensorRT fails, ParityError if a new engine fails its gate.
    """
    reporter = reporter or Silent()
    bundle = StoredBundle.open(path)
    bundle.verify_files()
    flavour = find_flavour(trt)  # type: ignore[arg-type]  # it refuses other values
    reporter.note(f"{flavour.title}: {flavour.reason}")
    options = options or EngineOptions()
    if options.timing_cache is None and flavour.has_timing_cache:
        options = replace(options, timing_cache=cache_beside(bundle.path))
    options = _for_this_gpu(options, flavour, reporter)
    destination = bundle.path if out is None else Path(out)
    with BundleWriter(destination, replace=out is None or force) as writer:
        work = _Rebuild(flavour, precision, options, reporter, link=out is None)
        manifest, roles = work.bundle(bundle, writer)
        if "report" in roles.values():  # it lists the engines
            from .report.page import add_page

            parts = {name: StoredBundle.open(writer.path / inside).manifest for name, inside in manifest.parts.items()}
            add_page(writer, manifest, parts, {})
        checked = None
        if cuda_device() is not None:
            writer.seal(manifest, roles)
            checked = check(writer.path, reporter.note, gate=_gate_of(bundle))
            files = {file for file in work.written if file.startswith("engines/") or "/engines/" in file}
            if failed := [r for r in checked.rows if r.verdict == FAILED and r.file in files]:
                raise ParityError(
                    "; ".join(f"{row.file}, output {row.output!r}, {row.reason}" for row in failed),
                    "the bundle stays as it was; try another --precision",
                )
            (writer.path / MANIFEST).unlink()
        else:
            reporter.note(
                "the new engines were not run: no GPU found; attnexport check runs them on a machine with a GPU"
            )
        written = writer.commit(manifest, roles)
    timing_cache = options.timing_cache if flavour.has_timing_cache else None
    return Rebuilt(written.path, tuple(work.engines), checked, timing_cache)


def _for_this_gpu(options: EngineOptions, flavour: Flavour, reporter: Reporter) -> EngineOptions:
    """Restrict the engine to the compute capability of this GPU if an engine for any GPU would not support it."""
    gpu = cuda_device()
    if gpu is None or options.compute_capabilities or not flavour.has_compute_capabilities:
        return options
    if portable(gpu[1]) or not supports(flavour.module, gpu[1]):
        return options
    reporter.note(f"an engine for any GPU would not run on {gpu[0]}: this one is for compute capability {gpu[1]}")
    return replace(options, compute_capabilities=(gpu[1],))


def cache_beside(bundle: Path) -> Path:
    """Return ``net.attn.timing-cache`` for ``net.attn``: beside the bundle, since its files are sealed."""
    path = bundle.resolve()
    return path.with_name(f"{path.name}{CACHE_SUFFIX}")


def open_rebuilt(path: Path, backend: str, options: Mapping[str, Any]) -> BundleSession:
    """Open a bundle, and rebuild its engines first if they are for another machine. Raises the errors of both."""
    try:
        return open_bundle(path, backend, **options)
    except ForeignEngineError:
        rebuild(path, precision=options.get("precision"))
    return open_bundle(path, backend, **options)


def rebuild_foreign(path: str | Path, reporter: Reporter) -> Rebuilt | None:
    """Rebuild the engines if one is for another machine; return None, with a note, if all fit this machine.

    Raises MissingBackendError without a GPU, and as :func:`rebuild` does.
    """
    here = Here.look()
    if here is None:
        raise MissingBackendError("no GPU found to build engines for", "omit --rebuild, or use attnexport rebuild")
    bundle = StoredBundle.open(path)
    graphs = [bundle, *(bundle.part(name) for name in bundle.manifest.parts)]
    try:
        for graph in graphs:
            for engine in graph.manifest.engines:
                check_fit(bundle.path, engine, graph.manifest.gpu, here)
    except ForeignEngineError as error:
        reporter.note(error.problem)
        return rebuild(path, reporter=reporter)
    reporter.note(f"no engine rebuilt: every engine is for {here.describe()}")
    return None


@dataclass
class _Rebuild:
    """One rebuild in progress, of a bundle or of its parts. ``link``: hard-link old files, since the old bundle goes."""

    flavour: Flavour
    precision: str | None
    options: EngineOptions
    reporter: Reporter
    link: bool

    def __post_init__(self) -> None:
        self.engines: list[EngineRecord] = []
        self.written: list[str] = []

    def bundle(self, bundle: StoredBundle, folder: BundleFolder) -> tuple[Manifest, dict[str, str]]:
        """Copy and rebuild one bundle into ``folder``; return its new manifest and the roles of its files."""
        parts = bundle.manifest.parts
        if not parts:
            return self._graph(bundle, folder)
        roles = {name: record.role for name, record in bundle.manifest.files.items() if record.role != "part"}
        _copy(bundle, folder.path, roles, self.link)
        began = len(self.engines)
        for name, inside in parts.items():
            (folder.path / inside).mkdir(exist_ok=True)
            part_folder = BundleFolder(folder.path / inside, f"part {name}")
            sealed = part_folder.seal(*self._graph(bundle.part(name), part_folder, prefix=f"{inside}/"))
            roles |= {f"{inside}/{file}": "part" for file in (MANIFEST, *sealed.manifest.files)}
        manifest = bundle.manifest
        if manifest.decode is not None:  # decodes with the old engines do not apply to the new ones
            kept = tuple(r for r in manifest.decode.parity if not any("engines/" in f for f in r.files.values()))
            manifest = replace(manifest, decode=replace(manifest.decode, parity=kept))
        return self._with_stage(manifest, self.engines[began:], 0.0), roles

    def _graph(self, bundle: StoredBundle, folder: BundleFolder, prefix: str = "") -> tuple[Manifest, dict[str, str]]:
        models = self._models(bundle)
        old = [e for e in bundle.manifest.engines if e.precision in models]
        gone = {engine.file for engine in old}
        roles = {name: record.role for name, record in bundle.manifest.files.items() if name not in gone}
        _copy(bundle, folder.path, roles, self.link)
        new: list[EngineRecord] = []
        started = time.perf_counter()
        for precision, model in models.items():
            self.reporter.started(Stage.ENGINE.label())
            file = engine_file(precision, self.flavour)
            path, origins = folder.path / model, _origins(bundle.manifest)
            inputs = _inputs(path, bundle.manifest.inputs)
            engine = build_engine(path, inputs, self.flavour, self.options, origins, self.reporter)
            (folder.path / file).parent.mkdir(exist_ok=True)
            (folder.path / file).write_bytes(engine.plan)
            roles[file] = "engine"
            new.append(engine_record(engine, file, precision, model, bundle.manifest.outputs))
        kept = tuple(e for e in bundle.manifest.engines if e.file not in gone | {n.file for n in new})
        parity = tuple(r for r in bundle.manifest.parity if r.file not in gone)
        self.engines += new
        self.written += [f"{prefix}{engine.file}" for engine in new]
        manifest = replace(bundle.manifest, engines=(*kept, *new), parity=parity)
        return self._with_stage(manifest, new, time.perf_counter() - started), roles

    def _with_stage(self, manifest: Manifest, new: Sequence[EngineRecord], seconds: float) -> Manifest:
        text = f"{', '.join(e.file for e in new)} by {self.flavour.title}"
        notes = tuple(note for note in manifest.notes if "was not run: no GPU" not in note)
        stages = (*manifest.stages, StageRecord(Stage.REBUILD, round(seconds, 3), text))
        return replace(manifest, stages=stages, notes=(*notes, f"engines rebuilt: {text}"))

    def _models(self, bundle: StoredBundle) -> dict[str, str]:
        """Return the model file to build from, by precision."""
        if self.precision is None and bundle.manifest.engines:
            precisions = [engine.precision for engine in bundle.manifest.engines]
        elif self.precision is None:
            precisions = [p for p in _MODEL_TYPES if bundle.with_role(f"model-{p}")][:1]
        else:
            precisions = [self.precision]
        models = {p: files[0] for p in precisions if (files := bundle.with_role(f"model-{p}"))}
        if missing := [p for p in precisions if p not in models] or ([] if precisions else ["ONNX"]):
            available = [p for p in _MODEL_TYPES if bundle.with_role(f"model-{p}")]
            raise InputError(
                f"{bundle.path} has no {missing[0]} model to build an engine from",
                f"it has {', '.join(available) or 'none'}",
            )
        return models


def _gate_of(bundle: StoredBundle) -> float:
    """The largest factor that the bundle was exported with."""
    graphs = (bundle, *(bundle.part(name) for name in bundle.manifest.parts))
    return max((record.gate.factor for graph in graphs for record in graph.manifest.parity), default=GATE)


def _copy(bundle: StoredBundle, folder: Path, roles: Mapping[str, str], link: bool) -> None:
    """Copy the files of ``roles``; with ``link``, hard-link all but the report, which is rewritten, if possible."""
    for name in roles:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and roles[name] != "report":
            with suppress(OSError):
                os.link(bundle.file(name), target)
                continue
        shutil.copyfile(bundle.file(name), target)


def _inputs(model: Path, inputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Return the inputs with the types of the model: FP16 with ``--io-precision same``."""
    try:
        import onnx
    except ImportError as error:
        raise MissingBackendError("rebuilding an engine needs onnx", "pip install onnx") from error
    graph = onnx.load(str(model), load_external_data=False).graph
    types = {value.name: onnx_dtype_name(value.type.tensor_type.elem_type) for value in graph.input}
    return [replace(spec, dtype=types.get(spec.name, spec.dtype)) for spec in inputs]


def _origins(manifest: Manifest) -> Origins:
    """Return the origins of nodes known from a bundle: names start with the module's path, rewrites have source lines."""
    nodes = {node for engine in manifest.engines for layer in engine.layers for node in layer.get("nodes", ())}
    modules = {node.partition("/")[0] for node in nodes if "/" in node}
    origins = {module: Origin(module, "", "") for module in sorted(modules)}
    return origins | {r.node: Origin(r.module, "", r.source) for r in manifest.rewrites if r.module}
