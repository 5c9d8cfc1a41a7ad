"""Scale random weights so that signals keep their size: for untrained networks whose outputs would vanish.

    W <- W / s,  b <- b / s        s = the standard deviation of W x + b over one random input, layer by layer in order

An untrained network can end in outputs of 1e-8 to 1e-50 (deep, without normalisation, or with gates near zero), and FP16
holds nothing below 6e-8. Then nothing can be verified. After the scaling each linear and convolutional layer has outputs
of unit variance. Source: Mishkin and Matas 2016, "All you need is a good init" (LSUV); one pass, no orthogonal start.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...runtime.inputs.feeds import random_feeds
from ...runtime.spec import TensorSpec
from ..forward.call import call
from ..forward.outputs import flatten

SMALL = 6.1e-5
"""Outputs below it are subnormal in FP16."""
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def keep_signals(module: nn.Module, inputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Scale the weights of ``module`` in place if one of its float outputs is below ``SMALL``; return notes.

    ``inputs`` describe one random input. A module that cannot be run is left alone: capturing it reports the error.
    """
    feeds = {name: torch.from_numpy(array) for name, array in random_feeds(inputs).items()}
    names = [spec.name for spec in inputs]
    try:
        with torch.no_grad():
            before = _smallest(call(module, names, list(feeds.values())))
            if not before < SMALL:
                return ()
            layers = _scale(module, names, list(feeds.values()))
            after = _smallest(call(module, names, list(feeds.values())))
    except Exception:
        return ()
    return (
        f"the random weights of {layers} layers were scaled to outputs of unit variance: an output had an rms of "
        f"{before:.1e}, and FP16 holds nothing below 6e-08; now the smallest is {after:.1e}",
    )


def _smallest(result: Any) -> float:
    """The smallest rms of the float outputs that are not constant zero by design; infinite without one."""
    sizes = [
        float(tensor.double().square().mean().sqrt())
        for tensor in flatten(result)
        if tensor.is_floating_point() and tensor.numel()
    ]
    return min(sizes, default=float("inf"))


def _scale(module: nn.Module, names: Sequence[str], values: Sequence[torch.Tensor]) -> int:
    """Run ``module`` once; each layer is scaled at its first call, and the layers after it see the new output."""
    scaled: set[int] = set()

    def rescale(layer: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor | None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        if id(weight) in scaled:
            return None
        deviation = float(output.double().std(correction=0))
        if not 0.0 < deviation < float("inf"):
            return None
        scaled.add(id(weight))
        weight.div_(deviation)
        if isinstance(layer.bias, torch.Tensor):
            layer.bias.div_(deviation)
        return output / deviation

    handles = [m.register_forward_hook(rescale) for m in module.modules() if isinstance(m, _LAYERS)]
    try:
        call(module, names, values)
    finally:
        for handle in handles:
            handle.remove()
    return len(scaled)
