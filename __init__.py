"""attnexport: trained attention models in PyTorch to ONNX and TensorRT FP16, rewritten, verified and bundled.

Names are imported on first use, so that ``import attnexport`` works without torch, ONNX or TensorRT.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .export.api.bundle import Bundle as Bundle
    from .export.api.bundle import open_session as open
    from .export.api.export import export as export
    from .export.source.checkpoint import save as save
    from .runtime.spec import TensorSpec as TensorSpec

# The package export is itself callable, so that it can be both: see its __init__.
_LAZY = {
    "Bundle": (".export.api.bundle", "Bundle"),
    "TensorSpec": (".runtime.spec", "TensorSpec"),
    "export": (".export", ""),
    "open": (".export.api.bundle", "open_session"),
    "save": (".export.source.checkpoint", "save"),
}

__all__ = ["Bundle", "TensorSpec", "__version__", "export", "open", "save"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, attribute = _LAZY[name]
        found = import_module(module, __name__)
        return getattr(found, attribute) if attribute else found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
