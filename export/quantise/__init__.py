"""INT8 and FP8: Q/DQ around layers, calibrated on samples. Sensitive layers, which a search finds, and all else are FP16."""

from .formats import FP8, INT8, Format, QuantisedName, format_of
from .stage import Calibration, Quantised, quantise

__all__ = ["FP8", "INT8", "Calibration", "Format", "Quantised", "QuantisedName", "format_of", "quantise"]
