"""A request that one can send by hand: one row of a golden case as a file, and the command that posts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .endpoints import Endpoints
from .verify import CLIENT_ROLES, DeployedModel, as_declared

_MOST = 1 << 20
"""Numbers in a file that is still JSON to look at."""
_NAMES = {"f": "FP", "i": "INT", "u": "UINT", "b": "BOOL"}


def write_example(subject: DeployedModel, endpoints: Endpoints, folder: Path) -> tuple[str, str] | None:
    """The command, and what the answer should say, empty where it is too much to say; None where there is no such request.

    A classifier is asked for its best class, which comes as ``score:number`` with the label where there is one.
    """
    if subject.written.role not in CLIENT_ROLES:
        return None
    case = min(subject.cases, key=lambda one: sum(array.size for array in one.feeds.values()))
    feeds = {
        tensor.name: as_declared(case.feeds[tensor.name], tensor, subject.config) for tensor in subject.config.input
    }
    if subject.config.max_batch_size:
        feeds = {name: array[:1] for name, array in feeds.items()}
    if sum(array.size for array in feeds.values()) > _MOST or not all(_plain(array) for array in feeds.values()):
        return None
    request: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "datatype": _datatype(array.dtype),
                "shape": list(array.shape),
                "data": array.ravel().tolist(),
            }
            for name, array in feeds.items()
        ]
    }
    expected = ""
    outputs = subject.bundle.manifest.outputs
    if subject.bundle.manifest.task == "classification" and subject.config.max_batch_size and len(outputs[0].axes) == 2:
        name = outputs[0].name
        request["outputs"] = [{"name": name, "parameters": {"classification": 1}}]
        expected = f"class {int(case.truth[name][0].argmax())}"
    folder.mkdir(exist_ok=True)
    file = folder / f"{subject.written.name}.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    url = f"{endpoints.to_json()['http']}/v2/models/{subject.written.name}/infer"
    return f"curl -s {url} -d @{file}", expected


def _plain(array: np.ndarray) -> bool:
    """Whether JSON can say it: it has no NaN and no infinity, and Triton takes no FP16 in JSON."""
    return array.dtype != np.float16 and (array.dtype.kind != "f" or bool(np.isfinite(array).all()))


def _datatype(dtype: np.dtype[Any]) -> str:
    kind = _NAMES[dtype.kind]
    return kind if kind == "BOOL" else f"{kind}{8 * dtype.itemsize}"
