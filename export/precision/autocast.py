"""NVIDIA Model Optimizer's AutoCast in the place of our own cast inserter, with our decisions (``--precision-backend autocast``).

It is an optional package, imported here alone. Its own limits on data and weights are switched off, so that the nodes which
the policy keeps are the only ones that stay FP32, each named by an exact pattern. What it writes into value_info
(dimensions named ``unk``) is dropped and inferred again. It drops the casts that the user wrote, and fails on a Loop that
carries floats: such a model is refused.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from ...errors import InputError, MissingBackendError, StageError, first_line
from ...runtime.sessions.large_model import save_model
from ..quiet import quiet
from .graph import GraphIndex, normalise
from .halves import HalfType

INSTALL = "pip install --no-deps nvidia-modelopt tqdm nvidia-ml-py onnxslim lief"


def autocast(index: GraphIndex, keep: Collection[str], keep_io: bool, half: HalfType) -> ModelProto:
    """A typed model of a normalised one; the nodes of ``keep`` stay FP32.

    Raises MissingBackendError without AutoCast, InputError for a Loop or Scan with float32 state, StageError where it
    fails or makes an invalid model.
    """
    convert = _load()
    _refuse(index)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_model(index.model, path)
        try:
            with quiet():
                typed: ModelProto = convert(
                    str(path),
                    low_precision_type=half.name,
                    nodes_to_exclude=[f"^{re.escape(name)}$" for name in keep],
                    data_max=math.inf,
                    init_max=math.inf,
                    keep_io_types=keep_io,
                )
        except Exception as error:  # whatever the package raises
            raise StageError(
                "precision", f"AutoCast failed: {first_line(error)}", "use --precision-backend own"
            ) from error
    del typed.graph.value_info[:]
    return normalise(typed)


def _load() -> Callable[..., Any]:
    try:
        package: Any = importlib.import_module("modelopt.onnx.autocast")  # no stubs, and not there as a rule
    except ImportError as error:
        raise MissingBackendError(
            f"--precision-backend autocast needs NVIDIA Model Optimizer ({error})", f"install it with: {INSTALL}"
        ) from error
    found: Callable[..., Any] = package.convert_to_mixed_precision
    return found


def _refuse(index: GraphIndex) -> None:
    for node in index.nodes:
        if node.op_type in ("Loop", "Scan") and any(map(index.is_single, node.output)):
            raise InputError(
                f"AutoCast fails on {node.op_type} node {node.name!r}, which carries floats",
                "use --precision-backend own",
            )
