"""Whether an engine is its bundle's and fits this machine, asked before TensorRT loads the plan: its message does not help.

The builder writes the network's name into the plan, so a plan names its model without a GPU or
TensorRT; the manifest has the model's hash, too:

    attnexport model sha256:<64 hex digits>

A plan runs with the library that built it: the same flavour, and the same version up to the patch.
An enterprise plan runs on the compute capability that it was built on; an RTX plan on those that it
was built for, or on all that the library lists except Turing.
"""

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import BundleError, ForeignEngineError, MissingBackendError
from ..bundle.bundle import StoredBundle
from ..bundle.codec import decode
from ..bundle.sections import EngineRecord, Gpu
from ..cuda import cuda_device
from ..sessions.trt_library import MODULES, load_library, portable, supports

_WORDS = "attnexport model sha256:"
_TAG = re.compile(re.escape(_WORDS.encode()) + rb"([0-9a-f]{64})")
_HEAD = 1 << 20
"""Bytes of a plan that are searched for the network's name; TensorRT-RTX 1.7 has it at byte 564."""

_PLAN_HEAD = struct.Struct("<4s12xQ")
_RTX_MAGIC = b"vtrt"
"""A plan of TensorRT-RTX 1.7 begins with these bytes; behind twelve others it has its size in bytes."""
_OTHER_FORM = re.compile(r"1\.[0-6]\.")
"""Versions whose plans have not been looked at."""


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


def check_form(bundle: StoredBundle, record: EngineRecord) -> None:
    """Raise BundleError for a file that is not a plan of TensorRT-RTX, or not a whole one.

    Other plans have no documented form: only the library, with a GPU, can read them.
    """
    if record.flavour != "rtx" or _OTHER_FORM.match(record.version):
        return
    path = bundle.file(record.file)
    with path.open("rb") as stream:
        head = stream.read(_PLAN_HEAD.size)
    magic, size = _PLAN_HEAD.unpack(head) if len(head) == _PLAN_HEAD.size else (b"", 0)
    if magic != _RTX_MAGIC:
        raise BundleError(f"engine {record.file!r} of {bundle.path} is not a plan of TensorRT-RTX", "export again")
    if size != path.stat().st_size:
        raise BundleError(
            f"engine {record.file!r} of {bundle.path} has {path.stat().st_size} bytes, and its plan {size}",
            "export again",
        )


def check_engine(bundle: StoredBundle, record: EngineRecord) -> None:
    """Compare an engine with the bundle's model. Raise BundleError if its record or its plan names another model."""
    if not record.model:
        return
    model = bundle.manifest.files.get(record.model)
    if model is None:
        raise BundleError(f"engine {record.file!r} was built from {record.model!r}, which {bundle.path} does not have")
    for who, sha256 in (("", record.model_sha256), ("the plan of ", built_from(bundle.file(record.file)))):
        if sha256 is not None and sha256 != model.sha256:
            raise BundleError(
                f"{who}engine {record.file!r} was built from another model than {record.model!r} of {bundle.path}: "
                f"from sha256 {sha256[:12]}…, and the bundle has {model.sha256[:12]}…",
                "build the engine from this bundle's model: export again",
            )


TITLES = {"enterprise": "TensorRT", "rtx": "TensorRT-RTX"}
_CURRENT = "current"
"""The GPU of the machine that built the engine; the record has its name."""


@dataclass(frozen=True)
class Here:
    """The GPU of this machine, ``(name, compute capability)``, and the version of each TensorRT that loads, by flavour.

    ``runs_here``: whether a flavour supports the GPU.
    """

    gpu: tuple[str, str]
    versions: Mapping[str, str]
    runs_here: Mapping[str, bool]

    @classmethod
    def look(cls) -> "Here | None":
        """The GPU and TensorRT of this machine; None without a GPU. Installed TensorRT libraries are loaded."""
        gpu = cuda_device()
        if gpu is None:
            return None
        versions, runs = {}, {}
        for flavour in MODULES:
            try:
                module = load_library(flavour)
            except MissingBackendError:
                continue
            versions[flavour], runs[flavour] = str(module.__version__), supports(module, gpu[1])
        return cls(gpu, versions, runs)

    def describe(self) -> str:
        """``TensorRT 10.13.3.9 and NVIDIA L4, compute capability 8.9``."""
        libraries = [f"{TITLES[flavour]} {version}" for flavour, version in self.versions.items()] or ["no TensorRT"]
        return f"{' and '.join(libraries)} on {self.gpu[0]}, compute capability {self.gpu[1]}"


def made_for(record: EngineRecord, beside: Gpu | None) -> str:
    """``TensorRT-RTX 1.7.1.116 and compute capability 8.6, 8.9``; ``beside`` is the GPU of the export."""
    capabilities, name = _capabilities(record, beside)
    library = f"{TITLES.get(record.flavour, record.flavour)} {record.version}"
    if not capabilities:
        return f"{library} and any GPU that it knows"
    return f"{library} and {f'{name}, ' if name else ''}compute capability {', '.join(capabilities)}"


def check_fit(bundle: Path, record: EngineRecord, beside: Gpu | None, here: Here) -> None:
    """Compare an engine with this machine; ``bundle`` is its path, for the command that rebuilds the engine.

    Raise ForeignEngineError for an engine of another GPU, version or flavour, MissingBackendError
    without TensorRT.
    """
    if not here.versions:
        load_library(record.flavour)  # says what to install
    why = _difference(record, beside, here)
    if why is None:
        return
    able = [flavour for flavour in here.versions if here.runs_here[flavour]]
    wish = f" --trt={able[0]}" if able and record.flavour not in able else ""
    remedy = f"rebuild it from the bundle's own model: attnexport rebuild {bundle}{wish}"
    if not able:
        remedy = "install enterprise TensorRT for this GPU, pip install 'attnexport[trt]', then attnexport rebuild"
    raise ForeignEngineError(
        f"engine {record.file!r} was made for {made_for(record, beside)}; here is {here.describe()}: {why}", remedy
    )


def _difference(record: EngineRecord, beside: Gpu | None, here: Here) -> str | None:
    title = TITLES.get(record.flavour, record.flavour)
    if record.flavour not in here.versions:
        return f"another flavour, {title} is not installed"
    version = here.versions[record.flavour]
    if version.split(".")[:3] != record.version.split(".")[:3]:
        return "another version"
    if not here.runs_here[record.flavour]:
        return f"{title} does not run on this GPU"
    capabilities, _ = _capabilities(record, beside)
    if capabilities and here.gpu[1] not in capabilities:
        return "another GPU"
    if not capabilities and record.flavour == "rtx" and not portable(here.gpu[1]):
        return f"a plan for any GPU leaves compute capability {here.gpu[1]} out"
    return None


def _capabilities(record: EngineRecord, beside: Gpu | None) -> tuple[list[str], str]:
    """The compute capabilities of the plan, empty for all of its library; and the name of its GPU if it was built for one."""
    capabilities = [part for part in (record.compute_capability or "").split(", ") if part]
    if capabilities and capabilities != [_CURRENT]:
        return capabilities, ""
    if capabilities == [_CURRENT] or record.flavour == "enterprise":
        recorded = record.detail.get("gpu")
        gpu = decode(Gpu, recorded, "engines.detail.gpu") if recorded is not None else beside
        return ([gpu.compute_capability], gpu.name) if gpu is not None else ([], "")
    return [], ""
