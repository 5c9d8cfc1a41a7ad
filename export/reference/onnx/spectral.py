"""Fourier transforms, windows and the mel matrix."""

import numpy as np
from onnx import TensorProto, helper

from .call import FLOATS, Array, Call, Kernel, NotCovered


def _complex(x: Array) -> Array:
    """(..., 1 or 2): real numbers, or real and imaginary parts -> (...)."""
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]


def _parts(x: Array) -> Array:
    return np.stack([x.real, x.imag], -1)


def _dft(call: Call) -> list[Array]:
    """Along one axis, padded or cropped to a length. The inverse of a one-sided spectrum is real (opset 20 on)."""
    x = call.real(0)
    axis = call.integer("axis", 1) if call.opset < 20 else (call.ints(2) or [-2])[0]
    axis %= x.ndim
    lengths = call.ints(1)
    length = lengths[0] if lengths else None
    inverse, onesided = call.flag("inverse"), call.flag("onesided")
    if inverse and onesided:
        raise NotCovered
    values = _complex(x)
    if inverse:
        return [_parts(np.fft.ifft(values, length, axis))]
    spectrum = np.fft.fft(values, length, axis)
    if onesided:
        count = spectrum.shape[axis] // 2 + 1
        spectrum = spectrum[(slice(None),) * axis + (slice(0, count),)]
    return [_parts(spectrum)]


def _stft(call: Call) -> list[Array]:
    """signal (N, L, 1 or 2) -> (N, frames, bins, 2)."""
    signal, step = call.real(0), (call.ints(1) or [1])[0]
    window = call.real(2) if call.present(2) else None
    length = (call.ints(3) or [window.size if window is not None else 0])[0]
    if not length:
        raise NotCovered
    weights = window if window is not None else np.ones(length)
    values = _complex(signal)
    starts = np.arange(0, values.shape[1] - length + 1, step)
    frames = values[:, starts[:, None] + np.arange(length)] * weights
    spectrum = np.fft.fft(frames, axis=-1)
    bins = length // 2 + 1 if call.flag("onesided", 1) else length
    return [_parts(spectrum[..., :bins])]


_COSINES = {
    "BlackmanWindow": (0.42, 0.5, 0.08),
    "HammingWindow": (25 / 46, 1 - 25 / 46, 0.0),
    "HannWindow": (0.5, 0.5, 0.0),
}


def _window(name: str) -> Kernel:
    constant, first, second = _COSINES[name]

    def kernel(call: Call) -> list[Array]:
        """Raised cosines over ``size`` samples, periodic unless ``periodic`` is 0."""
        if call.integer("output_datatype", TensorProto.FLOAT) not in FLOATS:
            raise NotCovered
        size = (call.ints(0) or [0])[0]
        angle = 2 * np.pi * np.arange(size) / (size if call.flag("periodic", 1) else size - 1)
        return [np.asarray(constant - first * np.cos(angle) + second * np.cos(2 * angle))]

    return kernel


def _mel_matrix(call: Call) -> list[Array]:
    """(bins of the spectrum, mel bins): triangles whose corners are bins that the edges fall into."""
    kind = call.integer("output_datatype", TensorProto.FLOAT)
    bins, length, rate = ((call.ints(n) or [0])[0] for n in range(3))
    low, high = (call.real(n).item() for n in (3, 4))
    edges = 2595 * np.log10(1 + np.array([low, high]) / 700)
    mels = edges[0] + np.arange(bins + 2) * ((edges[1] - edges[0]) / (bins + 2))
    hertz = 700 * (10 ** (mels / 2595) - 1)
    places = ((length + 1) * hertz // rate).astype(np.int64)
    matrix = np.zeros((length // 2 + 1, bins))
    for b in range(bins):
        lower, centre, upper = places[b], places[b + 1], places[b + 2]
        if centre == lower:
            matrix[centre, b] = 1
        else:
            rise = np.arange(lower, centre + 1)
            matrix[rise, b] = (rise - lower) / (centre - lower)
        if upper > centre:
            fall = np.arange(centre, upper)
            matrix[fall, b] = (upper - fall) / (upper - centre)
    return [matrix if kind in FLOATS else matrix.astype(helper.tensor_dtype_to_np_dtype(kind))]


KERNELS: dict[str, Kernel] = {
    "DFT": _dft,
    "MelWeightMatrix": _mel_matrix,
    "STFT": _stft,
    **{name: _window(name) for name in _COSINES},
}
"""By operator of the standard domain."""
