"""A request to try: one row of a golden case as a JSON file, and the curl command that posts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .client import type_name
from .options import Endpoints
from .verify import CLIENT_ROLES, DeployedModel, as_declared

_MOST = 1 << 20
"""The most numbers in the JSON file."""


def write_example(model: DeployedModel, endpoints: Endpoints, folder: Path) -> tuple[str, str] | None:
    """Return the command and the expected answer (empty unless it is a class); None if the inputs do not fit in JSON.

    The request to a classifier asks for the best class, which Triton answers as ``score:number``,
    with a label if it has one.
    """
    if model.written.role not in CLIENT_ROLES:
        return None
    case = min(model.cases, key=lambda case: sum(array.size for array in case.feeds.values()))
    feeds = {tensor.name: as_declared(case.feeds[tensor.name], tensor, model.config) for tensor in model.config.input}
    if model.config.max_batch_size:
        feeds = {name: array[:1] for name, array in feeds.items()}
    if sum(array.size for array in feeds.values()) > _MOST or not all(_plain(array) for array in feeds.values()):
        return None
    request: dict[str, Any] = {
        "inputs": [
            {"name": name, "datatype": type_name(array), "shape": list(array.shape), "data": array.ravel().tolist()}
            for name, array in feeds.items()
        ]
    }
    expected = ""
    outputs = model.bundle.manifest.outputs
    if model.bundle.manifest.task == "classification" and model.config.max_batch_size and len(outputs[0].axes) == 2:
        name = outputs[0].name
        request["outputs"] = [{"name": name, "parameters": {"classification": 1}}]
        expected = f"class {int(case.reference[name][0].argmax())}"
    folder.mkdir(exist_ok=True)
    file = folder / f"{model.written.name}.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    url = f"{endpoints.to_json()['http']}/v2/models/{model.written.name}/infer"
    return f"curl -s {url} -d @{file}", expected


def _plain(array: np.ndarray) -> bool:
    """Whether JSON can hold the array: JSON has no NaN and no infinity, and Triton does not read FP16 from JSON."""
    return array.dtype != np.float16 and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))
