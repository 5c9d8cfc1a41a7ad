"""Numbers and names formatted for the page."""

import math

_UNITS = ("B", "KB", "MB", "GB")
_DIGITS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
STAGES = {
    "onnx-fp32": "FP32, ONNX Runtime",
    "onnx-fp16": "FP16, ONNX Runtime",
    "emulated-fp16": "FP16 as a GPU rounds",
    "emulated-bf16": "BF16 as a GPU rounds",
    "emulated-int8": "INT8 as a GPU rounds",
    "emulated-fp8": "FP8 as a GPU rounds",
}
PRECISIONS = {
    "float32": "FP32", "float16": "FP16", "bfloat16": "BF16", "float64": "FP64", "quantised": "8 bits", "int8": "INT8",
    "int8+float16": "INT8", "fp8+float16": "FP8", "fp32": "FP32", "fp16": "FP16", "bf16": "BF16", "fp8": "FP8",
}  # fmt: skip


def size(count: int) -> str:
    """``386 KB``: powers of ten, three digits."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}" if unit else f"{count} B"


def times(ratio: float) -> str:
    """``0.92×``; a large ratio is written as a power of ten."""
    if math.isnan(ratio) or math.isinf(ratio):
        return "NaN" if math.isnan(ratio) else "∞"
    return f"{ratio:.2f}×" if ratio < 1000 else f"{power(ratio)}×"


def power(value: float) -> str:
    """``5.1·10⁻⁷``; 0 as it is."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}·10{superscript(int(exponent))}"


def superscript(number: int) -> str:
    """``⁻⁷``."""
    return str(number).translate(_DIGITS)


def share(part: int, whole: int) -> str:
    """``83 %``; 0 and 100 only if exact."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < part < whole:
        percent = min(max(percent, 1), 99)
    return f"{percent:.0f} %"


def seconds(value: float) -> str:
    """``4.5 s``, ``12 ms``."""
    return f"{value * 1000:.0f} ms" if value < 0.0995 else f"{value:.1f} s"


def count(number: int, thing: str, many: str = "") -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number:,} {thing if number == 1 else many or f'{thing}s'}".replace(",", "\u2009")


def stage(name: str) -> str:
    """Return the name of a variant; ``encoder: onnx-fp32`` keeps its part."""
    part, _, key = name.rpartition(": ")
    title = STAGES.get(key) or (f"{key.partition('-')[2].upper()} engine" if key.startswith("engine-") else key)
    return f"{part}: {title}" if part else title


def precision(name: str) -> str:
    """``FP16`` for ``float16``."""
    return PRECISIONS.get(name, name)


def library(flavour: str) -> str:
    """Return the title of the TensorRT of a flavour."""
    return "TensorRT-RTX" if flavour == "rtx" else "TensorRT"
