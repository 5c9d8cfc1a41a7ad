"""The readiness gate: Triton reports "not ready" until the golden inputs are answered correctly.

With strict readiness a server is ready when every model is. So the server is started with one more
model, whose folder has no version: its load fails, and ``/v2/health/ready`` answers 400 while all
other calls work. To open the gate, the model becomes an ensemble over a served model, which needs
no process, is loaded and unloaded again. Verified with Triton 2.51.
"""

import shutil
from pathlib import Path
from typing import Any

from ...errors import StageError
from .client import Admin

GATE = "attnexport_gate_"
"""The prefix of the names of gate models."""


class ReadinessGate:
    """The readiness of one server. It starts closed; load the model :attr:`name` at the start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._fresh()

    @property
    def name(self) -> str:
        """The current gate model. Each closing needs a new name: a model that was loaded once fails without any effect."""
        return f"{GATE}{self._count}"

    def open(self, admin: Admin, config: Any) -> None:
        """Make the server ready; ``config`` is the configuration of a loaded model. Raise StageError if Triton refuses."""
        self.forgive(admin, self.name, config)

    def forgive(self, admin: Admin, name: str, config: Any) -> None:
        """Remove a model from Triton's readiness whose load failed and whose folder is gone. Raise StageError if Triton refuses."""
        from ..triton.config import schema, to_text

        gate = schema().ModelConfig(name=name, platform="ensemble", max_batch_size=config.max_batch_size)
        step = gate.ensemble_scheduling.step.add(model_name=config.name, model_version=-1)
        for into, tensors, maps in (
            (gate.input, config.input, step.input_map),
            (gate.output, config.output, step.output_map),
        ):
            for tensor in tensors:
                into.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
                maps[tensor.name] = tensor.name
        folder = self._folder / name
        (folder / "1").mkdir(parents=True, exist_ok=True)
        (folder / "config.pbtxt").write_text(to_text(gate), encoding="utf-8")
        admin.load(name)
        admin.unload(name)
        shutil.rmtree(folder)

    def close(self, admin: Admin) -> None:
        """Make the server not ready."""
        self._count += 1
        self._fresh()
        try:
            admin.load(self.name)
        except StageError:
            return  # as intended
        raise AssertionError("a model without a version was loaded")

    def _fresh(self) -> None:
        folder = self._folder / self.name
        folder.mkdir()
        (folder / "config.pbtxt").write_text(f'name: "{self.name}"\nbackend: "python"\n', encoding="utf-8")
