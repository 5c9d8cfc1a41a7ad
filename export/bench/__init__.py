"""``attnexport bench``: verify contenders on one model, time them in interleaved rounds, measure their memory.

Each contender is one file of ``contenders/``. Only PyTorch's contenders import torch, so a bundle can be measured on its
target device.
"""

from ...runtime.bundle.bench_report import BenchReport
from .bench import bench
from .options import BenchOptions

__all__ = ["BenchOptions", "BenchReport", "bench"]
