"""What one request and one client may take of the front."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from ..deployed_model import DeployedModel

_NUMBER_BYTES = 32
"""The most bytes of a number in JSON: 17 digits, sign, exponent, and what separates it from the next."""
_LEAST_BODY = 1 << 20
_MOST_BODY = 1 << 30


@dataclass(frozen=True)
class FrontLimits:
    """``body``: bytes of a request after it is unpacked. ``receive``: seconds for a client to send one. ``connections``: of all
    clients to a port; one client gets a half of them.
    """

    body: int
    receive: int
    connections: int


def largest_body(models: Iterable[DeployedModel]) -> int:
    """The bytes of the largest request in JSON that a model takes, from 1 MiB to 1 GiB."""
    return min(max(_LEAST_BODY, *(_LEAST_BODY + _NUMBER_BYTES * _numbers(model) for model in models)), _MOST_BODY)


def _numbers(model: DeployedModel) -> int:
    """The numbers in all inputs of a model at their largest; a free axis that the bundle does not name is as long as its longest."""
    manifest = model.bundle.manifest
    largest = {spec.name: prod(spec.shape("max")) for spec in manifest.inputs}
    longest = max(axis.max for spec in (*manifest.inputs, *manifest.outputs) for axis in spec.axes)
    batch = max(1, model.config.max_batch_size)
    return sum(
        largest.get(tensor.name, batch * prod(size if size > 0 else longest for size in tensor.dims))
        for tensor in model.config.input
    )
