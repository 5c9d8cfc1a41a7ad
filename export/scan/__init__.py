"""What stands in the way of a model before anything is exported: operators that a target cannot run, or runs slowly, by module and line.

``scan`` lists what has no translation to ONNX, all of it; ``findings`` asks the measured operator matrix about the lowered graph of
each target, what recognising left, and the parser of the TensorRT that is installed here.
"""

from .findings import Finding
from .scan import Scan, scan

__all__ = ["Finding", "Scan", "scan"]
