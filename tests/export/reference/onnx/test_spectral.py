"""Fourier transforms and windows against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

signal = pytest.importorskip("scipy.signal")


@pytest.mark.parametrize("name", ["Hann", "Hamming", "Blackman"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(evaluate, name, periodic):
    (y,) = evaluate(f"{name}Window", np.array(12), periodic=periodic, opset=17)
    if name == "Hamming":  # the standard has 25/46, SciPy 0.54
        truth = signal.windows.general_hamming(12, 25 / 46, sym=not periodic)
    else:
        truth = signal.get_window(name.lower(), 12, fftbins=bool(periodic))
    np.testing.assert_allclose(y, truth, atol=1e-12)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("length", [None, 6, 12])
def test_dft(evaluate, draw, onesided, length):
    x = draw(2, 9, 3, 1)
    more = [] if length is None else [np.array(length)]
    (y,) = evaluate("DFT", x, *more, axis=1, onesided=onesided, opset=17)
    truth = np.fft.fft(x[..., 0].astype("d"), length, 1)
    truth = truth[:, : truth.shape[1] // 2 + 1] if onesided else truth
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], truth, atol=1e-12)


def test_the_inverse_of_dft(evaluate, draw):
    x = draw(2, 8, 2)
    (y,) = evaluate("DFT", x, None, np.array(1), inverse=1, opset=20)
    truth = np.fft.ifft(x[..., 0].astype("d") + 1j * x[..., 1], axis=1)
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], truth, atol=1e-12)


@pytest.mark.parametrize("onesided", [0, 1])
def test_stft(evaluate, draw, onesided):
    x, window = draw(2, 40, 1), draw(16)
    (y,) = evaluate("STFT", x, np.array(6), window, onesided=onesided, opset=17)
    truth = torch.stft(
        torch.from_numpy(x[..., 0]).double(), 16, 6, 16, torch.from_numpy(window).double(), center=False,
        onesided=bool(onesided), return_complex=True,
    )  # fmt: skip
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], truth.numpy().transpose(0, 2, 1), atol=1e-11)
