"""PyTorch: operator by operator, and as torch.compile makes it with inductor's defaults."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .contender import Call, Contender, Feeds, Runner, needs_original

if TYPE_CHECKING:
    from ..site import Site


def torch_call(site: "Site", function: Callable[..., Any], feeds: Feeds) -> Call:
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


class EagerRunner(Runner):
    """The unchanged module, which the site owns."""

    def __init__(self, site: "Site") -> None:
        self._site, self._module = site, site.module

    def call(self, feeds: Feeds) -> Call:
        """Bind the module to the inputs."""
        return torch_call(self._site, self._module, feeds)


class CompiledRunner(EagerRunner):
    """The module, compiled separately for each set of sizes, which is fastest."""

    def call(self, feeds: Feeds) -> Call:
        """Compile and run once. Raises inductor's errors, for example without a C++ compiler."""
        import torch

        from ...quiet import quiet

        torch.compiler.reset()
        call = torch_call(self._site, torch.compile(self._module, dynamic=False), feeds)
        with quiet():
            call.outputs()
        return call

    def close(self) -> None:
        """Free the compiled code."""
        import torch

        torch.compiler.reset()


EAGER = Contender("eager", "torch eager", needs_original, EagerRunner, runs_module=True)
COMPILED = Contender("compile", "torch.compile", needs_original, CompiledRunner, runs_module=True)
