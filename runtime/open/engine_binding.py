"""The binding of an engine to its model: by the model's hash in the manifest, and inside the plan itself.

The builder writes the network's name into the plan, so a plan names its model without a GPU or
TensorRT:

    attnexport model sha256:<64 hex digits>
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from ...errors import BundleError
from ..bundle.bundle import StoredBundle
from ..bundle.sections import EngineRecord

_WORDS = "attnexport model sha256:"
_TAG = re.compile(re.escape(_WORDS.encode()) + rb"([0-9a-f]{64})")
_HEAD = 1 << 20
"""Bytes of a plan that are searched for the network's name; TensorRT-RTX 1.7 has it at byte 564."""


def network_name(model_sha256: str) -> str:
    """The name for a network that is parsed from the model with this hash."""
    return f"{_WORDS}{model_sha256}"


def built_from(plan: Path) -> str | None:
    """The hash of the model that a plan was built from; None if the plan has none."""
    if not plan.stat().st_size:
        return None
    with plan.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        match = _TAG.search(content[:_HEAD])
    return match[1].decode() if match is not None else None


def check_engine(bundle: StoredBundle, record: EngineRecord) -> None:
    """Compare an engine with the bundle's model. Raise BundleError if its record or its plan names another model."""
    if not record.model:
        return
    model = bundle.manifest.files.get(record.model)
    if model is None:
        raise BundleError(
            f"engine {record.file!r} was built from {record.model!r}, which {bundle.path} does not have",
            "export the bundle again",
        )
    for who, sha256 in (("", record.model_sha256), ("the plan of ", built_from(bundle.file(record.file)))):
        if sha256 is not None and sha256 != model.sha256:
            raise BundleError(
                f"{who}engine {record.file!r} was built from another model than {record.model!r} of {bundle.path}: "
                f"from sha256 {sha256[:12]}…, and the bundle has {model.sha256[:12]}…",
                "build the engine from this bundle's model: export again",
            )
