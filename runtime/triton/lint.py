"""Check a model's folder for errors that Triton's schema accepts and Triton or its clients fail on."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .config import Config, parse, schema

CONFIG = "config.pbtxt"
WARMUP = "warmup"
_FILES = {"python": "model.py", "onnxruntime": "model.onnx", "tensorrt": "model.plan"}
_BYTES = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2, "UINT32": 4, "INT32": 4, "FP32": 4,
    "UINT64": 8, "INT64": 8, "FP64": 8,
}  # fmt: skip


def lint(folder: Path, name: str | None = None) -> list[str]:
    """The errors of a model's folder, empty for a valid one; ``name`` is the model's, if the folder is elsewhere for now."""
    path = folder / CONFIG
    try:
        config = parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        return [f"{CONFIG} cannot be read ({error})"]
    except InputError as error:
        return [error.problem]
    return [
        *_identity(config, name or folder.name), *_tensors(config), *_batching(config), *_instances(config),
        *_warmup(config, folder), *_versions(config, folder), *_labels(config, folder), *_ensemble(config),
    ]  # fmt: skip


def check(folder: Path, name: str | None = None) -> None:
    """Raise InputError with the first error of a model's folder, and the number of the others."""
    faults = lint(folder, name)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"model {name or folder.name!r}: {faults[0]}{more}", "Triton would not serve it correctly")


def _identity(config: Config, name: str) -> Iterator[str]:
    if config.name != name:
        yield f"name {config.name!r} is not that of the folder, {name!r}"
    if config.platform != "ensemble" and config.backend not in _FILES:
        yield f"backend {config.backend!r} is not known: {', '.join(_FILES)}"


def _tensors(config: Config) -> Iterator[str]:
    for kind, tensors in (("input", config.input), ("output", config.output)):
        if not tensors:
            yield f"there is no {kind}"
        for name, count in Counter(tensor.name for tensor in tensors).items():
            if count > 1:
                yield f"{kind} {name!r} is declared {count} times"
        for tensor in tensors:
            where = f"{kind} {tensor.name!r}"
            if not tensor.name:
                yield f"an {kind} has no name"
            if tensor.data_type == schema().DataType.Value("TYPE_INVALID"):
                yield f"{where} has no data type"
            if not tensor.dims:
                yield f"{where} has no dims: a scalar is dims [1] with an empty reshape"
            for size in tensor.dims:
                if size == 0 or size < -1:
                    yield f"{where} has {size} in dims {list(tensor.dims)}: a size is positive, or -1 for any"
            if tensor.HasField("reshape") and _count(tensor.dims) != _count(tensor.reshape.shape):
                yield f"{where} has dims {list(tensor.dims)}, which do not reshape to {list(tensor.reshape.shape)}"


def _count(sizes: list[int]) -> int:
    """Elements of a shape, -1 if a size is free."""
    return -1 if any(size < 0 for size in sizes) else math.prod(sizes)


def _batching(config: Config) -> Iterator[str]:
    most = config.max_batch_size
    if most < 0:
        yield f"max_batch_size {most} is negative"
    if not config.HasField("dynamic_batching"):
        return
    if most == 0:
        yield "dynamic_batching is set and max_batch_size is 0: requests would not be grouped"
    for size in config.dynamic_batching.preferred_batch_size:
        if not 1 <= size <= max(most, 0):
            yield f"preferred_batch_size {size} is not in 1..{most}"


def _instances(config: Config) -> Iterator[str]:
    for group in config.instance_group:
        if group.count < 1:
            yield f"an instance group has count {group.count}"
    policy = config.dynamic_batching.default_queue_policy
    instances = sum(group.count for group in config.instance_group)
    if policy.max_queue_size and instances < 2:
        yield (
            f"max_queue_size {policy.max_queue_size} is set for {instances} instance, "
            "with which Triton delays requests by half a second: use two instances"
        )


