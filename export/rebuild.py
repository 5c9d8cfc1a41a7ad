"""``attnexport rebuild``: a bundle's engines built anew from its own ONNX models, for what is here; all else stays as it is.

Needs onnx and a TensorRT, no torch, so that it runs on the device. The bundle is replaced whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ForeignEngineError, InputError, MissingBackendError, ParityError
from ..runtime.bundle.bundle import MANIFEST, StoredBundle
from ..runtime.bundle.codec import encode_fields
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.sections import EngineRecord, StageRecord
from ..runtime.bundle.stage import Stage
from ..runtime.bundle.writer import BundleFolder, BundleWriter
from ..runtime.check.check import check
from ..runtime.check.check_rows import FAILED, CheckResult
from ..runtime.device import cuda_device
from ..runtime.open.engine_fit import Here, check_fit
from ..runtime.open.select import open_bundle
from ..runtime.open.session import BundleSession
from ..runtime.sessions.trt_library import portable, supports
from ..runtime.spec import TensorSpec
from .engine import EngineOptions
from .engine.build import build_engine
from .engine.dtypes import onnx_dtype_name
from .engine.flavour import Flavour, find_flavour
from .engine.record import engine_file, engine_record
from .graph.origin import Origin, Origins
from .progress import Reporter, Silent

_SMALLER = ("fp16", "bf16", "int8", "fp8", "fp32")
"""What an engine is built of where the bundle has none yet: the first of these models that it holds."""


@dataclass(frozen=True)
class Rebuilt:
    """What came of it. ``engines``: the new ones; ``checked``: their rows on the golden cases, None without a GPU.

    ``timing_cache`` is the file that keeps the kernels' timings for the next build, None where the library has none.
    """

    bundle: Path
    engines: tuple[EngineRecord, ...]
    checked: CheckResult | None
    timing_cache: Path | None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; of the engines without their layers."""
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
    """Build a bundle's engines again, each from the model that it was made of, and put them in the place of the old.

    A bundle without engines gets one. ``trt``: auto, rtx or enterprise. ``precision`` names another model to build from. ``out``
    writes another bundle (``force`` replaces one that is there) instead of changing this one. On a machine with a GPU the new
    engines are held to their gates on the golden cases before anything is replaced. Without a timing cache in ``options``, one
    beside the bundle is read and written (:func:`cache_beside`) where the library keeps timings.

    Raises BundleError for a bundle that is damaged, InputError for a precision that it does not hold, MissingBackendError
    without TensorRT or onnx, EngineError where TensorRT refuses, ParityError where a new engine fails its gate.
    """
    reporter = reporter or Silent()
    bundle = StoredBundle.open(path)
    bundle.verify_files()
    flavour = find_flavour(trt)  # type: ignore[arg-type]  # it refuses other words
    reporter.note(f"{flavour.title}: {flavour.reason}")
    options = options or EngineOptions()
    if options.timing_cache is None and flavour.has_timing_cache:
        options = replace(options, timing_cache=cache_beside(bundle.path))
    options = _for_this_gpu(options, flavour, reporter)
    destination = bundle.path if out is None else Path(out)
    with BundleWriter(destination, replace=out is None or force) as writer:
        work = _Work(flavour, precision, options, reporter, link=out is None)
        manifest, roles = work.bundle(bundle, writer)
        _page(writer, manifest, roles)
        checked = None
        if cuda_device() is not None:
            writer.seal(manifest, roles)
            checked = check(writer.path, reporter.note)
            files = {file for file in work.written if file.startswith("engines/") or "/engines/" in file}
            if failed := [r for r in checked.rows if r.verdict == FAILED and r.file in files]:
                raise ParityError(
                    "; ".join(f"{row.file}, output {row.output!r}, {row.reason}" for row in failed),
                    "the bundle stays as it was; try another --precision",
                )
            (writer.path / MANIFEST).unlink()
        else:
            reporter.note("the new engines were not run: no GPU is here; attnexport check runs them where one is")
        written = writer.commit(manifest, roles)
    kept = options.timing_cache if flavour.has_timing_cache else None
    return Rebuilt(written.path, tuple(work.engines), checked, kept)


