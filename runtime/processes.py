"""Every process that attnexport starts, beside Triton: no code from the current folder, no variables that load code.

A child Python gets the search path of this process, without the current folder: the package is found as it was here, also from
a source checkout, and a ``numpy.py`` beside the model is not.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# What makes a loader, an interpreter or a shell read code. PATH and LD_LIBRARY_PATH stay, without relative folders.
_LOADERS = frozenset({
    "LD_PRELOAD", "LD_AUDIT", "LD_PROFILE", "DYLD_INSERT_LIBRARIES", "DYLD_FORCE_FLAT_NAMESPACE", "GCONV_PATH", "LOCPATH",
    "BASH_ENV", "ENV", "PERL5OPT", "PERL5LIB", "RUBYOPT", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "GLIBC_TUNABLES", "IFS",
})  # fmt: skip
_PYTHON_KEPT = frozenset(
    {"PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
)
_SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_BEGIN = "import sys; sys.path[:] = sys.argv.pop(1).split({separator!r}); "


def child_environment(**more: str) -> dict[str, str]:
    """The variables of this process that a child gets, and ``more``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LOADERS and (not name.startswith("PYTHON") or name in _PYTHON_KEPT)
    }
    for name in _SEARCHED:
        if name in kept:
            kept[name] = os.pathsep.join(
                folder for folder in kept[name].split(os.pathsep) if Path(folder).is_absolute()
            )
    return kept | more


def search_path() -> list[str]:
    """The folders in which a child Python looks for modules: absolute, and the current one only as the home of this package."""
    here, home = Path.cwd().resolve(), str(Path(__file__).resolve().parents[2])
    found = [str(Path(folder).absolute()) for folder in sys.path if folder and Path(folder).resolve() != here]
    return found if any((Path(folder) / __package__.split(".")[0]).is_dir() for folder in found) else [*found, home]


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs a line of Python, with ``arguments`` in ``sys.argv[1:]``."""
    safe = ["-P"] if sys.version_info >= (3, 11) else []
    begin = _BEGIN.format(separator=os.pathsep)
    return [sys.executable, *safe, "-c", begin + code, os.pathsep.join(search_path()), *arguments]


def run(command: Sequence[str], folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, in ``folder`` or at the root of the file system, and return its output and exit code.

    Raises OSError if it cannot be started.
    """
    return subprocess.run(command, capture_output=True, text=True, check=False, **_safe(folder))


def start(command: Sequence[str], folder: Path | None = None) -> "subprocess.Popen[str]":
    """Start a program; its standard output is a pipe. Raises OSError if it cannot be started."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **_safe(folder))


def _safe(folder: Path | None) -> dict[str, Any]:
    where = Path(Path.cwd().anchor) if folder is None else folder
    return {"env": child_environment(), "cwd": where, "stdin": subprocess.DEVNULL}
