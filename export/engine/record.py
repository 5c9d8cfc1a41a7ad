"""A built engine as a record of the manifest."""

from collections.abc import Sequence

from ...runtime.bundle.sections import EngineRecord
from ...runtime.cuda import cuda_device
from ...runtime.open.engine_memory import keep
from ...runtime.spec import TensorSpec
from .build import Engine
from .flavour import Flavour
from .memory import engine_memory


def engine_file(precision: str, flavour: Flavour) -> str:
    """The path of the engine in a bundle: ``engines/fp16.rtx-1.7.1.engine``."""
    return f"engines/{precision}.{flavour.name}-{'.'.join(map(str, flavour.version[:3]))}.engine"


def engine_record(engine: Engine, file: str, precision: str, model: str, outputs: Sequence[TensorSpec]) -> EngineRecord:
    """Return the record of an engine; ``model``: the file that it was built from, ``outputs``: its outputs.

    ``detail`` contains the GPU of the building machine, if any, and the memory (``runtime/open/engine_memory.py``).
    """
    gpu = cuda_device()
    beside = {} if gpu is None else {"gpu": {"name": gpu[0], "compute_capability": gpu[1]}}
    return EngineRecord(
        file=file, flavour=engine.flavour, version=engine.version, precision=precision,
        compute_capability=", ".join(engine.compute_capabilities) or None, profiles=tuple(engine.profiles),
        layers=tuple(engine.layers), seconds=engine.seconds, bytes=len(engine.plan),
        detail={
            "layers_from": engine.layers_from, "workspace_bytes": engine.workspace_bytes,
            **keep(engine_memory(engine.needs, engine.profiles, engine.types, outputs)),
            "tf32": engine.tf32, "warnings": list(engine.warnings), **beside,
        },
        model=model, model_sha256=engine.model_sha256,
    )  # fmt: skip
