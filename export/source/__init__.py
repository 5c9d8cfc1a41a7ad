"""The first stage: load a model from whatever file the user passes, as a :class:`Source`; refuse what cannot be used.

The format of a file is recognised by its content. No code in a file runs unless ``allow_pickle`` says that it is trusted.
"""

from ..options import SourceOptions
from .base import CapturedModel, Reader, Source
from .exported import ProgramSource
from .load import load
from .onnx_source import OnnxSource
from .torch_source import ModuleSource, ScriptSource, TorchSource

__all__ = [
    "CapturedModel", "ModuleSource", "OnnxSource", "ProgramSource", "Reader", "ScriptSource", "Source", "SourceOptions",
    "TorchSource", "load",
]  # fmt: skip
