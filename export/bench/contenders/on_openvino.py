"""The bundle's FP32 model on OpenVINO's CPU plugin, compiled separately for each set of sizes."""

from typing import TYPE_CHECKING, Any

from ....errors import StageError, first_line
from .contender import Call, Contender, Feeds, Runner, installed

if TYPE_CHECKING:
    from ..site import Site


class OpenVinoRunner(Runner):
    """The model; each call compiles it for its sizes, in FP32 (the default of some processors is BF16)."""

    def __init__(self, site: "Site") -> None:
        import openvino

        self._core: Any = openvino.Core()
        self._path = site.model.file("model-fp32")
        self._config = {
            "INFERENCE_NUM_THREADS": site.threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
        }  # fmt: skip
        self._names = [spec.name for spec in site.model.outputs]

    def call(self, feeds: Feeds) -> Call:
        """Compile and bind. Raises StageError with OpenVINO's message for an unsupported operator."""
        try:
            model = self._core.read_model(str(self._path))
            model.reshape({name: list(array.shape) for name, array in feeds.items()})
            compiled = self._core.compile_model(model, "CPU", self._config)
        except RuntimeError as error:
            raise StageError("openvino", first_line(error)) from error
        request, inputs = compiled.create_infer_request(), dict(feeds)
        ports = {name: compiled.output(name) for name in self._names}

        def run() -> Any:
            return request.infer(inputs, share_inputs=True, share_outputs=True)

        def outputs() -> dict[str, Any]:
            result = run()
            return {name: result[port].copy() for name, port in ports.items()}

        return Call(run, outputs)

    def close(self) -> None:
        """Free the model."""
        self._core = None


def _absent(site: "Site") -> str | None:
    if site.device != "cpu":
        return "OpenVINO does not run on NVIDIA GPUs"
    return installed("openvino", "pip install openvino")


CONTENDER = Contender("openvino", "attnexport, OpenVINO", _absent, OpenVinoRunner)
