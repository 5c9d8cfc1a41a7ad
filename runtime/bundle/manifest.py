"""``manifest.json``: everything that a bundle says about itself (schema version 4)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ...errors import BundleError
from ..spec import TensorSpec
from .attribution import Attribution
from .codec import decode, encode_fields
from .figures import ParityRecord
from .sections import (
    AttentionRecord,
    DecodeRecord,
    EngineRecord,
    FileRecord,
    Gpu,
    Precision,
    RewriteRecord,
    SamplesRecord,
    SourceRecord,
    StageRecord,
)

FORMAT = "attnexport-bundle"
SCHEMA = 4


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    ``created``: ISO 8601 in UTC; ``tools``: version by name (attnexport, torch, onnxruntime …); ``files``: by path
    relative to the bundle, with forward slashes, without the manifest itself (a writer fills it in); ``operators``:
    per model file, the count of each operator; ``attribution``: which stage adds what to each output's error;
    ``attention``: the outputs that are attention maps; ``samples``: the real inputs that parity was proved on.

    A bundle of several graphs has ``parts``, the folder of each by its name; every one of them is a bundle of its own. What
    describes one graph is then in the parts' manifests, and empty here. ``decode`` says how encoder and step are driven.
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
    operators: dict[str, dict[str, int]] = field(default_factory=dict)
    precision: Precision = field(default_factory=Precision)
    engines: tuple[EngineRecord, ...] = ()
    parity: tuple[ParityRecord, ...] = ()
    attribution: tuple[Attribution, ...] = ()
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
        """The inverse of :meth:`to_json`.

        Raises BundleError for another format or schema version, and for the first field that is missing, unknown or
        of a wrong kind.
        """
        found = value.get("format") if isinstance(value, dict) else None
        if found != FORMAT:
            raise BundleError(f"the manifest has format {found!r} and not {FORMAT!r}", "give a bundle of attnexport")
        if type(value.get("schema")) is not int or value["schema"] != SCHEMA:
            raise BundleError(
                f"the manifest has schema version {value.get('schema')!r} and this attnexport reads version {SCHEMA}",
                "use the attnexport that wrote the bundle, or export it again",
            )
        return decode(cls, {k: v for k, v in value.items() if k not in ("format", "schema")}, "")

    def dumps(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def loads(cls, text: str) -> Manifest:
        """Read the text of a ``manifest.json``. Raises BundleError for bad JSON, and as :meth:`from_json` does."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"the manifest is not valid JSON ({error})", "export the bundle again") from error
        return cls.from_json(value)
