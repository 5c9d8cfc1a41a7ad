"""``manifest.json``: the description of a bundle (schema version 5; version 4 can be read)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ...errors import BundleError
from ..spec import TensorSpec
from .attribution import Attribution
from .codec import decode, encode_fields
from .convert import READABLE, to_current
from .figures import ParityRecord
from .module_error import ModuleError
from .sections import (
    AttentionRecord,
    DecodeRecord,
    EngineRecord,
    FileRecord,
    Gpu,
    GraphRewriteRecord,
    Precision,
    RewriteRecord,
    SamplesRecord,
    SourceRecord,
    StageRecord,
)

FORMAT = "attnexport-bundle"
SCHEMA = 5


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    ``created``: ISO 8601 in UTC. ``tools``: versions by name (attnexport, torch, onnxruntime …). ``files``: by path
    relative to the bundle, with forward slashes, without the manifest itself; the writer fills it in. ``rewrites``: each
    domain operator and its lowering; ``graph_rewrites``: the rewrites before lowering. ``operators``: the count of each
    operator by model file, ``captured`` in the captured graph. ``attribution``: the error that each stage adds to each
    output; ``modules``: the error of each module. ``attention``: the outputs that are attention maps. ``samples``: the real
    inputs that the models were verified on.

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
    def from_json(cls, value: Any) -> Manifest:
        """The inverse of :meth:`to_json`, for every schema version in :data:`~.convert.READABLE`.

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
    def loads(cls, text: str) -> Manifest:
        """Parse the text of a ``manifest.json``. Raises BundleError for invalid JSON, and as :meth:`from_json` does."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"the manifest is not valid JSON ({error})", "export the bundle again") from error
        return cls.from_json(value)
