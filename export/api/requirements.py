"""Check that the packages for exporting are installed, before anything is imported, so that the error is one line."""

import importlib.util

from ...errors import MissingBackendError

MODULES = ("torch", "onnx", "onnxscript", "onnx_graphsurgeon", "safetensors")


def require_export() -> None:
    """Raise MissingBackendError naming the missing packages and the extra that installs them. Imports nothing."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingBackendError(
            f"exporting needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'attnexport[export]'",
        )
