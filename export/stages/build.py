"""Build the models of one export and write them into the bundle's folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from ...runtime.bundle.sections import EngineRecord
from ...runtime.bundle.stage import Stage
from ...runtime.bundle.writer import BundleFolder
from ...runtime.inputs.samples import Samples
from ...runtime.sessions.large_model import save_model
from ...runtime.spec import TensorSpec
from ..engine.build import build_engine
from ..engine.record import engine_file, engine_record
from ..source import CapturedModel, Source
from ..verify.chains import StageModels
from .job import Job
from .models import capture, models
from .stage_model import FP32, HALF, TYPED, LoweredModel, RecognisedModel, StageModel, TypedModel


@dataclass(frozen=True)
class BuiltModels:
    """The models of one export with the reports of the stages.

    ``rewrites`` are the stages before lowering without their models; ``lowered`` is the FP32 model, then the source of the
    typed model if that has another lowering. ``typed`` is None for an FP32 export.
    """

    captured: CapturedModel
    rewrites: tuple[StageModel, ...]
    recognised: RecognisedModel
    lowered: tuple[LoweredModel, ...]
    typed: TypedModel | None

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The specs of the outputs."""
        return self.lowered[0].outputs

    @property
    def models(self) -> StageModels:
        """The models that parity attribution compares."""
        typed = (None, None) if self.typed is None else (self.lowered[-1].lowered, self.typed.model)
        return StageModels(self.captured.captured, self.recognised.recognised, self.lowered[0].lowered, *typed)


def build(job: Job, source: Source, samples: Samples | None) -> BuiltModels:
    """Run the stages from capture to typed. Raises what they raise."""
    captured = capture(job, source)
    rewrites: list[StageModel] = []
    lowered: list[LoweredModel] = []
    recognised: RecognisedModel | None = None
    typed: TypedModel | None = None
    for step in models(job, captured, source.task, samples):
        if isinstance(step, RecognisedModel):
            recognised = step
        elif isinstance(step, LoweredModel):
            lowered.append(step)
        elif isinstance(step, TypedModel):
            typed = step
            captured = replace(captured, original=step.original)
        else:
            rewrites.append(replace(step, model=onnx.ModelProto()))
        del step
    assert recognised is not None
    return BuiltModels(captured, tuple(rewrites), recognised, tuple(lowered), typed)


def write(built: BuiltModels, folder: BundleFolder) -> None:
    """Write the FP32 model and the typed one."""
    _save(built.lowered[0].model, folder, FP32, "model-fp32")
    if built.typed is not None:
        model_type = built.typed.model_type
        _save(built.typed.model, folder, TYPED[model_type], f"model-{model_type}")


def _save(model: onnx.ModelProto, folder: BundleFolder, file: str, role: str) -> None:
    path, *data_files = save_model(model, folder.path / file)
    folder.add(path.name, role)
    for data in data_files:
        folder.add(data.name, "weights")


def build_engines(job: Job, built: BuiltModels, folder: BundleFolder) -> tuple[EngineRecord, ...]:
    """Build an engine from the typed model, or from the FP32 one; nothing without ``--trt``. Raises what TensorRT raises."""
    options, flavour = job.options, job.flavour
    if flavour is None:
        return ()
    with job.stages.run(Stage.ENGINE) as stage:
        job.note(f"{flavour.title}: {flavour.reason}")
        model = folder.path / TYPED.get(options.model_type, FP32)
        inputs: Sequence[TensorSpec] = built.captured.inputs
        if options.io_precision == "same" and options.model_type in HALF:
            inputs = [replace(spec, dtype="float16") if spec.dtype == "float32" else spec for spec in inputs]
        origins = built.captured.captured.origins
        engine = build_engine(model, inputs, flavour, options.engine, origins, job.reporter)
        file = engine_file(options.model_type, flavour)
        (folder.path / file).parent.mkdir(exist_ok=True)
        (folder.path / file).write_bytes(engine.plan)
        folder.add(file, "engine")
        record = engine_record(engine, file, options.model_type, model.name, built.outputs)
        stage.detail = f"{file}, {len(record.layers)} layers"
    return (record,)
