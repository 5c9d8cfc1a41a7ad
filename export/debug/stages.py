"""The models that the debugger checks: the stages of an export, or the models of a bundle."""

from collections.abc import Iterator
from pathlib import Path

import onnx

from ...errors import InputError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.stage import Stage
from ...runtime.files.read import sha256_of
from ...runtime.inputs.samples import Samples
from ..source import CapturedModel
from ..stages.job import Job
from ..stages.models import models
from ..stages.stage_model import FP32, TYPED, LoweredModel, RecognisedModel, StageModel
from ..verify.trail import Trail


def export_stages(
    job: Job, captured: CapturedModel, task: str | None, samples: Samples | None, trail: Trail
) -> Iterator[StageModel]:
    """Yield the model of each stage of the export, and add its rewrites to ``trail``. Raises what the stages raise."""
    steps = models(job, captured, task, samples)
    del captured  # each model is freed before the next one is built
    for step in steps:
        if isinstance(step, RecognisedModel):
            trail.recognised(step.recognised)
        elif isinstance(step, LoweredModel):
            trail.lowered(step.lowered.applied)
        yield step
        del step


def bundle_stages(job: Job, path: Path) -> Iterator[StageModel]:
    """Yield the models of a bundle: the lowered model, and the typed one.

    Raises BundleError if ``path`` is not a bundle, InputError if it has parts.
    """
    bundle = StoredBundle.open(path)
    if bundle.manifest.parts:
        raise InputError(f"{path} has parts ({', '.join(bundle.manifest.parts)})", "debug the model itself")
    for model_type, file in {"fp32": FP32, **TYPED}.items():
        if file in bundle.manifest.files:
            if sha256_of(bundle.located(file)) != bundle.manifest.files[file].sha256:
                job.note(f"{file} is not the file that the bundle was written with")
            stage = Stage.LOWER if model_type == "fp32" else Stage.TYPED
            yield StageModel(stage, _load(bundle.located(file)), model_type)


def stage_names(model_type: str) -> tuple[str, ...]:
    """The values of ``--stage`` for an export to this type."""
    stages = [stage.value for stage in (Stage.CAPTURE, Stage.SIMPLIFY, Stage.RAISE, Stage.RECOGNISE, Stage.LOWER)]
    return (*stages, *((model_type,) if model_type != "fp32" else ()))


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's exceptions have no public base
        raise InputError(f"{path} is not readable as ONNX: {error}") from error
