"""The TensorRT that builds the engine: ``tensorrt`` (10.x, 11.x: "enterprise") or ``tensorrt_rtx`` ("rtx").

Their Python interfaces are the same; the few differences are properties of :class:`Flavour`. RTX builds without a GPU;
enterprise needs one, because it measures its kernels.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal, cast

from ...errors import AttnexportError, EngineError, InputError, MissingBackendError
from ...runtime.cuda import cuda_device

Name = Literal["rtx", "enterprise"]
Wish = Literal["auto", "rtx", "enterprise"]
MODULES: dict[Name, str] = {"rtx": "tensorrt_rtx", "enterprise": "tensorrt"}
TITLES: dict[Name, str] = {"rtx": "TensorRT-RTX", "enterprise": "TensorRT"}
EXTRAS: dict[Name, str] = {"rtx": "rtx", "enterprise": "trt"}
_OLDEST: dict[Name, tuple[int, ...]] = {"rtx": (1, 0), "enterprise": (10, 1)}  # 10.1: device memory per profile


@dataclass(frozen=True)
class Flavour:
    """An installed TensorRT. ``module`` is the Python module; ``reason`` explains the choice."""

    name: Name
    version: tuple[int, ...]
    version_string: str
    module: Any = field(default=None, repr=False, compare=False)
    reason: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """``TensorRT-RTX 1.7.1.116``."""
        return f"{TITLES[self.name]} {self.version_string}"

    @property
    def asks_for_strong_typing(self) -> bool:
        """Whether strong typing is a creation flag (TensorRT 10); TensorRT 11 and RTX have no other mode."""
        return self.name == "enterprise" and self.version < (11,)

    @property
    def has_timing_cache(self) -> bool:
        """RTX measures no kernels at build time: its timing cache calls have no effect since 1.2."""
        return self.name == "enterprise"

    @property
    def has_compute_capabilities(self) -> bool:
        """Only RTX builds for other GPUs; enterprise builds for the GPU that it runs on."""
        return self.name == "rtx"


def parse_version(text: str) -> tuple[int, ...]:
    """``"10.13.3.9"`` to ``(10, 13, 3, 9)``; stops at the first part that is not a number."""
    return tuple(map(int, takewhile(str.isdigit, text.split("."))))


def choose(wish: Wish, installed: Mapping[Name, bool], gpu: bool) -> tuple[Name, str]:
    """Return the flavour for a request and the reason, from the installed flavours and the presence of a GPU.

    Raises MissingBackendError if it is not installed, EngineError if enterprise has no GPU to build on.
    """
    if wish not in ("auto", "rtx", "enterprise"):
        raise InputError(f"TensorRT flavour {wish!r} is not known", "use auto, rtx or enterprise")
    if wish != "auto":
        if not installed[wish]:
            raise MissingBackendError(
                f"{TITLES[wish]} (Python module {MODULES[wish]}) is not installed",
                f"install it with: pip install 'attnexport[{EXTRAS[wish]}]'",
            )
        if wish == "enterprise" and not gpu:
            raise _no_gpu()
        return wish, "requested"
    if installed["enterprise"] and gpu:
        return "enterprise", "tensorrt is installed, and there is a GPU"
    if installed["rtx"]:
        has = installed["enterprise"]
        without = "tensorrt needs a GPU to build, and there is none" if has else "tensorrt is not installed"
        return "rtx", f"tensorrt_rtx is installed; {without}"
    if installed["enterprise"]:
        raise _no_gpu()
    raise MissingBackendError(
        "no TensorRT is installed (neither tensorrt nor tensorrt_rtx)",
        "install one with: pip install 'attnexport[rtx]' (builds without a GPU) or pip install 'attnexport[trt]'",
    )


def find_flavour(wish: Wish = "auto") -> Flavour:
    """Import the requested TensorRT; ``auto`` is enterprise if it can build, otherwise RTX.

    Raises MissingBackendError if it is not installed (with the extra to install), InputError if it does not load or is
    too old, EngineError for enterprise without a GPU.
    """
    installed = {name: importlib.util.find_spec(module) is not None for name, module in MODULES.items()}
    name, reason = choose(wish, installed, gpu_present())
    try:
        return _load(name, reason)
    except AttnexportError as error:
        other: Name = "rtx" if name == "enterprise" else "enterprise"
        if wish != "auto" or other != "rtx" or not installed[other]:
            raise
        return _load(other, f"tensorrt_rtx is installed; {error.problem}")


def gpu_present() -> bool:
    """Whether the CUDA driver finds at least one device; no CUDA toolkit is needed."""
    return cuda_device() is not None


def _load(name: Name, reason: str) -> Flavour:
    try:
        module = cast(Any, importlib.import_module(MODULES[name]))
        text = str(module.__version__)
    except (ImportError, OSError, AttributeError) as error:
        raise InputError(
            f"{MODULES[name]} is installed but does not load: {error}",
            f"install it again with: pip install --force-reinstall 'attnexport[{EXTRAS[name]}]'",
        ) from error
    version = parse_version(text)
    if version < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise InputError(f"{MODULES[name]} {text} is too old", f"install {oldest} or newer: it needs strong typing")
    return Flavour(name, version, text, module, reason)


def _no_gpu() -> EngineError:
    return EngineError(
        "TensorRT (enterprise) needs a GPU to build, and the CUDA driver finds none",
        "build on the target machine, or build without a GPU: pip install 'attnexport[rtx]' and --trt=rtx",
    )
