"""What ``attnexport.open`` adds to a bare ``InferenceSession.run`` on one input: both timed in turns, run by run.

    python benchmarks/sessions.py examples/digits_stn_cbam.pt examples/digits_sasa.pt [--json FILE]

The bar: at most 3 % and at most 50 us, at batch 1. Each round runs either one once, in an order that alternates, so that a
disturbance hits both alike; what is added is the median of the differences of the pairs, with a bootstrap interval. Both run the
same InferenceSession: two of one model differ by a percent already, by where their weights lie.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import attnexport
from attnexport.runtime.inputs.feeds import random_feeds
from attnexport.runtime.sessions.ort import OrtSession

SHARE, MICROSECONDS = 0.03, 50.0
THREADS = 1


@dataclass(frozen=True)
class Overhead:
    """Microseconds, medians: of the bare run, of ours, of what ours adds, and the interval of that (95 %)."""

    model: str
    bare: float
    ours: float
    added: float
    interval: tuple[float, float]
    rounds: int

    @property
    def held(self) -> bool:
        """Whether the bar is held."""
        return self.added <= SHARE * self.bare and self.added <= MICROSECONDS

    def describe(self) -> str:
        """One line."""
        low, high = self.interval
        return (
            f"{self.model:24} bare {self.bare:9.1f} us  added {self.added:6.2f} us [{low:.2f}, {high:.2f}]  "
            f"{self.added / self.bare:6.2%}  {'held' if self.held else 'NOT HELD'}"
        )


def measure(bundle: Path, rounds: int, seconds: float) -> Overhead:
    """Time both over ``model.onnx`` of a bundle on the same arrays."""
    with attnexport.open(bundle, "ort-cpu", threads=THREADS) as opened:
        own = opened.session
        assert isinstance(own, OrtSession)
        bare = own.bare
        feeds = random_feeds(opened.inputs, "min")
        names = list(opened.output_names)
        calls = (lambda: bare.run(names, feeds), lambda: opened.run(feeds))
        for _ in range(50):
            for call in calls:
                call()
        taken = np.empty((rounds, 2))
        ended = time.perf_counter() + seconds
        done = 0
        while done < rounds and (done < 100 or time.perf_counter() < ended):
            for which in (0, 1) if done % 2 else (1, 0):
                start = time.perf_counter_ns()
                calls[which]()
                taken[done, which] = time.perf_counter_ns() - start
            done += 1
    taken = taken[:done] / 1e3
    added = taken[:, 1] - taken[:, 0]
    draws = np.random.default_rng(0).integers(0, done, (400, done))
    low, high = np.percentile(np.median(added[draws], axis=1), (2.5, 97.5))
    bare_median, our_median = np.median(taken, axis=0)
    return Overhead(
        bundle.stem, float(bare_median), float(our_median), float(np.median(added)), (float(low), float(high)), done
    )


def main() -> None:
    """Export each model (or take a bundle), measure, print, and fail where the bar is not held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, help="model files, or bundles")
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=20.0, help="for one model")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = []
    with TemporaryDirectory() as folder:
        for model in given.models:
            bundle = model
            if model.suffix != ".attn":
                bundle = attnexport.export(model, out=Path(folder) / f"{model.stem}.attn", precision="fp32").path
            found.append(measure(bundle, given.rounds, given.seconds))
            print(found[-1].describe(), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(one) | {"held": one.held} for one in found], indent=1) + "\n")
    sys.exit(0 if all(one.held for one in found) else 1)


if __name__ == "__main__":
    main()
