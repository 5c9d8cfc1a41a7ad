"""The GPU of this machine, without torch."""

from __future__ import annotations

from ..errors import AttnexportError
from .cuda import CudaDriver


def cuda_device() -> tuple[str, str] | None:
    """Name and compute capability (``8.9``) of the first GPU; None without a GPU or driver."""
    try:
        driver = CudaDriver()
        return driver.name(), driver.compute_capability()
    except AttnexportError:
        return None