def _for_this_gpu(options: EngineOptions, flavour: Flavour, reporter: Reporter) -> EngineOptions:
    """An engine that runs on the GPU that is here, where one for any GPU would not."""
    gpu = cuda_device()
    if gpu is None or options.compute_capabilities or not flavour.has_compute_capabilities:
        return options
    if portable(gpu[1]) or not supports(flavour.module, gpu[1]):
        return options
    reporter.note(f"an engine for any GPU would leave {gpu[0]} out: this one is for compute capability {gpu[1]}")
    return replace(options, compute_capabilities=(gpu[1],))


def cache_beside(bundle: Path) -> Path:
    """``net.attn.timing-cache`` for ``net.attn``: beside it, since a bundle's own files are sealed."""
    whole = bundle.resolve()
    return whole.with_name(f"{whole.name}.timing-cache")


def open_rebuilt(path: Path, backend: str, options: Mapping[str, Any]) -> BundleSession:
    """Open a bundle, its engines built anew first where they were made for elsewhere. Raises what either raises."""
    try:
        return open_bundle(path, backend, **options)
    except ForeignEngineError:
        rebuild(path, precision=options.get("precision"))
    return open_bundle(path, backend, **options)


def rebuild_foreign(path: str | Path, reporter: Reporter) -> Rebuilt | None:
    """Rebuild where an engine of a bundle was made for elsewhere; None, with a note, where all were made for what is here.

    Raises MissingBackendError without a GPU: there is nothing that an engine could be foreign to; and as :func:`rebuild` does.
    """
    here = Here.look()
    if here is None:
        raise MissingBackendError(
            "no GPU is here to build engines for", "leave out --rebuild, or use attnexport rebuild"
        )
    bundle = StoredBundle.open(path)
    holders = [bundle, *(bundle.part(name) for name in bundle.manifest.parts)]
    try:
        for holder in holders:
            for engine in holder.manifest.engines:
                check_fit(bundle.path, engine, holder.manifest.gpu, here)
    except ForeignEngineError as error:
        reporter.note(error.problem)
        return rebuild(path, reporter=reporter)
    reporter.note(f"nothing is rebuilt: every engine was made for {here.describe()}")
    return None


