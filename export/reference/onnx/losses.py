"""Losses over class scores."""

import numpy as np
import torch

from .call import Array, Call, Kernel, as_array, as_torch


def _negative_log_likelihood(call: Call, logs: Array) -> Array:
    """logs (N, C, ...), labels (N, ...) -> (N, ...) or a number; places with the ignored label count as nothing."""
    labels = call.array(1).astype(np.int64)
    ignored = call.attributes.get("ignore_index")
    counted = np.ones(labels.shape, bool) if ignored is None else labels != ignored
    classes = np.where(counted, labels, 0)
    weights = call.real(2)[classes] if call.present(2) else np.ones(labels.shape)
    weights = weights * counted
    losses = -np.take_along_axis(logs, classes[:, None], 1)[:, 0] * weights
    reduction = call.text("reduction", "mean")
    if reduction == "none":
        return np.asarray(losses)
    if reduction == "sum":
        return np.asarray(losses.sum())
    return np.asarray(losses.sum() / weights.sum())


def _nll_loss(call: Call) -> list[Array]:
    return [_negative_log_likelihood(call, call.real(0))]


def _cross_entropy(call: Call) -> list[Array]:
    """The loss, and the logarithms of the softmax over the classes."""
    logs = as_array(torch.log_softmax(as_torch(call.real(0)), 1))
    return [_negative_log_likelihood(call, logs), logs]


KERNELS: dict[str, Kernel] = {"NegativeLogLikelihoodLoss": _nll_loss, "SoftmaxCrossEntropyLoss": _cross_entropy}
"""By operator of the standard domain."""
