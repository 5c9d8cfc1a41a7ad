"""What is measured: a bundle, and where it is known the original module that it was made of."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ...errors import InputError
from ...runtime.bundle.bundle import StoredBundle, sha256_of
from ...runtime.bundle.manifest import Manifest
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
    """How the original module is made anew, in this process or another. ``graph``: the ONNX file, where the original is one.

    ``recipe`` is a pickle, so that a process which does not need the module does not import PyTorch to be told of it; None
    for a module that cannot be handed to another process.
    """

    recipe: bytes | None
    graph: Path | None = None

    @classmethod
    def of_file(cls, path: Path | None, options: SourceOptions) -> OriginalModel:
        """A model as the export loads it."""
        from ..source.load import find_reader
        from ..source.sniff import ONNX

        is_graph = path is not None and find_reader(path).format is ONNX
        return cls(pickle.dumps((path, options)), path if is_graph else None)

    @classmethod
    def of_module(cls, module: torch.nn.Module, folder: Path) -> OriginalModel:
        """A module at hand, written into ``folder`` where its class allows that."""
        import torch

        try:
            torch.save(module, folder / MODULE)
        except Exception:  # whatever a class of the user's does when it is pickled
            return cls(None)
        return cls(pickle.dumps((folder / MODULE, None)))

    def load(self) -> torch.nn.Module | None:
        """The module; None where the original is an ONNX graph. Raises InputError as the export does."""
        if self.recipe is None:
            raise InputError("the module cannot be pickled", "define its class in a module")
        path, options = pickle.loads(self.recipe)
        if options is None:
            import torch

            module: torch.nn.Module = torch.load(path, weights_only=False)
            return module.eval()
        from ..source import TorchSource, load

        source = load(path, options)
        return source.module if isinstance(source, TorchSource) else None


@dataclass(frozen=True)
class MeasuredModel:
    """A bundle on disk with its original and a folder to write into. It can be handed to another process.

    ``outputs`` leaves attention maps out, which the original module does not give. ``missing`` says why there is no original.
    """

    name: str
    bundle: Path
    folder: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    original: OriginalModel | None
    missing: str = ""

    def file(self, role: str) -> Path | None:
        """The bundle's first file of a role; None where it has none."""
        bundle = StoredBundle.open(self.bundle)
        names = bundle.with_role(role)
        return bundle.file(names[0]) if names else None


@contextmanager
def measured_model(
    options: BenchOptions, reporter: Reporter, module: torch.nn.Module | None = None
) -> Iterator[MeasuredModel]:
    """What the options name, ready to be measured; what had to be made for it is gone afterwards.

    A model is exported first, as ``attnexport MODEL`` does it. ``module``: the original of a bundle, at hand. Raises what
    the export raises, and InputError where the original given is not the bundle's.
    """
    with TemporaryDirectory(prefix="attnexport-bench-") as name:
        folder = Path(name)
        model = options.model
        if options.bundle is not None:
            yield _of_bundle(options.bundle, model, folder, module)
        elif model is not None:
            from ..pipeline import run

            run(replace(model, out=folder / "model.attn", whole=True), reporter)
            yield _of_files(
                StoredBundle.open(folder / "model.attn"), folder, OriginalModel.of_file(model.model, model.source)
            )


def _of_bundle(path: Path, model: ExportOptions | None, folder: Path, module: torch.nn.Module | None) -> MeasuredModel:
    bundle = StoredBundle.open(path)
    manifest = bundle.manifest
    if manifest.parts:
        part = next(iter(manifest.parts.values()))
        raise InputError(
            f"{path} is a bundle of several graphs: {', '.join(manifest.parts)}",
            f"measure one, as attnexport bench {path / part}",
        )
    bundle.verify_files()
    if module is not None:
        return _of_files(bundle, folder, OriginalModel.of_module(module, folder))
    if model is not None:
        _same_model(manifest, model.model, path)
        return _of_files(bundle, folder, OriginalModel.of_file(model.model, model.source))
    return _of_files(
        bundle, folder, None, f"it needs the original model: add --model {manifest.source.file or 'MODEL'}"
    )


def _of_files(bundle: StoredBundle, folder: Path, original: OriginalModel | None, missing: str = "") -> MeasuredModel:
    manifest = bundle.manifest
    maps = {record.output for record in manifest.attention}
    outputs = tuple(spec for spec in manifest.outputs if spec.name not in maps)
    return MeasuredModel(manifest.name, bundle.path, folder, manifest.inputs, outputs, original, missing)


def _same_model(manifest: Manifest, path: Path | None, bundle: Path) -> None:
    if path is None:
        return
    if not path.is_file():
        raise InputError(f"model {path} does not exist", "give the file that the bundle was made of")
    found = sha256_of(path)
    if manifest.source.sha256 and found != manifest.source.sha256:
        raise InputError(
            f"{path} has sha256 {found[:12]}…, and {bundle} was made of {manifest.source.file}, {manifest.source.sha256[:12]}…",
            "give the file that the bundle was made of",
        )
