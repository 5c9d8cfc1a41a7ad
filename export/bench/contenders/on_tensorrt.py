"""The bundle's TensorRT engine on the site's stream, with inputs and outputs in GPU memory.

``attnexport.open`` runs an engine with its own copies, buffers and streams; this contender times only the engine. Whether FP32
layers may use TF32 is fixed when the engine is built; attnexport builds engines without TF32.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import AttnexportError, InputError, StageError
from ....runtime.bundle.bundle import StoredBundle
from ....runtime.bundle.sections import EngineRecord
from ....runtime.cuda import cuda_device
from ....runtime.open.engine_fit import Here, check_engine, check_fit
from ....runtime.sessions.trt_library import collector, load_library
from .contender import PRECISIONS, Call, Contender, Feeds, Runner

if TYPE_CHECKING:
    from ..site import Site


class TensorRtRunner(Runner):
    """A loaded engine with one execution context, in its first profile. Raises StageError if TensorRT rejects it."""

    def __init__(self, record: EngineRecord, site: "Site") -> None:
        bundle = StoredBundle.open(site.model.bundle)
        check_engine(bundle, record)
        module = load_library(record.flavour)
        tf32 = "on" if record.detail.get("tf32") else "off"
        self.notes = (f"{record.file} computes in {record.precision}, TF32 {tf32}",)
        self._site, self._name, self._log = site, record.file, collector(module)
        site.cuda.make_current()
        self._runtime: Any = module.Runtime(self._log)
        self._engine: Any = self._runtime.deserialize_cuda_engine(bundle.file(record.file).read_bytes())
        self._execution: Any = None if self._engine is None else self._engine.create_execution_context()
        if self._execution is None:
            raise StageError("tensorrt", f"{record.file} cannot be loaded: {self._log.first()}")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._types = {name: np.dtype(module.nptype(self._engine.get_tensor_dtype(name))) for name in names}
        self._dtypes = {spec.name: spec.numpy_dtype for spec in site.model.outputs}
        self._addresses: list[int] = []

    def call(self, feeds: Feeds) -> Call:
        """Bind inputs and outputs and free the previous call's memory. Raises StageError for shapes outside the profile."""
        self._free()
        context = self._site.cuda
        context.make_current()
        for name, array in feeds.items():
            value = np.ascontiguousarray(array.astype(self._types[name], copy=False))
            if not self._execution.set_input_shape(name, value.shape):
                raise StageError(
                    "tensorrt", f"{self._name} does not take {name!r} of shape {value.shape}: {self._log.first()}"
                )
            context.upload(self._bound(name, value.nbytes), value)
        results: dict[str, tuple[np.ndarray, int]] = {}
        for name in self._types.keys() - feeds.keys():
            array = np.empty(tuple(self._execution.get_tensor_shape(name)), self._types[name])
            results[name] = array, self._bound(name, array.nbytes)
        context.synchronize()

        def run() -> None:
            if not self._execution.execute_async_v3(context.stream):
                raise StageError("tensorrt", f"{self._name} failed: {self._log.first()}")

        def outputs() -> dict[str, np.ndarray]:
            run()
            context.synchronize()
            for array, address in results.values():
                context.download(array, address)
            return {name: results[name][0].astype(dtype) for name, dtype in self._dtypes.items()}

        return Call(run, outputs)

    def close(self) -> None:
        """Free the engine."""
        self._free()
        self._execution = self._engine = self._runtime = None

    def _bound(self, name: str, size: int) -> int:
        address = self._site.cuda.allocate(size)
        self._addresses.append(address)
        self._execution.set_tensor_address(name, address)
        return address

    def _free(self) -> None:
        while self._addresses:
            self._site.cuda.free(self._addresses.pop())


def _record(site: "Site") -> EngineRecord | None:
    return next(iter(StoredBundle.open(site.model.bundle).manifest.engines), None)


def _precision(site: "Site") -> str:
    record = _record(site)
    return "float32" if record is None else PRECISIONS[record.precision]


def _absent(site: "Site") -> str | None:
    if site.device != "cuda":
        return "no GPU found" if cuda_device() is None else "the device is the CPU"
    record, gpu = _record(site), Here.look()
    if record is None:
        return "the bundle has no engine: export it with --trt"
    try:
        if gpu is not None:
            check_fit(site.model.bundle, record, StoredBundle.open(site.model.bundle).manifest.gpu, gpu)
    except AttnexportError as error:
        return f"{error.problem}; {error.remedy}"
    return None


def _open(site: "Site") -> Runner:
    record = _record(site)
    if record is None:
        raise InputError(f"{site.model.bundle} has no engine", "export it with --trt")
    return TensorRtRunner(record, site)


CONTENDER = Contender("tensorrt", "attnexport, TensorRT", _absent, _open, precision=_precision)
