"""PyTorch sources: a module of random steps in one to three branches; PyTorch in FP64, and NumPy where a step has a simple form."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attnexport.export.source.torch_source import source_of

from . import torch_moves, torch_steps
from .sketch import LARGEST, MOST, Arrays
from .torch_steps import Draw, Step
from .trial import FAR, Oracle, Subject

SHAPES = ((2, 4, 6, 6), (1, 3, 5, 7), (2, 5, 4), (3, 8, 6), (2, 6), (1, 4, 4, 4))
KINDS = (
    *(2 * [torch_steps.unary, torch_moves.movement, torch_moves.choose, torch_steps.sample, torch_steps.resize]),
    *(torch_steps.softmax, torch_steps.linear, torch_steps.conv, torch_steps.conv_transpose, torch_steps.norm),
    *(torch_steps.normalize, torch_steps.pool, torch_steps.windows, torch_steps.local_attention, torch_steps.attention),
    *(torch_moves.reduce, torch_moves.loop, torch_moves.recurrent, torch_moves.in_place, torch_moves.product),
)
BRANCHES, LEAST, MOST_STEPS = 3, 1, 4
ENGINE_EVERY = 250


class Branches(nn.Module):
    """Each branch is a chain of steps from the input to an output of its own."""

    def __init__(self, branches: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*steps) for steps in branches)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [branch(x) for branch in self.branches]


def subject(seed: int) -> Subject:
    """The subject of a seed."""
    rng = np.random.default_rng([13, seed])
    torch.manual_seed(seed)
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    free = bool(rng.random() < 0.5)
    x = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
    module = Branches([_branch(rng, x, free) for _ in range(int(rng.integers(1, BRANCHES + 1)))]).eval()
    options: dict[str, Any] = {
        "precision": str(rng.choice(["fp32", "fp16", "bf16"], p=[0.92, 0.06, 0.02])),
        "static": not free,
    }
    if seed % ENGINE_EVERY == ENGINE_EVERY - 1:
        options |= {"trt": "rtx", "precision": "fp32", "optimization_level": 0}
    if free:
        options["dynamic"] = {"x": {0: (1, 2, 5)}}
    return subject_of(seed, module, x, options)


def subject_of(seed: int, module: Branches, x: Tensor, options: dict[str, Any]) -> Subject:
    """A module that takes ``x``."""
    wide, narrow = _Torch(module, torch.float64), _Torch(module, torch.float32)
    oracles = (
        Oracle("PyTorch FP64", wide, 1e-9),
        Oracle("NumPy", _Numpy(wide.module), 1e-6),
        Oracle("PyTorch", narrow, FAR),
    )
    names = tuple(step.name for branch in module.branches for step in branch)
    return Subject("torch", seed, module, {"x": x}, options, oracles, names, lambda o: source_of(module, o, None))


def _branch(rng: np.random.Generator, x: Tensor, free: bool) -> list[Step]:
    """Steps that fit each other: each is tried on the input when it is drawn."""
    steps: list[Step] = []
    wanted = int(rng.integers(LEAST, MOST_STEPS + 1))
    for _ in range(40):
        kind = KINDS[int(rng.integers(len(KINDS)))]
        try:
            step = kind(Draw(rng, tuple(x.shape), free)).eval()
            with torch.no_grad():
                y = step(x)
        except (ValueError, RuntimeError, IndexError, AssertionError):
            continue
        sane = bool(torch.isfinite(y.float()).all()) and float(y.float().abs().max()) <= LARGEST if y.numel() else False
        if not sane or y.numel() > MOST:
            continue
        steps, x = [*steps, step], y
        if len(steps) == wanted or not x.is_floating_point() or x.dim() < 2:
            break
    return steps


class _Torch:
    """Eager PyTorch at one precision, on a copy."""

    def __init__(self, module: Branches, dtype: torch.dtype) -> None:
        self.module, self._dtype = copy.deepcopy(module).to(dtype), dtype

    def __call__(self, feeds: Arrays) -> list[np.ndarray]:
        x = torch.as_tensor(feeds["x"]).to(self._dtype)
        with torch.no_grad():
            return [y.numpy() for y in self.module(x)]


class _Numpy:
    """NumPy for each step that has a simple form, PyTorch in FP64 for the others."""

    def __init__(self, module: Branches) -> None:
        self._module = module

    def __call__(self, feeds: Arrays) -> list[np.ndarray]:
        with torch.no_grad(), np.errstate(all="ignore"):
            return [self._chain(branch, np.asarray(feeds["x"], np.float64)) for branch in self._module.branches]

    def _chain(self, branch: Any, x: np.ndarray) -> np.ndarray:
        for step in branch:
            x = np.asarray((step.numpy or _torch(step))(x))
        return x


def _torch(step: Step) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: step(torch.from_numpy(np.ascontiguousarray(x))).numpy()
