"""The options of an export: one table, the checks, and the typed result."""

from ..option_table import Calibration, ModelType, Precision
from .export_options import ExportOptions, SourceOptions, parse_kwargs
from .read import read_engine_options, read_options

__all__ = [
    "Calibration", "ExportOptions", "ModelType", "Precision", "SourceOptions", "parse_kwargs", "read_engine_options",
    "read_options",
]  # fmt: skip
