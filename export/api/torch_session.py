"""The original module as a session: eager PyTorch, on the GPU if there is one."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import BundleError, InputError, StageError, first_line
from ...runtime.bundle.bundle import StoredBundle
from ...runtime.closing import Closing
from ...runtime.files.read import sha256_of
from ...runtime.open.session import BundleSession, SessionInfo
from ...runtime.sessions.dlpack import host_array
from ..forward.call import call
from ..forward.outputs import flatten
from ..source import SourceOptions, TorchSource, load
from ..source.settle import settle


class TorchSession(Closing):
    """A module in eval mode, without gradients. ``inputs`` and ``outputs`` name its tensors, as those of its bundle do.

    The module is not changed: one that trains, or lies elsewhere, is copied. ``device``: as torch names it, by default the GPU
    where one is.
    """

    def __init__(
        self, module: torch.nn.Module, inputs: Sequence[str], outputs: Sequence[str], device: str | None = None
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.input_names, self.output_names = tuple(inputs), tuple(outputs)
        self._module: torch.nn.Module | None = _ready(module).to(self.device)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Outputs by name. Raises InputError for wrong inputs, StageError where the module fails or gives other outputs."""
        if self._module is None:
            raise RuntimeError("the session is closed")
        if set(feeds) != set(self.input_names):
            raise InputError(f"the module takes {', '.join(self.input_names)}, not {', '.join(feeds) or 'nothing'}")
        values = [self._tensor(name, feeds[name]) for name in self.input_names]
        try:
            with torch.inference_mode():
                tensors = flatten(call(self._module, self.input_names, values))
        except Exception as error:  # whatever forward raises
            raise StageError("torch", f"the module fails: {first_line(error)}") from error
        if len(tensors) != len(self.output_names):
            raise StageError(
                "torch", f"the module gives {len(tensors)} tensors, and {len(self.output_names)} are named"
            )
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.output_names, tensors, strict=True)}

    def close(self) -> None:
        """Free the module."""
        self._module = None

    def _tensor(self, name: str, value: Any) -> torch.Tensor:
        if isinstance(value, torch.Tensor):
            return value.detach().to(self.device)
        array = host_array(name, value)
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device)


def open_torch(bundle: StoredBundle, model: torch.nn.Module | str | Path | None) -> BundleSession:
    """Open a bundle's original: ``model``, which is a module or the file that was exported.

    Raises InputError without one, and BundleError for a file that is not the one that was exported.
    """
    manifest = bundle.manifest
    if manifest.parts:
        raise InputError(
            f"{bundle.path} holds encoder and step, and its original is not a single graph", "run it in PyTorch"
        )
    if model is None:
        what = manifest.source.file or manifest.source.arch or manifest.name
        raise InputError(
            f"{bundle.path} holds no PyTorch module", f"give what it was exported from: model='{what}', or the module"
        )
    module = model if isinstance(model, torch.nn.Module) else _loaded(bundle, Path(model))
    names = [spec.name for spec in manifest.inputs]
    attention = {record.output for record in manifest.attention}
    outputs = [spec for spec in manifest.outputs if spec.name not in attention]
    session = TorchSession(module, names, [spec.name for spec in outputs])
    note = f"attention maps are outputs of the bundle, not of its original: {', '.join(attention)}"
    info = SessionInfo(
        backend="torch", file=manifest.source.file or manifest.name, how=f"torch {torch.__version__}, {session.device.type}",
        notes=(note,) if attention else (), takes_devices=session.device.type != "cpu",
    )  # fmt: skip
    return BundleSession(session, manifest.inputs, tuple(outputs), info)


def _loaded(bundle: StoredBundle, path: Path) -> torch.nn.Module:
    source = bundle.manifest.source
    if not path.is_file():
        raise InputError(f"model {path} does not exist", "give the file that the bundle was exported from")
    if source.sha256 and sha256_of(path, follow=True) != source.sha256:
        raise BundleError(
            f"{path} is not the file that {bundle.path} was exported from (sha256 {source.sha256[:12]}…)",
            f"give {source.file or 'that file'}",
        )
    own = source.kind in ("checkpoint", "onnx", "exported_program", "torchscript")
    loaded = load(path, SourceOptions(arch=None if own else source.arch))
    if not isinstance(loaded, TorchSource):
        raise InputError(f"{path} is an ONNX graph, not a PyTorch module", "open it with backend='ort-cpu'")
    return loaded.module


def _ready(module: torch.nn.Module) -> torch.nn.Module:
    """The module itself where nothing has to change, else a settled copy."""
    tensors = [*module.parameters(), *module.buffers()]
    plain = all(t.device.type == "cpu" and (t.dtype is torch.float32 or not t.is_floating_point()) for t in tensors)
    if plain and not torch.cuda.is_available() and not any(part.training for part in module.modules()):
        return module
    own = copy.deepcopy(module)
    settle(own, fresh=True)
    return own
