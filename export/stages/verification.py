"""The verify stage of one export: the written models and engines compared with the original."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ...runtime.bundle.golden import write_golden
from ...runtime.bundle.sections import EngineRecord, ModuleError, Selection
from ...runtime.bundle.stage import Stage
from ...runtime.bundle.writer import BundleFolder
from ...runtime.cuda import cuda_device
from ...runtime.inputs.samples import Samples
from ...runtime.sessions.open import open_session
from ..verify.cases import ParityCase, build_cases, draws, inspection_case
from ..verify.module_errors import compare_modules
from ..verify.sampled import image_input, keep_sampled
from ..verify.selections import find_selections
from ..verify.shown import GoldenOutputs, run_golden
from ..verify.variant import Variant
from ..verify.variant_errors import Criteria
from ..verify.verify import ParityResult, verify
from .build import BuiltModels
from .job import Job
from .stage_model import FP32, PRECISION, TYPED
from .typed import fitting

GOLDEN = "golden.npz"
FURTHER_SEED = 1_000_003
"""Between the seeds of further rounds of random inputs: no draw is repeated."""


@dataclass(frozen=True)
class VerifiedModels:
    """The verdict on each output, the error of each module, and the results of one golden case for the report."""

    verification: ParityResult
    modules: tuple[ModuleError, ...]
    ran: GoldenOutputs | None
    selections: tuple[Selection, ...] = ()


def verify_models(
    job: Job, built: BuiltModels, engines: Sequence[EngineRecord], task: str | None, samples: Samples | None,
    folder: BundleFolder,
) -> VerifiedModels:  # fmt: skip
    """Run each model and engine in ``folder`` on random inputs and on the samples, and write the golden cases.

    Failed gates are in the result, not raised. Raises StageError if the original or a model cannot be run.
    """
    options, original, inputs = job.options, built.captured.original, built.captured.inputs
    with job.stages.run(Stage.VERIFY) as stage, ExitStack() as stack:
        variants = []
        for variant in _variants(job, built, engines, folder.path):
            stack.callback(variant.session.close)
            variants.append(variant)
        repeats = draws(built.outputs)
        cases = build_cases(inputs, fitting(samples, inputs), options.seed, repeats)
        maps = frozenset(entry.output for entry in built.captured.attention)
        stages = built.models

        def further(number: int) -> list[ParityCase]:
            seed = options.seed + FURTHER_SEED * (number + 1)
            drawn = build_cases(inputs, None, seed, max(2, repeats))
            return [replace(case, name=f"{case.name}-more{number}", golden=False) for case in drawn]

        selections = find_selections(stages.captured.model, inputs, built.outputs)
        criteria = Criteria(tuple(built.outputs), task, options.gate, maps, selections, options.allow_unstable)
        try:
            verification = verify(original, variants, cases, criteria, job.reporter, stages, further)
        finally:  # they explain why outputs cannot be compared, too
            for text in original.notes:
                job.note(text)
        worst = max((record.gate.ratio for record in verification.records), default=0.0)
        stage.detail = f"{len(cases)} cases, worst ratio {worst:.2f}"
        ran = run_golden(verification.golden, ((variant.stage, variant.session) for variant in variants))
        stack.close()  # each session holds the weights once or twice, and the next step opens more models
        feeds = inspection_case(cases).feeds
        inside = compare_modules(stages, original, feeds, f"emulated-{options.model_type}")
        keep_sampled(folder, image_input(feeds), inside.sampled)
    write_golden(folder.path / GOLDEN, verification.golden)
    folder.add(GOLDEN, "golden")
    return VerifiedModels(verification, tuple(inside.errors), ran, selections)


def _variants(job: Job, built: BuiltModels, engines: Sequence[EngineRecord], folder: Path) -> Iterator[Variant]:
    """Open each model and engine that this machine can run."""
    model_type = job.options.model_type
    dtypes = {spec.name: spec.dtype for spec in built.outputs}

    def variant(stage: str, file: str, kind: str, backend: str, step: Stage | None) -> Variant:
        return Variant(stage, file, PRECISION[kind], open_session(folder / file, backend, dtypes, spin=False), step)

    yield variant("onnx-fp32", FP32, "fp32", "onnxruntime", Stage.LOWER)
    if model_type == "fp16":  # ONNX Runtime's CPU provider has no BF16 operators
        yield variant("onnx-fp16", TYPED[model_type], model_type, "onnxruntime", None)
    if model_type in TYPED:
        yield variant(f"emulated-{model_type}", TYPED[model_type], model_type, "emulated", Stage.TYPED)
    for engine in engines:
        if cuda_device() is None:
            job.note(f"{engine.file} was not run: no GPU found; attnexport check runs it on a machine with a GPU")
            continue
        yield variant(f"engine-{engine.precision}", engine.file, engine.precision, engine.flavour, Stage.ENGINE)
