"""The command line of Triton."""

from __future__ import annotations

from collections.abc import Iterable

from ..device import cuda_device
from .admin import HEADER, RESTRICTED
from .endpoints import Endpoints
from .program import Triton
from .run_folder import RunFolder


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
