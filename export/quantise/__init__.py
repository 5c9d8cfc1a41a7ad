"""INT8 and FP8: layers in 8 bits by Q/DQ, calibrated on samples, the sensitive ones found by the search and left, the rest in FP16."""

from __future__ import annotations

from .formats import FP8, INT8, Format, QuantisedName, format_of
from .stage import Calibration, Quantised, quantise

__all__ = ["FP8", "INT8", "Calibration", "Format", "Quantised", "QuantisedName", "format_of", "quantise"]
