"""A bare Triton Python model over ONNX Runtime, as its documentation has it: what ``attnexport serve`` is measured against.

Requests of a group are put together, run once, and taken apart; nothing is looked at.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """``model.onnx`` beside this file, one input and one output."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model."""
        model = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, self.session.get_outputs()[0].name

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a group."""
        arrays = [pb_utils.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        (outputs,) = self.session.run(
            [self.output], {self.input: np.concatenate(arrays) if len(arrays) > 1 else arrays[0]}
        )
        parts = np.split(outputs, np.cumsum([len(array) for array in arrays])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor(self.output, part)]) for part in parts]
