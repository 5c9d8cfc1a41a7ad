"""Pictures as ``data:`` addresses: small PNGs of arrays, which any browser shows without a request."""

import base64
import struct
import zlib

import numpy as np

_INFERNO = (
    (0, 0, 4), (22, 11, 57), (66, 10, 104), (106, 23, 110), (147, 38, 103), (188, 55, 84),
    (221, 81, 58), (243, 120, 25), (252, 165, 10), (246, 215, 70), (252, 255, 164),
)  # fmt: skip
"""Matplotlib's inferno at eleven places, dark to bright without a turn: it reads the same in grey."""
_CLASSES = (
    (225, 229, 235), (59, 110, 200), (226, 120, 60), (64, 150, 95), (190, 70, 85), (130, 95, 185), (140, 100, 80),
    (215, 130, 185), (120, 125, 130), (185, 180, 60), (60, 165, 180),
)  # fmt: skip


def png(pixels: np.ndarray) -> str:
    """(H, W) grey or (H, W, 3) colour, uint8, as ``data:image/png;base64,...``."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    body = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()  # each row begins with its filter: none
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
        for kind, value in chunks
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Floats to bytes, ``low`` black and ``high`` white; what is not finite is black."""
    spread = high - low if high > low else 1.0
    scaled = np.nan_to_num((values.astype(np.float64) - low) / spread, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.clip(scaled * 255 + 0.5, 0, 255).astype(np.uint8))


def heat(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(H, W) floats as colours (H, W, 3), dark to bright."""
    places = grey(values, low, high) / 255 * (len(_INFERNO) - 1)
    stops = np.array(_INFERNO, np.float64)
    channels = [np.interp(places, range(len(stops)), stops[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def labels(classes: np.ndarray) -> np.ndarray:
    """(H, W) class numbers as colours; 0 is pale, as the ground of most masks is."""
    table = np.array(_CLASSES, np.uint8)
    index = np.where(classes == 0, 0, (classes - 1) % (len(table) - 1) + 1)
    return np.asarray(table[index])
