"""The TensorRT libraries: load them, check the GPU, and collect their error messages."""

import importlib
from typing import Any

from ...errors import InputError, MissingBackendError

MODULES = {"enterprise": ("tensorrt", "trt"), "rtx": ("tensorrt_rtx", "rtx")}
"""By flavour: the Python module, and the extra that installs it."""


def load_library(flavour: str) -> Any:
    """The TensorRT module of a flavour. Raise InputError for an unknown one, MissingBackendError if it is not installed."""
    if flavour not in MODULES:
        raise InputError(f"TensorRT flavour {flavour!r} is not known", f"use one of {', '.join(MODULES)}")
    name, extra = MODULES[flavour]
    remedy = f"install it with: pip install 'attnexport[{extra}]'"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingBackendError(f"{name} is not installed", remedy) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingBackendError(f"{name} cannot be imported ({error})", remedy) from error


def supports(module: Any, capability: str) -> bool:
    """Whether a TensorRT supports a compute capability: RTX has a list, enterprise supports all."""
    listed = getattr(module, "ComputeCapability", None)
    return listed is None or f"SM{capability.replace('.', '')}" in listed.__members__


def portable(capability: str) -> bool:
    """Whether TensorRT-RTX plans for any GPU run on a supported compute capability: on all except Turing's.

    Source: the support matrix of TensorRT-RTX,
    https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/getting-started/support-matrix.html
    """
    return capability != "7.5"


def check_supported(module: Any, name: str, capability: str) -> None:
    """Raise MissingBackendError for a GPU that TensorRT-RTX does not support, since its own message does not help."""
    if not supports(module, capability):
        raise MissingBackendError(
            f"{module.__name__} {module.__version__} does not run on {name}, compute capability {capability}",
            "build an engine with enterprise TensorRT for this GPU",
        )


def collector(module: Any) -> Any:
    """A TensorRT logger that keeps the errors, since the library's calls only return None or False."""

    class Collector(module.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.Severity.ERROR, module.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

        def first(self) -> str:
            """The first error since the last call, usually the cause of the others."""
            text = self.errors[0] if self.errors else "TensorRT gives no reason"
            self.errors.clear()
            return text

    return Collector()
