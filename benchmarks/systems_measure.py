"""One named network through the whole pipeline: exported, both engines built, verified, and timed beside the plain export."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from attnexport.benchmarks.plain_export import measure as interleaved
from attnexport.export.capture.tracing.trace import trace_sizes
from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import ExportResult, run
from attnexport.export.progress import Silent
from attnexport.export.quiet import quiet
from attnexport.export.source import CapturedModel, ModuleSource, SourceOptions, checkpoint, load
from attnexport.export.stages.stage_model import FP32, HALF
from attnexport.models import registry
from attnexport.runtime.bundle.figures import ParityRecord
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import TensorSpec

ROUNDS = 9
SEED = 0


@dataclass(frozen=True)
class Exported:
    """A bundle with its FP16 engine, and how the FP32 engine came out: seconds and bytes."""

    result: ExportResult
    fp32_seconds: float
    fp32_bytes: int

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.result.manifest


def source(name: str, folder: Path, *, reduced: bool) -> dict[str, Any]:
    """The options that say what is exported: whole as ``--arch NAME --random-weights``, reduced as a checkpoint of the same seed."""
    if not reduced:
        return {"model": None, "source": SourceOptions(arch=name, random_weights=True)}
    entry = registry.entry(name)
    torch.manual_seed(SEED)
    module = registry.build(name, **entry.reduced_options)
    inputs = entry.reduced_inputs or entry.inputs
    path = checkpoint.save(module, folder / f"{name}.pt", inputs=inputs, outputs=entry.outputs, task=entry.task)
    return {"model": path}


@dataclass(frozen=True, kw_only=True)
class CapturedOnce(ModuleSource):
    """A module that is captured by the first export of it, and not again by the next."""

    captures: list[CapturedModel] = field(default_factory=list)

    @classmethod
    def of(cls, model: Path | None, source: SourceOptions | None = None) -> CapturedOnce:
        """Load a network as ``attnexport`` does."""
        loaded = load(model, source or SourceOptions())
        assert isinstance(loaded, ModuleSource)
        return cls(**vars(loaded))

    def capture(self, outputs: Sequence[str], seed: int, *, attention: bool = False) -> CapturedModel:
        """See :meth:`ModuleSource.capture`; only for exports with the same options."""
        if not self.captures:
            self.captures.append(super().capture(outputs, seed, attention=attention))
        return self.captures[0]


def export(name: str, folder: Path, *, reduced: bool) -> Exported:
    """What ``--trt`` makes, and the FP32 engine.

    Where the FP32 model has the forms that TensorRT wants, which it has unless the FP16 model was lowered in another way, the
    engine is built from the bundle's file; else by a second run with ``--precision fp32``. Raises what the pipeline raises.
    """
    given = source(name, folder, reduced=reduced)
    loaded = CapturedOnce.of(**given)
    options = ExportOptions(out=folder / f"{name}.attn", force=True, trt="rtx", whole=True, **given)
    made = run(options, source=loaded)
    if any(rewrite.model == HALF["fp16"] for rewrite in made.manifest.rewrites):
        fp32 = replace(options, out=folder / f"{name}.fp32.attn", precision="fp32")
        (engine,) = run(fp32, source=loaded).manifest.engines
        return Exported(made, engine.seconds, engine.bytes)
    built = build_engine(made.bundle / FP32, made.manifest.inputs, find_flavour("rtx"), EngineOptions(), {}, Silent())
    return Exported(made, built.seconds, len(built.plan))


def relative_time(name: str, exported: Exported) -> float:
    """Median time of a whole network, plain ``torch.onnx``'s over ours: FP32, ONNX Runtime's CPU, interleaved rounds."""
    entry = registry.entry(name)
    torch.manual_seed(SEED)
    module = registry.build(name).eval()
    inputs = exported.manifest.inputs
    example = [torch.from_numpy(array) for array in random_feeds(inputs, trace_sizes(inputs)).values()]
    assert exported.result.bundle is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.onnx"
        with quiet():
            torch.onnx.export(
                module, tuple(example), path, dynamo=True, verbose=False, dynamic_shapes=tuple(map(_free, inputs)),
                input_names=[spec.name for spec in inputs], output_names=list(entry.outputs),
            )  # fmt: skip
        plain, ours = OrtSession(path, threads=1), OrtSession(exported.result.bundle / FP32, threads=1)
        slow, fast = interleaved(plain, ours, random_feeds(inputs), ROUNDS)
    return slow / fast


def _free(spec: TensorSpec) -> dict[int, Any]:
    return {i: torch.export.Dim.DYNAMIC for i, axis in enumerate(spec.axes) if axis.dynamic}


def row(name: str, exported: Exported, times: float | str) -> dict[str, Any]:
    """What the table needs of one whole network; ``times`` is a ratio, or why there is none."""
    manifest = exported.manifest
    parity = {record.stage: record for record in manifest.parity}
    (half,) = manifest.engines
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in registry.build(name).parameters()),
        "rewritten": dict(Counter(r.found or r.op for r in manifest.rewrites if r.model == FP32)),
        "fp32_ratio": _worst(manifest, "fp32"),
        "fp16_ratio": _worst(manifest, "fp16"),
        "top1": _agreement(parity.get("onnx-fp16")),
        "fp32_engine_s": exported.fp32_seconds,
        "fp16_engine_s": half.seconds,
        "times_faster": times,
    }


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Export, build, verify and time one whole network."""
    exported = export(name, folder, reduced=False)
    return row(name, exported, times_faster(name, exported))


def times_faster(name: str, exported: Exported) -> float | str:
    """:func:`relative_time`; where the plain export itself fails, what it says."""
    try:
        return relative_time(name, exported)
    except Exception as error:  # whatever torch.onnx raises is a finding of its own
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"


def _worst(manifest: Manifest, precision: str) -> float:
    return max(float(r.gate.ratio) for r in manifest.parity if r.stage.endswith(precision))


def _agreement(record: ParityRecord | None) -> float | None:
    return None if record is None or "top1" not in record.detail else float(record.detail["top1"]["agreement"])
