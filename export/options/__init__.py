"""The options of an export: what each one is, its checks, and the typed result."""

from __future__ import annotations

from .export_options import Calibration, ExportOptions, ModelType, Precision
from .source_options import SourceOptions, parse_kwargs

__all__ = [
    "Calibration", "ExportOptions", "ModelType", "Precision", "SourceOptions", "parse_kwargs",
]  # fmt: skip
