"""PyTorch, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .contender import Call, Contender, Feeds, Runner, needs_original

if TYPE_CHECKING:
    from ..site import Site


def torch_call(site: Site, function: Callable[..., Any], feeds: Feeds) -> Call:
    """Bind ``function``, which takes the module's arguments, to copies of the inputs; it runs without autograd."""
    import torch

    from ...forward.call import arrange
    from ...forward.outputs import flatten

    inputs = [spec.name for spec in site.model.inputs]
    tensors = [torch.tensor(feeds[name], device=site.device) for name in inputs]
    args, kwargs = arrange(site.module, inputs, tensors)
    names = [spec.name for spec in site.model.outputs]

    def on_cpu() -> Any:
        with torch.inference_mode():
            return function(*args, **kwargs)

    def on_cuda() -> Any:
        with torch.inference_mode(), torch.cuda.stream(torch.cuda.ExternalStream(site.cuda.stream)):
            return function(*args, **kwargs)

    run = on_cuda if site.device == "cuda" else on_cpu

    def outputs() -> dict[str, np.ndarray]:
        tensors = flatten(run())
        if site.device == "cuda":
            site.cuda.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in zip(names, tensors, strict=True)}

    return Call(run, outputs)


class EagerRunner:
    """The unchanged module."""

    notes: tuple[str, ...] = ()

    def __init__(self, site: Site) -> None:
        self._site = site
        self._module = site.module

    def call(self, feeds: Feeds) -> Call:
        """Bind the module to the inputs."""
        return torch_call(self._site, self._module, feeds)

    def close(self) -> None:
        """Do nothing: the site owns the module."""


def _open(site: Site) -> Runner:
    return EagerRunner(site)


CONTENDER = Contender("eager", "torch eager", needs_original, _open, runs_module=True)
