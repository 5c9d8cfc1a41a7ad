"""A bundle in Python: the commands as methods."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BundleError, InputError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.figures import GATE
from ...runtime.bundle.manifest import Manifest
from ...runtime.check.check_rows import CheckResult
from ...runtime.open.select import TORCH, open_bundle
from ...runtime.open.session import BundleSession
from ...runtime.spec import TensorSpec

if TYPE_CHECKING:
    import torch

    from ..bench import BenchReport


class Bundle:
    """A bundle on disk, ``NAME.attn``. Works without torch, except ``bench`` with PyTorch's contenders.

    :func:`attnexport.export` also keeps the original module, for ``open("torch")`` and ``bench``.
    """

    def __init__(self, path: str | Path, *, module: "torch.nn.Module | None" = None) -> None:
        """Read the manifest. Raises BundleError if ``path`` is not a bundle."""
        self.folder = StoredBundle.open(path)
        self.module = module

    @property
    def path(self) -> Path:
        """The directory."""
        return self.folder.path

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.folder.manifest

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs: names, dtypes, and a size or a range for every axis."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, likewise."""
        return self.manifest.outputs

    def open(self, backend: str = "auto", **options: Any) -> BundleSession:
        """Return a session that runs the bundle; arguments as of :func:`attnexport.open`."""
        return open_session(self, backend, **options)

    def verify(self, note: Callable[[str], None] = lambda _: None, *, gate: float = GATE) -> CheckResult:
        """Verify every file with the manifest, and every model with the golden cases (``attnexport check``).

        ``gate``: largest error as a multiple of PyTorch's. A failed gate is a row of the result,
        whose ``passed`` is False; a damaged bundle raises BundleError.
        """
        from ...runtime.check.check import check

        return check(self.path, note, gate=gate)

    def bench(self, **options: Any) -> "BenchReport":
        """Time the bundle beside other ways to run the model (``attnexport bench``); options of :class:`BenchOptions`."""
        from ..bench import BenchOptions, bench

        return bench(BenchOptions(bundle=self.path, **options), module=self.module)

    def rebuild(self, **options: Any) -> "Bundle":
        """Rebuild the engines for this machine, in place (``attnexport rebuild``); options of :func:`rebuild`."""
        from ..rebuild import rebuild

        return Bundle(rebuild(self.path, **options).bundle, module=self.module)

    def report(self, out: str | Path | None = None, bench: "BenchReport | None" = None) -> Path:
        """Return the path of the bundle's report.html. With ``out``, write the page there, with the results of ``bench``.

        Raises BundleError if the bundle has no report, and InputError if ``out`` cannot be written.
        """
        if out is not None or bench is not None:
            from ..report.page import write_page

            return write_page(self.folder, Path(out or f"{self.manifest.name}.html"), bench)
        pages = self.folder.with_role("report")
        if not pages:
            raise BundleError(f"{self.path} holds no report", "write one: bundle.report(out='report.html')")
        return self.folder.file(pages[0])

    def __repr__(self) -> str:
        takes = ", ".join(spec.describe() for spec in self.inputs)
        return f"<bundle {self.path}: {takes} -> {', '.join(spec.name for spec in self.outputs)}>"


def open_session(
    path: str | Path | StoredBundle | Bundle,
    backend: str = "auto",
    *,
    precision: str | None = None,
    threads: int | None = None,
    cuda_graph: bool = False,
    strict: bool = False,
    rebuild: bool = False,
    model: "torch.nn.Module | str | Path | None" = None,
) -> BundleSession:
    """Open a bundle to run it; see :func:`attnexport.runtime.open.select.open_bundle` for the backends.

    ``rebuild`` rebuilds an engine that was built for another machine, and opens it. ``backend="torch"`` runs the original
    in PyTorch: ``model`` is the module, or the file that the bundle was exported from.
    """
    handle = path if isinstance(path, Bundle) else Bundle(path.path if isinstance(path, StoredBundle) else path)
    if backend == TORCH:
        from .torch_session import open_torch

        return open_torch(handle.folder, handle.module if model is None else model)
    if model is not None:
        raise InputError(f"a model is given with backend {backend!r}", "leave it out, or use backend='torch'")
    options: dict[str, Any] = {
        "precision": precision, "threads": threads, "cuda_graph": cuda_graph, "strict": strict,
    }  # fmt: skip
    if rebuild:
        from ..rebuild import open_rebuilt

        return open_rebuilt(handle.path, backend, options)
    return open_bundle(handle.folder, backend, **options)
