"""What keeps Triton's own readiness at no until golden inputs have been answered correctly.

With strict readiness a server is ready when every model is. So one more model is named at the start whose folder has no version
yet: its load fails, and ``/v2/health/ready`` says 400 while everything else can be called. To open the gate it becomes an ensemble
over a model that is served, which needs no process, is loaded, unloaded again, and gone. Seen on Triton 2.51.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...errors import StageError
from .admin import Admin

GATE = "attnexport_gate_"
"""How the names of gates begin."""


class ReadinessGate:
    """Readiness of one server. It starts closed: name :attr:`name` among the models to be loaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._fresh()

    @property
    def name(self) -> str:
        """The model that stands for the gate now; one that was loaded once would fail without any effect."""
        return f"{GATE}{self._count}"

    def open(self, admin: Admin, config: Any) -> None:
        """Let the server be ready; ``config`` is the configuration of a model that is loaded. Raises StageError."""
        self.forgive(admin, self.name, config)

    def forgive(self, admin: Admin, name: str, config: Any) -> None:
        """Let a model whose load failed, and whose folder is gone, stand in the way of readiness no more. Raises StageError."""
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
        """Let the server be not ready any more."""
        self._count += 1
        self._fresh()
        try:
            admin.load(self.name)
        except StageError:
            return  # as it is meant
        raise AssertionError("a model without a version was loaded")

    def _fresh(self) -> None:
        folder = self._folder / self.name
        folder.mkdir()
        (folder / "config.pbtxt").write_text(f'name: "{self.name}"\nbackend: "python"\n', encoding="utf-8")
