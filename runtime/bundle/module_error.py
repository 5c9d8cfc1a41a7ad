"""The error of a module's result, as recorded and printed; ``export/verify/module_errors.py`` measures it."""

from __future__ import annotations

from dataclasses import dataclass

TRUTH = "truth"


@dataclass(frozen=True)
class ModuleError:
    """One module, its source line, and the relative rms error of its result by variant (``onnx-fp32`` …)."""

    module: str
    kind: str
    source: str
    errors: dict[str, float]