def _warmup(config: Config, folder: Path) -> Iterator[str]:
    declared = {tensor.name: tensor for tensor in config.input}
    types = schema().DataType
    for sample in config.model_warmup:
        where = f"warm-up {sample.name!r}"
        if unknown := [name for name in sample.inputs if name not in declared]:
            yield f"{where} feeds {unknown[0]!r}, which is not an input"
        if missing := [name for name in declared if name not in sample.inputs]:
            yield f"{where} lacks input {missing[0]!r}"
        if not 1 <= sample.batch_size <= max(config.max_batch_size, 1):
            yield f"{where} has batch_size {sample.batch_size}, not in 1..{max(config.max_batch_size, 1)}"
        for name, value in sample.inputs.items():
            if name not in declared:
                continue
            tensor = declared[name]
            if value.data_type != tensor.data_type:
                actual, expected = types.Name(value.data_type), types.Name(tensor.data_type)
                yield f"{where} feeds {name!r} as {actual}, and it is {expected}"
            elif not _fits(value.dims, tensor.dims):
                yield f"{where} feeds {name!r} with dims {list(value.dims)}, and it has {list(tensor.dims)}"
            elif file := value.input_data_file:
                path = folder / WARMUP / file
                size = _count(value.dims) * _BYTES[types.Name(value.data_type).removeprefix("TYPE_")]
                if not path.is_file():
                    yield f"{where} feeds {name!r} from {WARMUP}/{file}, which is missing"
                elif path.stat().st_size != size:
                    yield f"{where} feeds {name!r} from {WARMUP}/{file}: {path.stat().st_size} bytes, not {size}"


def _fits(sizes: list[int], dims: list[int]) -> bool:
    return len(sizes) == len(dims) and all(
        size > 0 and wanted in (-1, size) for size, wanted in zip(sizes, dims, strict=True)
    )


def _versions(config: Config, folder: Path) -> Iterator[str]:
    versions = version_numbers(folder)
    if not versions:
        yield "there is no version: a folder whose name is a number from 1"
    file = config.default_model_filename or _FILES.get(config.backend)
    for version in versions:
        if config.platform != "ensemble" and file and not (folder / str(version) / file).is_file():
            yield f"version {version} has no {file}"
    policy = config.version_policy
    if absent := [v for v in policy.specific.versions if v not in versions]:
        yield f"version_policy serves version {absent[0]}, which is missing"
    if policy.HasField("latest") and policy.latest.num_versions < 1:
        yield "version_policy serves the latest 0 versions"


def version_numbers(folder: Path) -> list[int]:
    """The versions in a model's folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal() and path.name[0] != "0"
    )


def _labels(config: Config, folder: Path) -> Iterator[str]:
    for tensor in config.output:
        if tensor.label_filename and not (folder / tensor.label_filename).is_file():
            yield f"output {tensor.name!r} has its labels in {tensor.label_filename}, which is missing"


def _ensemble(config: Config) -> Iterator[str]:
    """Check that every tensor of an ensemble has exactly one source."""
    if config.platform != "ensemble":
        if config.HasField("ensemble_scheduling"):
            yield f"ensemble_scheduling is set and platform is {config.platform!r}, not 'ensemble'"
        return
    if not config.ensemble_scheduling.step:
        yield "the ensemble has no step"
    known = {tensor.name for tensor in config.input}
    for step in config.ensemble_scheduling.step:
        if unknown := [tensor for tensor in step.input_map.values() if tensor not in known]:
            yield f"step {step.model_name!r} takes {unknown[0]!r}, which no earlier step returns"
        for tensor in step.output_map.values():
            if tensor in known:
                yield f"step {step.model_name!r} returns {tensor!r}, which exists already"
            known.add(tensor)
    if lacking := [tensor.name for tensor in config.output if tensor.name not in known]:
        yield f"output {lacking[0]!r} is not an output of any step"
