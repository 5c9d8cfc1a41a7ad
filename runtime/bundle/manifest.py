"""``manifest.json``: the description of a bundle (schema version 5; version 4 is converted), and those of its parts as one."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import BundleError
from ..files.read import RefusedFileError, parse_json
from ..spec import TensorSpec
from .attribution import Attribution
from .codec import decode, encode_fields
from .figures import ParityRecord, stable_limit
from .sections import (
    AttentionRecord,
    DecodeRecord,
    EngineRecord,
    FileRecord,
    Gpu,
    GraphRewriteRecord,
    ModuleError,
    Precision,
    RewriteRecord,
    SamplesRecord,
    Selection,
    SourceRecord,
    StageRecord,
)
from .stage import Stage

FORMAT = "attnexport-bundle"
SCHEMA = 6
READABLE = (4, 5, 6)
"""The schema versions that this package reads; the last is the one that it writes."""
_STEPS = {"rewrite": Stage.RECOGNISE, "cast": Stage.TYPED}
"""Stages of the attribution that were renamed after version 4."""
_FIELDS = {"own_rms": "torch_rms", "own_error": "torch_error", "truth_rms": "reference_rms"}
"""Fields that were renamed after version 4."""


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    ``created``: ISO 8601 in UTC. ``tools``: versions by name (attnexport, torch, onnxruntime …). ``files``: by path
    relative to the bundle, with forward slashes, without the manifest itself; the writer fills it in. ``rewrites``: each
    domain operator and its lowering; ``graph_rewrites``: the rewrites before lowering. ``operators``: the count of each
    operator by model file, ``captured`` in the captured graph. ``attribution``: the error that each stage adds to each
    output; ``modules``: the error of each module. ``selections``: the outputs with a row for each element that the model
    selects. ``attention``: the outputs that are attention maps. ``samples``: the real inputs that the models were verified on.

    A bundle with several graphs has ``parts``: the folder of each graph by name, each a complete bundle. The sections about
    one graph are then in the parts' manifests, and empty here. ``decode`` describes how a loop runs encoder and step.
    """

    name: str
    created: str
    source: SourceRecord
    tools: dict[str, str]
    gpu: Gpu | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    task: str | None
    files: dict[str, FileRecord] = field(default_factory=dict)
    stages: tuple[StageRecord, ...] = ()
    rewrites: tuple[RewriteRecord, ...] = ()
    graph_rewrites: tuple[GraphRewriteRecord, ...] = ()
    operators: dict[str, dict[str, int]] = field(default_factory=dict)
    captured: dict[str, int] = field(default_factory=dict)
    precision: Precision = field(default_factory=Precision)
    engines: tuple[EngineRecord, ...] = ()
    parity: tuple[ParityRecord, ...] = ()
    selections: tuple[Selection, ...] = ()
    attribution: tuple[Attribution, ...] = ()
    modules: tuple[ModuleError, ...] = ()
    attention: tuple[AttentionRecord, ...] = ()
    samples: SamplesRecord | None = None
    parts: dict[str, str] = field(default_factory=dict)
    decode: DecodeRecord | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with the format's name and the schema version first."""
        return {"format": FORMAT, "schema": SCHEMA, **encode_fields(self)}

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """The inverse of :meth:`to_json`, for every schema version in ``READABLE``.

        Raises BundleError for another format or version, and for the first field that is missing, unknown or of a wrong kind.
        """
        kind = value.get("format") if isinstance(value, dict) else None
        if kind != FORMAT:
            raise BundleError(f"the manifest has format {kind!r} and not {FORMAT!r}", "pass a bundle of attnexport")
        if type(value.get("schema")) is not int or value["schema"] not in READABLE:
            versions = " and ".join(map(str, READABLE))
            raise BundleError(
                f"the manifest has schema version {value.get('schema')!r} and this attnexport reads versions {versions}",
                "use the attnexport that wrote the bundle, or export it again",
            )
        return decode(cls, {k: v for k, v in to_current(value).items() if k not in ("format", "schema")}, "")

    def dumps(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def loads(cls, text: str | bytes) -> "Manifest":
        """Parse the text of a ``manifest.json``. Raises BundleError for invalid JSON, and as :meth:`from_json` does."""
        try:
            value = parse_json(text)
        except RefusedFileError as error:
            raise BundleError(f"the manifest is refused: {error}") from error
        return cls.from_json(value)


def to_current(value: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest's JSON object in the current schema. ``value`` is not changed.

    A field of a wrong kind is not converted: decoding reports it.
    """
    try:
        if value["schema"] == 4:
            value = _from_4({name: _renamed(part) for name, part in value.items()})
        return _from_5(value) if value["schema"] < 6 else value
    except (AttributeError, KeyError, TypeError):
        return value


def _from_4(value: dict[str, Any]) -> dict[str, Any]:
    """Version 4 kept figures of stages as free-form JSON, and had no rewrites before lowering."""
    stages = {stage["name"]: stage["detail"] for stage in value["stages"]}
    replaced = stages.get("recognise", {}).get("stands_for", {})
    return {
        **value,
        "stages": [_stage(stage) for stage in value["stages"]],
        "rewrites": [{**rewrite, "replaced": replaced.get(rewrite["node"], 1)} for rewrite in value["rewrites"]],
        "graph_rewrites": [],
        "captured": stages.get("capture", {}).get("operators", {}),
        "attribution": [_attribution(entry) for entry in value["attribution"]],
        "modules": stages.get("verify", {}).get("modules", []),
    }


def _from_5(value: dict[str, Any]) -> dict[str, Any]:
    """Version 5 had no counts of discrete values, and no word for a model that is unstable in PyTorch."""
    return {**value, "selections": [], "parity": [_parity(record) for record in value["parity"]]}


def _parity(record: dict[str, Any]) -> dict[str, Any]:
    scale = record["figures"]["reference_rms"]
    relative = record["gate"]["torch_rms"] / scale if scale else 0.0
    gate = {
        **record["gate"],
        "torch_relative": relative,
        "unstable": relative > stable_limit(record["precision"]),
        **{name: record["figures"][name] for name in ("rms", "relative", "cosine")},
        "low": None,
        "high": None,
    }
    return {**record, "gate": gate, "agreement": None, "torch_agreement": None, "margin": 0.0}


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_FIELDS.get(name, name): _renamed(part) for name, part in value.items()}
    return [_renamed(part) for part in value] if isinstance(value, list) else value


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    part, _, name = stage["name"].rpartition(": ")
    known = name in {member.value for member in Stage}
    return {
        "stage": name if known else Stage.TYPED.value,
        "seconds": stage["seconds"],
        "text": stage["detail"].get("text", ""),
        "model_type": "" if known else name,
        "part": part,
    }


def _attribution(entry: dict[str, Any]) -> dict[str, Any]:
    steps = [{**step, "stage": _STEPS.get(step["stage"], step["stage"])} for step in entry["steps"]]
    blame = entry["blame"]
    if blame is not None:
        blame = {**blame, "stage": _STEPS.get(blame["stage"], blame["stage"])}
    rest = {name: part for name, part in entry.items() if name != "form"}
    return {**rest, "variant": entry["form"], "steps": steps, "blame": blame}


def joined(whole: Manifest, parts: Mapping[str, Manifest]) -> Manifest:
    """``whole`` with the sections of its parts: stages and outputs as ``step: ...``, files relative to the whole bundle."""
    each = [(name, whole.parts[name], part) for name, part in parts.items()]
    counts: Counter[str] = Counter()
    for part in parts.values():
        counts.update(part.precision.counts)
    kept = (replace(k, module=f"{name}: {k.module or '<root>'}") for name, _, part in each for k in part.precision.kept)
    return replace(
        whole,
        outputs=tuple(spec for part in parts.values() for spec in part.outputs),
        rewrites=tuple(replace(r, model=f"{at}/{r.model}") for _, at, part in each for r in part.rewrites),
        graph_rewrites=tuple(
            replace(r, module=f"{name}: {r.module or '<root>'}") for name, _, part in each for r in part.graph_rewrites
        ),
        operators={f"{at}/{file}": number for _, at, part in each for file, number in part.operators.items()},
        precision=Precision(tuple(kept), dict(counts)),
        engines=tuple(replace(e, file=f"{at}/{e.file}") for _, at, part in each for e in part.engines),
        parity=tuple(
            replace(p, stage=f"{name}: {p.stage}", file=f"{at}/{p.file}")
            for name, at, part in each
            for p in part.parity
        ),
        attribution=tuple(replace(a, output=f"{name}: {a.output}") for name, _, part in each for a in part.attribution),
        notes=(*whole.notes, *(f"{name}: {note}" for name, part in parts.items() for note in part.notes)),
    )
