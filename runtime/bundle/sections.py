"""The sections of a manifest: source, files, rewrites, nodes kept in FP32, engines, and decodes."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from .codec import Known, Matching, Within
from .figures import Count, Factor
from .stage import Stage

Seconds = Annotated[float, Within(0, 1e9)]
Number = Annotated[float, Within(-1e9, 1e9)]
Object = dict[str, Any]
Shapes = Annotated[Object, Known(rest=tuple[int, ...])]
LayerOutput = Annotated[Object, Known(name=str, dtype=str, shape=tuple[int, ...] | None)]
Layer = Annotated[
    Object,
    Known(name=str, type=str, outputs=tuple[LayerOutput, ...], nodes=tuple[str, ...], modules=tuple[str, ...]),
]
"""What is free-form in a manifest, with the kinds of the entries that are read."""


@dataclass(frozen=True)
class SourceRecord:
    """The exported model. ``kind``: checkpoint, state-dict, pt2, torchscript, pickle, onnx; ``file``: its name."""

    kind: str
    file: str
    sha256: str
    arch: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gpu:
    """The GPU of the export's machine; ``compute_capability`` as ``8.9``."""

    name: str
    compute_capability: str


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle. ``role``: model-fp32, model-fp16, weights, engine, golden, report, part, other."""

    sha256: Annotated[str, Matching("[0-9a-f]{64}", "64 hexadecimal digits")]
    bytes: Count
    role: str


@dataclass(frozen=True)
class StageRecord:
    """One stage of the run: its wall time and one line about its result.

    ``model_type`` is the type that the typed stage converts to (``fp16``), ``part`` the part of an
    encoder-decoder network.
    """

    stage: Stage
    seconds: Seconds
    text: str = ""
    model_type: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        """The name on the console and in the report: ``lower``, ``fp16``, ``encoder: lower``."""
        return self.stage.label(self.model_type, self.part)


@dataclass(frozen=True)
class GraphRewriteRecord:
    """One rewrite between capture and lowering, applied or refused.

    ``stage`` is simplify or raise, ``rule`` the name of the rule, ``text`` one line about the result
    or the reason of the refusal. ``module`` and ``source`` (``file:line``) name the PyTorch module and line of ``node``.
    """

    stage: Stage
    rule: str
    node: str
    applied: bool
    text: str = ""
    module: str = ""
    source: str = ""


@dataclass(frozen=True)
class RewriteRecord:
    """One domain operator and its lowering.

    ``lowering`` is the lowering chosen for ``targets``, None if every lowering refused. ``refused``
    has the reason of each lowering that was not chosen, by name, and under ``recognise`` the reason
    why a window is not local attention. ``module`` and ``source`` (``file:line``) name the PyTorch
    code. ``model`` is the ONNX file, ``found`` the recognised pattern, ``milliseconds`` the time of
    each lowering (``--tune``).
    ``replaced`` counts the nodes of the captured graph that the operator replaces.
    """

    node: str
    op: str
    lowering: str | None
    targets: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)
    module: str = ""
    source: str = ""
    model: str = ""
    found: str = ""
    milliseconds: dict[str, float] = field(default_factory=dict)
    replaced: Count = 1


@dataclass(frozen=True)
class KeptNode:
    """A node that stays FP32 in the FP16 model, and why."""

    node: str
    module: str
    reason: str


@dataclass(frozen=True)
class SearchRecord:
    """The result of ``--precision auto``: a verdict and one line; errors are multiples of PyTorch's in FP16.

    ``before``: the error with only the unsafe operators in FP32; ``error``: that of the chosen model;
    ``held_out``: that on inputs outside the search, None if it was not measured. ``measured``: nodes
    kept by measurement; ``evaluations``: runs of trial models, ``remembered`` those known from an
    earlier run; ``samples``: whether real samples were among the inputs.
    """

    verdict: str
    text: str
    target: float
    before: float
    error: float
    held_out: float | None
    measured: Count
    evaluations: Count
    remembered: Count
    seconds: Seconds
    top_share: float | None
    samples: bool


@dataclass(frozen=True)
class Precision:
    """The decisions of the FP16 stage: nodes kept in FP32, and counts such as ``{"float16": 41, "float32": 9}``.

    ``search``: how they were found, None if only the rules decided.
    """

    kept: tuple[KeptNode, ...] = ()
    counts: dict[str, Count] = field(default_factory=dict)
    search: SearchRecord | None = None


@dataclass(frozen=True)
class AttentionRecord:
    """An output that is an attention map (``--outputs attention``).

    ``module`` is the path of its module, ``type`` that module's class. ``kind`` is the kind of map: gate, tokens,
    channels, window or grid (see ``models/attention/attention_map.py``); ``detail`` holds a window's ``stride`` and a
    grid's ``align_corners``.
    """

    output: str
    module: str
    type: str
    kind: str
    detail: Annotated[Object, Known(stride=Annotated[int, Within(1, 2**16)], align_corners=bool)] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Selection:
    """Outputs with a row for each element that the model selects by a score (top-k, sort, NMS).

    ``outputs``: the axis of the rows by output; ``scores``: the output that holds the scores, best or worst first, or
    an empty string.
    """

    outputs: dict[str, Annotated[int, Within(0, 31)]]
    scores: str = ""


@dataclass(frozen=True)
class SamplesRecord:
    """The real inputs on which parity was verified, beside the random ones.

    ``source``: the name of the file or folder; ``images``: how pictures become arrays (``mean``, ``std``,
    ``size`` as (H, W), ``classes`` by label), empty for samples that are arrays.
    """

    source: str
    count: Count
    labels: bool
    images: Annotated[
        Object,
        Known(mean=tuple[Number, ...], std=tuple[Number, ...], size=tuple[Count, ...], classes=tuple[str, ...]),
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineRecord:
    """One TensorRT plan. ``flavour``: enterprise or rtx; ``version``: of the library that built it.

    ``compute_capability`` lists the supported ones (``8.6, 8.9``), None for all of the library.
    ``profiles`` holds, for every optimization profile, ``{input: {"min": [...], "opt": [...], "max": [...]}}``;
    ``layers`` has the layers from the engine inspector. ``model`` is the ONNX file of the engine and
    ``model_sha256`` that file's hash, empty if unknown; the plan contains the hash too.
    """

    file: str
    flavour: str
    version: str
    precision: str
    compute_capability: str | None
    profiles: tuple[Annotated[Object, Known(rest=Shapes)], ...]
    layers: tuple[Layer, ...]
    seconds: Seconds
    bytes: Count
    detail: Annotated[
        Object,
        Known(gpu=Gpu, layers_from=str, workspace_bytes=int | None, tf32=bool, warnings=tuple[str, ...]),
    ] = field(default_factory=dict)
    model: str = ""
    model_sha256: str = ""


@dataclass(frozen=True)
class DecodeAgreement:
    """The decodes of one variant of encoder and step, compared with the original's in FP64.

    ``stage``: ``onnx-fp32``, ``engine-fp16`` …; ``files`` by part; ``width``: of the beam, 1 for
    greedy decoding. ``tokens`` counts the original's tokens, ends included; ``equal_tokens`` those
    that are equal at the same place.

    A row may differ from the original's only at a tie: ``ties`` are the rows whose first difference
    is at a choice between log-probabilities that are closer, in the original, than twice ``factor``
    times ``torch_error``. ``torch_error`` is the largest error of PyTorch's log-probabilities at
    ``precision`` with the same tokens.
    """

    stage: str
    files: dict[str, str]
    precision: str
    width: Count
    rows: Count
    equal_rows: Count
    tokens: Count
    equal_tokens: Count
    ties: Count
    torch_error: float
    factor: Factor
    passed: bool


@dataclass(frozen=True)
class DecodeRecord:
    """How a decode loop drives the parts ``encoder`` and ``step``.

    ``start``, ``end`` and ``padding`` are token numbers, ``limit`` the maximum number of tokens per
    row, its end included. ``memory`` are the inputs of the step that do not change during a decode;
    ``state`` those that an output replaces, with that output's name. ``sources``: the kind of sources
    that were decoded for ``parity``, samples or random.
    """

    start: Count
    end: Count
    padding: Count
    limit: Annotated[int, Within(1, 1_000_000)]
    memory: tuple[str, ...]
    state: dict[str, str]
    sources: str = ""
    parity: tuple[DecodeAgreement, ...] = ()


TRUTH = "truth"


@dataclass(frozen=True)
class ModuleError:
    """One module, its source line, and the relative rms error of its result by variant (``onnx-fp32`` …)."""

    module: str
    kind: str
    source: str
    errors: dict[str, float]
