"""The three that run a trial: ONNX Runtime's CPU provider, the project's FP64 reference, onnx's reference evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx.reference import ReferenceEvaluator

from attnexport.benchmarks.reference_sweep.trial import Trial
from attnexport.export.reference.onnx_model import OnnxOriginal


def run_onnxruntime(trial: Trial) -> list[Any]:
    """The CPU provider, without optimizations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(trial.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, trial.feeds))


def run_reference(trial: Trial) -> list[Any]:
    """The FP64 reference of .onnx files."""
    return list(OnnxOriginal(trial.model).run(trial.feeds, "float64").values())


def run_onnx_evaluator(trial: Trial) -> list[Any]:
    """onnx's, in the types of the graph."""
    with np.errstate(all="ignore"):
        return list(ReferenceEvaluator(trial.model).run(None, trial.feeds))
