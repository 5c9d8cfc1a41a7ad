"""How far a module's result is from the original's, as it is kept and shown; measuring it is :mod:`.module_errors`, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass

TRUTH = "truth"


@dataclass(frozen=True)
class ModuleError:
    """One module, where it is written, and the relative rms error of its result by form (``onnx-fp32``, ``emulated-fp16`` ...)."""

    module: str
    kind: str
    source: str
    errors: dict[str, float]
