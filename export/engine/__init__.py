"""TensorRT engines from ONNX models: ``find_flavour``, then ``build_engine``. Loads no TensorRT."""

from .build import Engine, build_engine
from .config import EngineOptions
from .flavour import Flavour, Wish, find_flavour, gpu_present

__all__ = ["Engine", "EngineOptions", "Flavour", "Wish", "build_engine", "find_flavour", "gpu_present"]
