"""The model of a benchmark: a bundle, and its original module if it is known."""

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ...errors import InputError
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.files.read import sha256_of
from ...runtime.spec import TensorSpec

if TYPE_CHECKING:
    import torch

    from ..options import ExportOptions
    from ..progress import Reporter
    from ..source import SourceOptions
    from .options import BenchOptions

MODULE = "module.pt"


@dataclass(frozen=True)
class OriginalModel:
    """How a process loads the original. ``graph``: the ONNX file, if the original is one.

    ``recipe`` is a pickle, so that a process without use for the module does not import PyTorch; None for a module that
    cannot be pickled.
    """

    recipe: bytes | None
    graph: Path | None = None

    @classmethod
    def of_file(cls, path: Path | None, options: "SourceOptions") -> "OriginalModel":
        """The original is a file that the export loads."""
        from ..source.load import find_reader
        from ..source.sniff import ONNX

        is_graph = path is not None and find_reader(path).format is ONNX
        return cls(pickle.dumps((path, options)), path if is_graph else None)

    @classmethod
    def of_module(cls, module: "torch.nn.Module", folder: Path) -> "OriginalModel":
        """The original is a module of this process, written into ``folder`` if its class can be pickled."""
        import torch

        try:
            torch.save(module, folder / MODULE)
        except Exception:  # any error of the user's class
            return cls(None)
        return cls(pickle.dumps((folder / MODULE, tuple(str(Path(found).absolute()) for found in sys.path))))

    def load(self) -> "torch.nn.Module | None":
        """Load the module; None for an ONNX graph. Raises InputError as the export does."""
        if self.recipe is None:
            raise InputError("the module cannot be pickled", "define its class in a module")
        path, options = pickle.loads(self.recipe)
        if isinstance(options, tuple):
            import torch

            # The caller imported its class from one of these. They come last: nothing of attnexport's is found there first.
            sys.path.extend(folder for folder in options if folder not in sys.path)
            module: torch.nn.Module = torch.load(path, weights_only=False)
            return module.eval()
        from ..source import TorchSource, load

        source = load(path, options)
        return source.module if isinstance(source, TorchSource) else None


@dataclass(frozen=True)
class MeasuredModel:
    """A bundle on disk with its original and a folder for temporary files. It can be pickled.

    ``outputs`` excludes attention maps, which the original module does not return. ``missing``: why there is no original.
    """

    name: str
    bundle: Path
    folder: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    original: OriginalModel | None
    missing: str = ""

    def has(self, role: str) -> bool:
        """Return whether the bundle has a file with a role."""
        return bool(StoredBundle.open(self.bundle).with_role(role))

    def file(self, role: str) -> Path:
        """Return the bundle's first file with a role. Raises InputError if it has none."""
        bundle = StoredBundle.open(self.bundle)
        if names := bundle.with_role(role):
            return bundle.file(names[0])
        raise InputError(f"{self.bundle} has no {role.removeprefix('model-')} model", "export it with --precision")


@contextmanager
def measured_model(
    options: "BenchOptions", reporter: "Reporter", module: "torch.nn.Module | None" = None
) -> Iterator[MeasuredModel]:
    """Yield the model of the options; temporary files are removed afterwards.

    A model is exported first, as by ``attnexport MODEL``. ``module``: the original of a bundle. Raises the errors of an
    export, and InputError if the model file is not the bundle's original.
    """
    with TemporaryDirectory(prefix="attnexport-bench-") as name:
        folder = Path(name)
        model = options.model
        if options.bundle is not None:
            yield _of_bundle(options.bundle, model, folder, module)
        elif model is not None:
            from ..pipeline import run

            run(replace(model, out=folder / "model.attn", whole=True), reporter)
            original = OriginalModel.of_file(model.model, model.source)
            yield _of_files(StoredBundle.open(folder / "model.attn"), folder, original)


def _of_bundle(
    path: Path, model: "ExportOptions | None", folder: Path, module: "torch.nn.Module | None"
) -> MeasuredModel:
    bundle = StoredBundle.open(path)
    manifest = bundle.manifest
    if manifest.parts:
        part = next(iter(manifest.parts.values()))
        raise InputError(
            f"{path} is a bundle of several graphs: {', '.join(manifest.parts)}",
            f"measure one of them: attnexport bench {path / part}",
        )
    bundle.verify_files()
    if module is not None:
        return _of_files(bundle, folder, OriginalModel.of_module(module, folder))
    if model is None:
        missing = f"requires the original model: pass --model {manifest.source.file or 'MODEL'}"
        return _of_files(bundle, folder, None, missing)
    _same_model(manifest, model.model, path)
    return _of_files(bundle, folder, OriginalModel.of_file(model.model, model.source))


def _of_files(bundle: StoredBundle, folder: Path, original: OriginalModel | None, missing: str = "") -> MeasuredModel:
    manifest = bundle.manifest
    maps = {record.output for record in manifest.attention}
    outputs = tuple(spec for spec in manifest.outputs if spec.name not in maps)
    return MeasuredModel(manifest.name, bundle.path, folder, manifest.inputs, outputs, original, missing)


def _same_model(manifest: Manifest, path: Path | None, bundle: Path) -> None:
    if path is None:
        return
    if not path.is_file():
        raise InputError(f"model {path} does not exist", "pass the file that the bundle was exported from")
    sha256 = sha256_of(path, follow=True)
    if manifest.source.sha256 and sha256 != manifest.source.sha256:
        raise InputError(
            f"{path} has sha256 {sha256[:12]}…, but {bundle} was exported from {manifest.source.file}, {manifest.source.sha256[:12]}…",
            "pass the file that the bundle was exported from",
        )
