"""The export without attnexport: torch.onnx.export(dynamo=True) with its defaults, or the original ONNX file, on ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import StageError, first_line
from .contender import Call, Contender, Feeds, Runner
from .on_ort import open_graph, provider_absent

if TYPE_CHECKING:
    from ..site import Site

FILE = "plain.onnx"


class FixedRunner(Runner):
    """One export for the sizes of each call, for a model whose dynamic axes torch.onnx cannot keep."""

    notes = ("torch.onnx fixes the dynamic axes: exported separately for each size",)

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._open: list[Runner] = []

    def call(self, feeds: Feeds) -> Call:
        """Export for these sizes, once, and open the export."""
        path = _fixed(self._site, feeds)
        if not path.exists():
            _export(self._site, path, feeds, dynamic=False)
        self.close()
        self._open.append(open_graph(path, self._site))
        return self._open[-1].call(feeds)

    def close(self) -> None:
        """Free the session."""
        while self._open:
            self._open.pop().close()


def _absent(site: "Site") -> str | None:
    if site.model.original is None:
        return site.model.missing
    return provider_absent(site)


def _fixed(site: "Site", feeds: Feeds) -> Path:
    sizes = "-".join("x".join(map(str, array.shape)) for array in feeds.values())
    return site.model.folder / f"plain-{sizes}.onnx"


def _prepare(site: "Site", points: Sequence[Feeds]) -> None:
    """Export with dynamic axes; if torch.onnx cannot, export once for the sizes of each point."""
    from ....runtime.inputs.feeds import random_feeds
    from ...capture.tracing.trace import trace_sizes

    original = site.model.original
    if original is None or original.graph is not None:
        return
    inputs = site.model.inputs
    try:
        _export(site, site.model.folder / FILE, random_feeds(inputs, trace_sizes(inputs)), dynamic=True)
    except StageError:
        for feeds in points:
            _export(site, _fixed(site, feeds), feeds, dynamic=False)


def _export(site: "Site", path: Path, feeds: Feeds, *, dynamic: bool) -> None:
    """Export the module. Raises StageError with the message of torch.onnx."""
    import torch

    from ...forward.call import arrange, by_argument
    from ...quiet import quiet

    inputs = site.model.inputs
    names = [spec.name for spec in inputs]
    module = site.module.cpu()
    shapes: Any = None
    if dynamic and any(axis.dynamic for spec in inputs for axis in spec.axes):
        axis_type = torch.export.Dim.DYNAMIC
        marks = [{i: axis_type for i, axis in enumerate(spec.axes) if axis.dynamic} for spec in inputs]
        script = isinstance(module, torch.jit.ScriptModule)  # has no signature
        shapes = tuple(marks) if script else by_argument(module, names, marks)
    args, kwargs = arrange(module, names, [torch.tensor(feeds[name]) for name in names])
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                module, args, path, kwargs=kwargs, dynamo=True, verbose=False, dynamic_shapes=shapes,
                input_names=names, output_names=[spec.name for spec in site.model.outputs],
            )  # fmt: skip
    except Exception as error:  # any error is the result that a user would see
        raise StageError("plain export", f"torch.onnx.export fails: {first_line(_cause(error))}") from error
    finally:
        site.module.to(site.device)


def _cause(error: BaseException) -> BaseException:
    """Return the first cause; the error of torch.onnx mostly names the place to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _open(site: "Site") -> Runner:
    original = site.model.original
    if original is not None and original.graph is not None:
        runner = open_graph(original.graph, site)
        runner.notes += ("the original ONNX file",)
        return runner
    path = site.model.folder / FILE
    return open_graph(path, site) if path.exists() else FixedRunner(site)


CONTENDER = Contender("plain", "plain torch.onnx, ONNX Runtime", _absent, _open, _prepare)
