"""Write and open models of any size: above protobuf's 2 GB the weights are in a file beside the graph.

ONNX Runtime copies a model from bytes twice, and packs each matrix again for every node that reads
it. So a model of some size is opened from a file whose weights are mapped, and a heavy one runs
without packing.
"""

from collections.abc import Collection, Sequence
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .ort import OrtSession
from .providers import CPU, Provider

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

ONE_FILE = 2**31 - 2**26
"""Protobuf's 2 GB, less room for the graph."""
_MAPPED = 2**25
"""Bytes of weights above which a model in memory is opened from a file."""
_PACKED = 2**28
"""Bytes of weights above which packing costs more time and memory than the few runs of a test gain."""
_INLINE = 1024
"""Bytes of a weight that stays in the graph: scales and scalars, which shape inference reads."""
_SIZES = 2**20
"""The same for INT64 and INT32 weights, which may be sizes, axes and indices."""

_SHAPE = 1024
"""Elements above which a weight cannot be a shape, an axis or a scale: shape inference does not need its data."""


def is_large(model: "ModelProto") -> bool:
    """Whether the model is too large for one protobuf message. The weights are not copied."""
    return _weights(model) + int(without_weights(model).ByteSize()) >= ONE_FILE


def is_heavy(path: Path) -> bool:
    """Whether a model file of :func:`save_model` is better run without packing its weights."""
    return sum(file.stat().st_size for file in (path, _data(path)) if file.is_file()) > _PACKED


def _weights(model: "ModelProto") -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    return sum(prod(t.dims) * int(tensor_dtype_to_np_dtype(t.data_type).itemsize) for t in model.graph.initializer)


def save_model(model: "ModelProto", path: Path) -> tuple[Path, ...]:
    """Write a model, the weights of a large one to ``NAME.onnx.data`` beside it; return the files, model first.

    The model is not changed. ``onnx.load(path)`` and ONNX Runtime read both forms.
    """
    if not is_large(model):
        path.write_bytes(model.SerializeToString())
        return (path,)
    data = _data(path)
    path.write_bytes(on_disk(model, path.parent, data.name).SerializeToString())
    return path, data


def _data(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


def open_model(
    model: "ModelProto",
    *,
    outputs: "Sequence[ValueInfoProto] | None" = None,
    optimize: bool = True,
    spin: bool = False,
    providers: Sequence[str | Provider] = (CPU,),
) -> OrtSession:
    """Open a session on a model in memory, as :class:`~.ort.OrtSession` does; ``outputs`` replace the model's outputs.

    The model is not changed. Raise StageError if ONNX Runtime refuses it.
    """
    size = _weights(model)
    if size <= _MAPPED:
        light = without_weights(model)
        light.graph.initializer.extend(model.graph.initializer)
        _give(light, outputs)
        return OrtSession(light.SerializeToString(), optimize=optimize, spin=spin, providers=providers)
    # A file that is mapped can be deleted on some systems; on others the system's temporary folder keeps it.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        light = on_disk(model, Path(folder), "weights")
        _give(light, outputs)
        path = Path(folder) / "model.onnx"
        path.write_bytes(light.SerializeToString())
        return OrtSession(path, optimize=optimize, spin=spin, prepack=size <= _PACKED, providers=providers)


def _give(model: "ModelProto", outputs: "Sequence[ValueInfoProto] | None") -> None:
    if outputs is not None:
        del model.graph.output[:]
        model.graph.output.extend(outputs)


def on_disk(model: "ModelProto", folder: Path, file: str) -> "ModelProto":
    """The model with its large weights in ``folder/file``, which are not copied in memory."""
    from onnx import StringStringEntryProto, TensorProto

    light = without_weights(model)
    with (folder / file).open("wb") as stream:
        for tensor in model.graph.initializer:
            whole = tensor.data_type in (TensorProto.INT64, TensorProto.INT32)
            if not tensor.HasField("raw_data") or len(tensor.raw_data) <= (_SIZES if whole else _INLINE):
                light.graph.initializer.append(tensor)
                continue
            stub = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            stub.data_location = TensorProto.EXTERNAL
            entries = {"location": file, "offset": stream.tell(), "length": stream.write(tensor.raw_data)}
            stub.external_data.extend(StringStringEntryProto(key=k, value=str(v)) for k, v in entries.items())
            light.graph.initializer.append(stub)
    return light


def without_weights(model: "ModelProto") -> "ModelProto":
    """The model without the initializers of its main graph."""
    light = type(model)()
    _copy(model, light, ("graph",))
    _copy(model.graph, light.graph, ("initializer",))
    return light


def skeleton(model: "ModelProto") -> "ModelProto":
    """The model with its large weights as inputs: enough for shape inference. Types, shapes and names are unchanged."""
    from onnx.helper import make_tensor_value_info

    light = without_weights(model)
    declared = {value.name for value in light.graph.input}
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SHAPE:
            light.graph.initializer.append(tensor)
        elif tensor.name not in declared:
            light.graph.input.append(make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def _copy(source: Any, target: Any, but: Collection[str]) -> None:
    for field, value in source.ListFields():
        if field.name in but:
            continue
        if hasattr(value, "extend"):
            getattr(target, field.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
