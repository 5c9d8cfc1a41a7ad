"""attnexport: trained attention models in PyTorch to ONNX and TensorRT FP16, rewritten, verified and bundled.

Nothing heavy is imported here: names load on first use, so that ``import attnexport`` works without torch, ONNX or TensorRT.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .export.checkpoint import save as save

_LAZY = {
    "save": ".export.checkpoint",
}

__all__ = ["__version__", "save"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
