"""The bundle's TensorRT engine, its inputs and outputs in the GPU's memory, computing on the site's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import InputError, StageError
from ....runtime.bundle import Bundle
from ....runtime.sections import EngineRecord
from .contender import Call, Contender, Feeds, Runner

if TYPE_CHECKING:
    from ..site import Site


def engine_record(site: Site) -> EngineRecord | None:
    """The bundle's first engine; None where it has none."""
    return next(iter(Bundle.open(site.subject.bundle).manifest.engines), None)


class TensorRtRunner:
    """A loaded engine with one execution context. Raises StageError where TensorRT refuses it."""

    notes: tuple[str, ...] = ()

    def __init__(self, record: EngineRecord, site: Site) -> None:
        from ....runtime.sessions.tensorrt import TensorRTSession

        bundle = Bundle.open(site.subject.bundle)
        self._session = TensorRTSession(bundle.file(record.file), record.flavour)
        self._site = site

    def call(self, feeds: Feeds) -> Call:
        """Bind inputs and outputs."""
        raise StageError("tensorrt", "not bound")

    def close(self) -> None:
        """Free the engine."""
        self._session.close()


def _absent(site: Site) -> str | None:
    if site.device != "cuda":
        return "there is no GPU here" if site.device == "cpu" else None
    if engine_record(site) is None:
        return "the bundle has no engine: export it with --trt"
    return None


def _open(site: Site) -> Runner:
    record = engine_record(site)
    if record is None:
        raise InputError(f"{site.subject.bundle} has no engine", "export it with --trt")
    return TensorRtRunner(record, site)


CONTENDER = Contender("tensorrt", "attnexport, TensorRT", _absent, _open)
