"""Where contenders run: the subject, the device with its clock, and what several of them share."""

from __future__ import annotations

import copy
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ...errors import InputError
from ...runtime.device import cuda_device
from .measured_model import MeasuredModel
from .rounds import Clock, WallClock

if TYPE_CHECKING:
    import torch

    from ...runtime.cuda import CudaContext
    from .options import Device


def choose_device(wished: Device) -> str:
    """cpu or cuda: what is wished for, else the GPU where one is. Raises InputError for a GPU that is not there."""
    here = cuda_device()
    if wished == "cuda" and here is None:
        raise InputError(
            "--device cuda, and there is no GPU or no driver here", "attnexport doctor says what is missing"
        )
    return "cpu" if wished == "cpu" or here is None else "cuda"


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@dataclass
class Site:
    """One process that runs contenders on one device, with so many threads on the CPU each.

    ``at_hand``: the original, where it is in this process already; a copy of it is run.
    """

    model: MeasuredModel
    device: str
    threads: int
    at_hand: torch.nn.Module | None = None
    _undo: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def module(self) -> torch.nn.Module:
        """The original, loaded once, on the device. Raises InputError where there is none."""
        import torch

        original = self.model.original
        if self.at_hand is not None:
            module: torch.nn.Module | None = copy.deepcopy(self.at_hand).eval()
        else:
            module = original.load() if original is not None else None
        if module is None:
            raise InputError("there is no PyTorch module to run", self.model.missing)
        before = (torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        self._undo.callback(_set_torch, *before)
        # What an export is compared with is FP32 as such; TF32 has ten bits.
        _set_torch(self.threads, False, False)
        return module.to(self.device)

    @cached_property
    def cuda(self) -> CudaContext:
        """The GPU's context and the one stream that every contender computes on. Raises MissingBackendError without a GPU."""
        from ...runtime.cuda import CudaContext, CudaDriver

        context = CudaContext(CudaDriver())
        self._undo.callback(context.close)
        return context

    @cached_property
    def clock(self) -> Clock:
        """Events of the GPU's stream, or the wall."""
        if self.device == "cuda":
            from .events import EventClock

            return EventClock(self.cuda)
        return WallClock()

    def close(self) -> None:
        """Give the GPU's context back, and PyTorch its settings."""
        self._undo.close()


def _set_torch(threads: int, matmul_tf32: bool, cudnn_tf32: bool) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
