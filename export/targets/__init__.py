"""What a model is lowered for: the targets by name and family, and what each is known to do with an operator."""

from .matrix import Matrix, Row, Status, Verdict, refusal, verdict
from .target import (
    DEFAULT_CPU,
    DEFAULT_GPU,
    EngineLibrary,
    Family,
    Target,
    engine_target,
    resolve,
    target_names,
    target_of,
    timeable_targets,
)

__all__ = [
    "DEFAULT_CPU", "DEFAULT_GPU", "EngineLibrary", "Family", "Matrix", "Row", "Status", "Target", "Verdict", "engine_target",
    "refusal", "resolve", "target_names", "target_of", "timeable_targets", "verdict",
]  # fmt: skip