@dataclass
class _Work:
    """The engines of one bundle, or of its parts, under way."""

    flavour: Flavour
    precision: str | None
    options: EngineOptions
    reporter: Reporter
    link: bool
    """Whether the old files may be the new ones: the old bundle goes."""

    def __post_init__(self) -> None:
        self.engines: list[EngineRecord] = []
        self.written: list[str] = []

    def bundle(self, bundle: StoredBundle, folder: BundleFolder) -> tuple[Manifest, dict[str, str]]:
        """Copy and rebuild one bundle into ``folder``: its new manifest, and the roles of its files."""
        parts = bundle.manifest.parts
        if not parts:
            return self._graph(bundle, folder)
        roles = {name: record.role for name, record in bundle.manifest.files.items() if record.role != "part"}
        _copy(bundle, folder.path, roles, self.link)
        began = len(self.engines)
        for name, inside in parts.items():
            (folder.path / inside).mkdir(exist_ok=True)
            own = BundleFolder(folder.path / inside, f"part {name}")
            sealed = own.seal(*self._graph(bundle.part(name), own, prefix=f"{inside}/"))
            roles |= {f"{inside}/{file}": "part" for file in (MANIFEST, *sealed.manifest.files)}
        manifest = bundle.manifest
        if manifest.decode is not None:  # the decodes that ran the old engines prove nothing of the new
            kept = tuple(r for r in manifest.decode.parity if not any("engines/" in f for f in r.files.values()))
            manifest = replace(manifest, decode=replace(manifest.decode, parity=kept))
        return self._said(manifest, self.engines[began:], 0.0), roles

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
            inputs = _inputs(folder.path / model, bundle.manifest.inputs)
            engine = build_engine(
                folder.path / model, inputs, self.flavour, self.options, _origins(bundle.manifest), self.reporter
            )
            (folder.path / file).parent.mkdir(exist_ok=True)
            (folder.path / file).write_bytes(engine.plan)
            roles[file] = "engine"
            new.append(engine_record(engine, file, precision, model, bundle.manifest.outputs))
        kept = tuple(e for e in bundle.manifest.engines if e.file not in gone | {n.file for n in new})
        parity = tuple(r for r in bundle.manifest.parity if r.file not in gone)
        self.engines += new
        self.written += [f"{prefix}{engine.file}" for engine in new]
        manifest = replace(bundle.manifest, engines=(*kept, *new), parity=parity)
        return self._said(manifest, new, time.perf_counter() - started), roles

    def _said(self, manifest: Manifest, new: Sequence[EngineRecord], seconds: float) -> Manifest:
        text = f"{', '.join(e.file for e in new)} by {self.flavour.title}"
        stale = ("was not run: no GPU is here",)
        notes = tuple(note for note in manifest.notes if not any(words in note for words in stale))
        stages = (*manifest.stages, StageRecord(Stage.REBUILD, round(seconds, 3), text))
        return replace(manifest, stages=stages, notes=(*notes, f"engines rebuilt: {text}"))

    def _models(self, bundle: StoredBundle) -> dict[str, str]:
        """The model file to build from, by precision."""
        if self.precision is None and bundle.manifest.engines:
            wanted = [engine.precision for engine in bundle.manifest.engines]
        elif self.precision is None:
            wanted = [p for p in _SMALLER if bundle.with_role(f"model-{p}")][:1]
        else:
            wanted = [self.precision]
        found = {p: files[0] for p in wanted if (files := bundle.with_role(f"model-{p}"))}
        if missing := [p for p in wanted if p not in found] or ([] if wanted else ["ONNX"]):
            has = [p for p in _SMALLER if bundle.with_role(f"model-{p}")]
            raise InputError(
                f"{bundle.path} has no {missing[0]} model to build an engine from", f"it has {', '.join(has) or 'none'}"
            )
        return found


def _page(folder: BundleFolder, manifest: Manifest, roles: Mapping[str, str]) -> None:
    """The report names engines, so it is written anew where there was one."""
    if "report" not in roles.values():
        return
    from .report.page import add_page

    parts = {name: StoredBundle.open(folder.path / inside).manifest for name, inside in manifest.parts.items()}
    add_page(folder, manifest, parts, {})


def _copy(bundle: StoredBundle, folder: Path, roles: Mapping[str, str], link: bool) -> None:
    """The files of these names; ``link``: without a copy where the file system can, but for the report, which is rewritten."""
    for name in roles:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if roles[name] == "report" or not link:
            shutil.copyfile(bundle.file(name), target)
            continue
        try:
            os.link(bundle.file(name), target)
        except OSError:
            shutil.copyfile(bundle.file(name), target)


def _inputs(model: Path, inputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """The inputs in the types that the model itself takes: FP16 ones with ``--io-precision same``."""
    try:
        import onnx
    except ImportError as error:
        raise MissingBackendError("rebuilding an engine needs onnx", "pip install onnx") from error
    graph = onnx.load(str(model), load_external_data=False).graph
    types = {value.name: onnx_dtype_name(value.type.tensor_type.elem_type) for value in graph.input}
    return [replace(spec, dtype=types.get(spec.name, spec.dtype)) for spec in inputs]


def _origins(manifest: Manifest) -> Origins:
    """Where nodes come from, as far as a bundle tells: names begin with the module's path, rewrites know source lines."""
    nodes = {node for engine in manifest.engines for layer in engine.layers for node in layer.get("nodes", ())}
    modules = {node.partition("/")[0] for node in nodes if "/" in node}
    origins = {module: Origin(module, "", "") for module in sorted(modules)}
    return origins | {r.node: Origin(r.module, "", r.source) for r in manifest.rewrites if r.module}
