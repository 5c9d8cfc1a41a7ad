"""Our inserter of casts beside NVIDIA's AutoCast, on the digits networks: casts, emulated error, CPU seconds.

    python -m attnexport.benchmarks.casts             AutoCast's columns are there where it is installed

Error: rms of the logits of 64 samples under emulation against the FP32 model, relative to the logits' rms.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx

from attnexport.errors import MissingBackendError
from attnexport.export.precision import Backend, HalfName, convert
from attnexport.export.progress import Silent
from attnexport.export.source import SourceOptions, load
from attnexport.export.stages.entry import enter
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.sessions import Session
from attnexport.runtime.sessions.emulated import EmulatedSession
from attnexport.runtime.sessions.ort import OrtSession

EXAMPLES = Path(__file__).parents[1] / "examples"
BATCH, COUNT = 16, 64
HALVES: tuple[HalfName, ...] = ("fp16", "bf16")
BACKENDS: tuple[Backend, ...] = ("own", "autocast")


def model_of(name: str) -> onnx.ModelProto:
    """The FP32 model of a digits network, in the forms that a GPU wants."""
    source = load(EXAMPLES / f"{name}.pt", SourceOptions())
    entered = enter(source, (), 0, Silent())
    plan = Plan("ort-cuda", None)
    return lower_for(find_windows(entered.captured.model), plan, entered.inputs, False, Silent())[0].model


def logits(session: Session, x: np.ndarray) -> np.ndarray:
    """Of all samples, in batches."""
    return np.concatenate([session.run({"x": x[i : i + BATCH]})["logits"] for i in range(0, len(x), BATCH)])


def main() -> None:
    """Print a line per network, type, set of decisions and inserter."""
    x = np.load(EXAMPLES / "digits_samples.npz")["x"][:COUNT].astype(np.float32)
    for name in ("digits_stn_cbam", "digits_sasa", "digits_lrnet"):
        model = model_of(name)
        truth = logits(OrtSession(model.SerializeToString()), x)
        for half in HALVES:
            for kept in ("by rules", "nothing kept"):
                for backend in BACKENDS:
                    started = time.process_time()
                    try:
                        made = convert(
                            model, precision=half, backend=backend, decisions=None if kept == "by rules" else ()
                        )
                    except MissingBackendError as error:
                        print(f"{name} {half} {backend}: {error.problem}")
                        continue
                    seconds = time.process_time() - started
                    got = logits(EmulatedSession(made.model.SerializeToString()), x)
                    error_of = np.sqrt(np.mean((got - truth) ** 2) / np.mean(truth**2))
                    print(
                        f"{name} {half} {kept}, {backend}: {made.counts.casts} casts, error {error_of:.2e}, {seconds:.2f} CPU s"
                    )


if __name__ == "__main__":
    main()
