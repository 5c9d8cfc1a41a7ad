"""The process that runs contenders: the measured model, the device, and the objects that contenders share."""

import copy
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ...errors import InputError
from ...runtime.cuda import cuda_device
from .measured_model import MeasuredModel
from .rounds import Clock, WallClock

if TYPE_CHECKING:
    import torch

    from ...runtime.cuda import CudaContext
    from ..option_table import Device


def choose_device(device: "Device") -> str:
    """Return cpu or cuda; auto is the GPU if there is one. Raises InputError for cuda without a GPU."""
    gpu = cuda_device()
    if device == "cuda" and gpu is None:
        raise InputError("--device cuda, but no GPU or driver found", "run attnexport doctor to see what is missing")
    return "cpu" if device == "cpu" or gpu is None else "cuda"


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@dataclass
class Site:
    """One process that runs contenders on one device. ``threads``: CPU threads of each contender.

    ``loaded``: the original, if this process has it already; a copy of it runs.
    """

    model: MeasuredModel
    device: str
    threads: int
    loaded: "torch.nn.Module | None" = None
    _undo: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def module(self) -> "torch.nn.Module":
        """The original on the device, loaded once. Raises InputError if there is none."""
        import torch

        original = self.model.original
        if self.loaded is not None:
            module: torch.nn.Module | None = copy.deepcopy(self.loaded).eval()
        else:
            module = original.load() if original is not None else None
        if module is None:
            raise InputError("the original PyTorch module is missing", self.model.missing)
        before = (torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        self._undo.callback(_set_torch, *before)
        # An export is compared with true FP32; TF32 has ten bits.
        _set_torch(self.threads, False, False)
        return module.to(self.device)

    @cached_property
    def cuda(self) -> "CudaContext":
        """The GPU's context with the stream that every contender uses. Raises MissingBackendError without a GPU."""
        from ...runtime.cuda import CudaContext, CudaDriver

        context = CudaContext(CudaDriver())
        self._undo.callback(context.close)
        return context

    @cached_property
    def clock(self) -> Clock:
        """CUDA events on a GPU, else the wall clock."""
        if self.device == "cuda":
            from .rounds import EventClock

            return EventClock(self.cuda)
        return WallClock()

    def close(self) -> None:
        """Close the GPU's context and restore PyTorch's settings."""
        self._undo.close()


def _set_torch(threads: int, matmul_tf32: bool, cudnn_tf32: bool) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
