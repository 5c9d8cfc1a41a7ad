"""Find the state dict in the file of a training script, and load it into its module."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from ...errors import InputError
from .settle import check_tensor, converted
from .words import first_few, near_miss, sizes

# Where training scripts put the weights, the first that holds tensors wins.
NESTS = (
    "state_dict", "model_state_dict", "model", "net", "module", "network",
    "ema_state_dict", "model_ema", "ema", "params_ema", "params",
)  # fmt: skip
# Prefixes that wrappers add to each name: data parallel, Lightning, torch.compile, an average of the weights.
PREFIXES = ("module.", "model.", "_orig_mod.", "ema.")
_COMPILED = "_orig_mod."
_COUNTER = "num_batches_tracked"

Weights = dict[str, torch.Tensor]


def extract(content: object, where: str, *, depth: int = 2) -> tuple[Weights, tuple[str, ...]]:
    """Return the tensors by name from the content of a weights file, and notes on where they were found.

    Raises InputError if the file contains no tensors.
    """
    if isinstance(content, Mapping):
        nested = [n for n in NESTS if isinstance(content.get(n), Mapping)] if depth else []
        found = [n for n in nested if _holds_tensors(content[n], depth - 1)]
        if found:
            others = f" ({first_few([repr(n) for n in found[1:]])} also there, not used)" if found[1:] else ""
            weights, notes = extract(content[found[0]], where, depth=depth - 1)
            return weights, (f"weights found under {found[0]!r}{others}", *notes)
        tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
        if tensors:
            skipped = [repr(str(k)) for k, v in content.items() if not isinstance(v, torch.Tensor)]
            return tensors, ((f"entries that are not tensors are ignored: {first_few(skipped)}",) if skipped else ())
        holds = f"keys {first_few([repr(str(k)) for k in content])}" if content else "nothing"
        raise InputError(f"{where} holds no weights: it has {holds}", "save module.state_dict()")
    raise InputError(f"{where} holds a {type(content).__name__}, no state dict", "save module.state_dict()")


def _holds_tensors(content: Any, depth: int) -> bool:
    values = content.values()
    if any(isinstance(v, torch.Tensor) for v in values):
        return True
    return depth > 0 and any(isinstance(content.get(n), Mapping) and _holds_tensors(content[n], 0) for n in NESTS)


def adopt(module: torch.nn.Module, weights: Weights, where: str) -> tuple[str, ...]:
    """Load all ``weights`` into ``module``, after a prefix is stripped that makes the names match; return notes.

    ``module`` is changed in place. Raises InputError naming the first missing, unexpected and mis-shaped tensors, and
    unusable values.
    """
    expected: dict[str, Any] = dict(module.state_dict())
    weights, notes = _strip(weights, set(expected))
    absent = [k for k in expected if k.endswith(_COUNTER) and k not in weights]
    counters = [k for k in absent if k.removesuffix(_COUNTER) + "running_mean" in weights]
    if counters:
        notes.append(f"{len(counters)} {_COUNTER} counters are not in the file: left at 0 (eval does not use them)")
        weights = {**weights, **{k: expected[k] for k in counters}}
    _check_keys(expected, weights, where)
    buffers = {name for name, _ in module.named_buffers()}
    for name, tensor in weights.items():
        check_tensor(name, tensor, where, buffer=name in buffers)
        target = expected[name]
        if isinstance(target, torch.Tensor) and target.dtype != tensor.dtype:
            _check_dtype(name, tensor, target, where)
    notes += converted(weights.values())
    module.float()
    try:
        module.load_state_dict(weights, strict=True)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{where} does not load: {error}", "check --arch, --factory and --kwargs") from error
    return tuple(notes)


def _check_dtype(name: str, tensor: torch.Tensor, target: torch.Tensor, where: str) -> None:
    if tensor.is_floating_point() and not target.is_floating_point() and bool((tensor == tensor.round()).all()):
        return  # a counter that was cast along with the weights
    if tensor.is_complex() != target.is_complex() or tensor.is_floating_point() != target.is_floating_point():
        kinds = [str(t.dtype).removeprefix("torch.") for t in (tensor, target)]
        raise InputError(
            f"weight {name!r} of {where} is {kinds[0]} where the module has {kinds[1]}",
            "give the unquantised float weights",
        )


def _strip(weights: Weights, expected: set[str]) -> tuple[Weights, list[str]]:
    """Return the weights under the names that match most of ``expected``, and a note if they were renamed.

    Names lose the shortest prefix that helps, and torch.compile's infix.
    """
    best, best_score, note = weights, len(expected & weights.keys()), ""
    for length in (1, 2, 3):
        for prefix in map("".join, itertools.product(PREFIXES, repeat=length)):
            if best_score == len(expected) or not any(k.startswith(prefix) for k in weights):
                continue
            renamed = {k.removeprefix(prefix): v for k, v in weights.items()}
            score = len(expected & renamed.keys())
            if score > best_score and len(renamed) == len(weights):
                count = sum(k.startswith(prefix) for k in weights)
                best, best_score, note = renamed, score, f"prefix {prefix!r} stripped from {count} keys"
    if best_score < len(expected) and any(_COMPILED in k for k in best):
        renamed = {k.replace(_COMPILED, ""): v for k, v in best.items()}
        if len(expected & renamed.keys()) > best_score and len(renamed) == len(best):
            count = sum(_COMPILED in k for k in best)
            best, note = renamed, f"{note + ', ' if note else ''}{_COMPILED!r} removed from {count} keys"
    # torch.optim.swa_utils.AveragedModel counts its updates beside the weights.
    return {k: v for k, v in best.items() if k != "n_averaged" or k in expected}, [note] if note else []


def _check_keys(expected: Mapping[str, Any], weights: Weights, where: str) -> None:
    missing = [k for k in expected if k not in weights]
    unexpected = [k for k in weights if k not in expected]
    if unexpected and any("_packed_params" in k or k.endswith((".scale", ".zero_point")) for k in unexpected):
        raise InputError(f"{where} holds quantised weights ({unexpected[0]!r})", "give the float weights")
    shaped = [
        f"{k!r} is {sizes(weights[k].shape)} in the file and {sizes(v.shape)} in the module"
        for k, v in expected.items()
        if k in weights and isinstance(v, torch.Tensor) and not is_lazy(v) and v.shape != weights[k].shape
    ]
    problems: list[str] = []
    for kind, keys, others in (("missing", missing, unexpected), ("unexpected", unexpected, missing)):
        if keys:
            named = [f"{k!r}{near_miss(k, others, 0.75)}" if i < 3 else k for i, k in enumerate(keys)]
            problems.append(f"{len(keys)} {kind}: {first_few(named)}")
    if shaped:
        problems.append(f"{len(shaped)} of another shape: {first_few(shaped)}")
    if problems:
        matched = f"{len(expected) - len(missing)} of {len(expected)} names match"
        raise InputError(
            f"weights of {where} do not fit the module ({matched}): {'; '.join(problems)}",
            "check --arch, --factory and --kwargs",
        )
