"""``attnexport bench``: any set of contenders on one model, timed in interleaved rounds, held to be right, with their memory.

One contender is one file of ``contenders/``. Nothing here needs torch until a contender that is PyTorch's is opened, so that a
bundle can be measured on the device that it was made for.
"""

from __future__ import annotations

from ...runtime.bundle.bench_report import BenchReport
from .bench import bench
from .options import BenchOptions

__all__ = ["BenchOptions", "BenchReport", "bench"]
