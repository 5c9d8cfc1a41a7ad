"""Find the Triton to start (the named one, the one on PATH or in NVIDIA's image, else the wheel's), and write its command line."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..cuda import cuda_device
from .client import HEADER, RESTRICTED
from .log import Log
from .options import Endpoints
from .private import private_environment, program_in, shared_python
from .run_folder import RunFolder

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


def triton_command(
    triton: Triton, endpoints: Endpoints, folder: RunFolder, models: Iterable[str], *, key: str, drain: int
) -> list[str]:
    """The program and its arguments.

    ``models`` are loaded at the start. ``key`` opens the restricted calls. ``drain`` is the time in
    seconds for requests in flight after SIGTERM.
    """
    restricted = f"{','.join(RESTRICTED)}:{HEADER}={key}"
    options: dict[str, object] = {
        "http-address": endpoints.address, "http-port": endpoints.http, "grpc-address": endpoints.address,
        "grpc-port": endpoints.grpc, "metrics-address": endpoints.address, "metrics-port": endpoints.metrics,
        "http-restricted-api": restricted, "grpc-restricted-protocol": restricted, "model-control-mode": "explicit",
        "strict-readiness": "true", "exit-on-error": "false", "disable-auto-complete-config": None,
        "log-format": "ISO8601", "exit-timeout-secs": drain,
        "backend-config": f"python,shm-region-prefix-name={folder.shared_memory}",
    }  # fmt: skip
    if cuda_device() is None:
        options |= {"allow-gpu-metrics": "false", "pinned-memory-pool-byte-size": 0}
    if triton.backends is not None:
        options["backend-directory"] = str(triton.backends)
    return [
        str(triton.program),
        *(f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()),
        *(f"--model-repository={path}" for path in (folder.repository, folder.candidates, folder.gates)),
        *(f"--load-model={name}" for name in models),
    ]
