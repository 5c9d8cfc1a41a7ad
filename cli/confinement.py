"""A command confines itself before it reads a model or bundle: it writes only below its output's folder, its temporary folder and
caches, and opens no TCP connection.

It does not when the user's code runs (``--factory``, ``--allow-pickle``), which may do what the user may.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..runtime.confine import confine, landlock_version
from ..runtime.processes import run
from ..runtime.user_cache import cache_folder

_OUTPUTS = ("out", "save", "json_output", "png")
_BUNDLES = ("bundle", "model")
_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "MPLCONFIGDIR", "PYTHONPYCACHEPREFIX")


def confine_command(options: Mapping[str, Any]) -> None:
    """Confine this process as the options of its command allow. Where the kernel cannot, nothing changes: ``doctor`` says so."""
    if options.get("factory") or options.get("allow_pickle") or not landlock_version():
        return
    _prepare_libraries()
    confine(folders(options))


def folders(options: Mapping[str, Any]) -> Iterator[Path]:
    """Below which a command with these options may write."""
    outputs = [value for name in _OUTPUTS if isinstance(value := options.get(name), Path)]
    bundles = [value for name in _BUNDLES if isinstance(value := options.get(name), Path) and value.is_dir()]
    for path in (*outputs, *bundles):
        yield _existing(path.absolute().parent)
    if not outputs:
        yield Path.cwd()  # the default output is NAME.attn there
    yield Path(tempfile.gettempdir())
    yield cache_folder().parent
    yield from (Path.home() / name for name in (".nv", ".triton"))
    yield from (Path(value) for name in _CACHES if (value := os.environ.get(name)))
    yield Path("/tmp/nvidia-mps")  # the pipes of CUDA's multi-process service


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: the command makes the others."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _prepare_libraries() -> None:
    """Do what libraries would do outside those folders on their first use."""
    with contextlib.suppress(OSError):
        cache_folder("matplotlib").mkdir(parents=True, exist_ok=True)
    if not (Path.home() / ".config" / "matplotlib").is_dir():
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder("matplotlib")))
    # CUDA starts a program of the superuser if this device is missing, which a confined process cannot.
    if Path("/proc/driver/nvidia").is_dir() and not Path("/dev/nvidia-uvm").exists():
        with contextlib.suppress(OSError):
            run(["nvidia-modprobe", "-u", "-c=0"])
