"""Decode with the encoder and step of a bundle, in ONNX Runtime or TensorRT."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ...errors import BundleError, InputError, MissingBackendError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import DecodeRecord
from ..closing import Closing
from ..cuda import cuda_device
from ..open.select import open_stage
from ..sessions import Session
from ..spec import Axis, TensorSpec
from .sequence import SequenceDecoder

ENCODER, STEP = "encoder", "step"
BACKENDS = ("onnxruntime", "emulated", "tensorrt")
PRECISIONS = ("fp16", "fp32")


class BundleDecoder(SequenceDecoder, Closing):
    """A :class:`SequenceDecoder` over a bundle's files, which it closes: use it in a ``with`` statement.

    ``precision`` is that of its models, ``how`` describes what runs them.
    """

    def __init__(self, bundle: StoredBundle, precision: str, backend: str) -> None:
        facts, parts = parts_of(bundle)
        with ExitStack() as stack:
            sessions: list[Session] = []
            for part in parts.values():
                session, self.how = open_stage(part, backend, _file(part, precision, backend), lambda _: None)
                stack.callback(session.close)
                sessions.append(session)
            source, rows = batches(parts)
            encoder, step = sessions
            super().__init__(encoder, step, facts, source, rows)
            self._opened = stack.pop_all()
        self.precision = precision

    def close(self) -> None:
        """Free both sessions."""
        self._opened.close()


def open_decoder(path: str | Path, *, precision: str | None = None, backend: str = "onnxruntime") -> BundleDecoder:
    """Open encoder and step of a bundle::

        with open_decoder("dates.attn") as decoder:
            for hypothesis in decoder.greedy(decoder.padded([[5, 8, 12]])):
                print(hypothesis.tokens)

    ``precision``: fp16 or fp32, by default fp16 if the bundle has it. ``backend``: onnxruntime (on
    the CPU, which computes FP16 models in FP32 between casts), emulated (the same, rounded to FP16
    after every node), or tensorrt. Raise InputError for other values, a bundle without parts, and
    one without such a model; MissingBackendError for a missing GPU or library.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} is not known", f"use one of {', '.join(BACKENDS)}")
    if precision not in (None, *PRECISIONS):
        raise InputError(f"precision {precision!r} is not known", f"use one of {', '.join(PRECISIONS)}")
    bundle = StoredBundle.open(path)
    if precision is None:
        _, parts = parts_of(bundle)
        precision = "fp16" if all(part.with_role("model-fp16") for part in parts.values()) else "fp32"
    return BundleDecoder(bundle, precision, backend)


def parts_of(bundle: StoredBundle) -> tuple[DecodeRecord, dict[str, StoredBundle]]:
    """The manifest's decode section, with encoder and step. Raise InputError for a bundle of one graph."""
    facts = bundle.manifest.decode
    if facts is None:
        raise InputError(
            f"{bundle.path} has one graph, {bundle.manifest.name}, not an encoder and a step to decode with",
            "export an encoder-decoder network, without --whole",
        )
    return facts, {name: bundle.part(name) for name in (ENCODER, STEP)}


def batches(parts: Mapping[str, StoredBundle]) -> tuple[TensorSpec, Axis]:
    """The encoder's input, and the batch of the step. Raise BundleError if a part has no input."""
    inputs = [part.manifest.inputs for part in parts.values()]
    if not all(specs and specs[0].axes for specs in inputs):
        raise BundleError("a part takes no input with a batch")
    encoder, step = inputs
    return encoder[0], step[0].axes[0]


def _file(part: StoredBundle, precision: str, backend: str) -> str:
    """The file of a part that ``backend`` runs. Raise InputError if there is none."""
    if backend == "tensorrt":
        files = [engine.file for engine in part.manifest.engines if engine.precision == precision]
        what, remedy = f"{precision} engine", f"export with --trt --precision {precision}"
    else:
        files = part.with_role(f"model-{precision}")
        what, remedy = f"{precision} model", "export without --precision fp32"
    if backend == "emulated" and precision != "fp16":
        raise InputError("FP32 models are not emulated", "use --backend onnxruntime")
    if not files:
        raise InputError(f"{part.path} has no {what}", remedy)
    if backend == "tensorrt" and cuda_device() is None:
        raise MissingBackendError("TensorRT needs an NVIDIA GPU and there is none", "use --backend onnxruntime")
    return files[0]
