"""Find the Triton to start: the named one, the one on PATH or in NVIDIA's image, else the wheel's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .log import Log
from .private import private_environment, program_in, shared_python

IMAGE = Path("/opt/tritonserver/bin/tritonserver")
"""The path in NVIDIA's images."""


@dataclass(frozen=True)
class Triton:
    """A server to start: its path, the folder of its backends (None: its default), and the Python and libraries of its models."""

    program: Path
    backends: Path | None
    python: Path
    libraries: str | None = None

    def environment(self, packages: Path) -> dict[str, str]:
        """The environment variables of the process; ``packages`` comes first on the PYTHONPATH of the models."""
        left_out = ("PYTHONHOME", "VIRTUAL_ENV", "PYTHONPATH")
        variables: Mapping[str, str] = {name: value for name, value in os.environ.items() if name not in left_out}
        before = variables.get("LD_LIBRARY_PATH")
        libraries = ":".join(filter(None, (self.libraries, before)))
        return {
            **variables,
            "PATH": f"{self.python}:{variables.get('PATH', os.defpath)}",
            "PYTHONPATH": str(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"LD_LIBRARY_PATH": libraries} if libraries else {}),
        }


def find_triton(named: Path | None, log: Log) -> Triton:
    """Return the server to start.

    Raise InputError for a named path that is not a program, MissingBackendError if the wheel's
    Triton is needed and not available.
    """
    if named is not None:
        if not os.access(named, os.X_OK) or named.is_dir():
            raise InputError(f"--triton {named} is not a program", "give the path of a tritonserver")
        return _installed(named.absolute())
    on_path = shutil.which("tritonserver")
    if on_path is not None or os.access(IMAGE, os.X_OK):
        return _installed(Path(on_path or IMAGE))
    folder = private_environment(log)
    program, backends = program_in(folder)
    library = shared_python()
    return Triton(program, backends, folder / "bin", str(library.parent) if library.is_absolute() else None)


def _installed(program: Path) -> Triton:
    """A Triton of the machine. Its models use this Python, so they find the installed packages."""
    backends = program.resolve().parent.parent / "backends"
    return Triton(program, backends if backends.is_dir() else None, Path(sys.executable).parent)
