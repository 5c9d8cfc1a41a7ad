"""Classifiers with a spatial transformer before them (Jaderberg 2015, section 4.1): x (N, 1, 28, 28) -> logits.

Handwritten digits that are turned, moved or bent, straightened by an affine, a projective or a thin-plate-spline
transform, then told apart by two convolutions and two linear layers.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from .attention.spatial_transformer import SpatialTransformer
from .entry import RegistryEntry, images


class Straightened(nn.Module):
    """``classifier`` on what ``transformer`` makes of the image."""

    def __init__(self, transformer: SpatialTransformer, classifier: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        logits: Tensor = self.classifier(self.transformer(x))
        return logits


def _stn(
    transform: str,
    classes: int = 10,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
    spread: float = 0.0,
) -> nn.Module:
    """``spread`` is the standard deviation of the regressor's first weights: with 0.0, the paper's, an untrained
    transformer returns its input."""
    localisation = nn.Sequential(
        nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(8, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(10 * 3 * 3, 32), nn.ReLU(),
    )  # fmt: skip
    transformer = SpatialTransformer(
        localisation,
        32,
        transform=transform,
        size=(28, 28),
        mode=mode,
        padding_mode=padding_mode,
        align_corners=align_corners,
    )
    nn.init.normal_(transformer.regressor.weight, std=spread)
    classifier = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(20 * 4 * 4, 50), nn.ReLU(), nn.Linear(50, classes),
    )  # fmt: skip
    return Straightened(transformer, classifier)


stn_affine = partial(_stn, "affine")
stn_projective = partial(_stn, "projective")
stn_tps = partial(_stn, "thin_plate_spline")

ENTRIES = tuple(
    RegistryEntry(
        name,
        builder,
        "Jaderberg 2015 (arXiv:1506.02025)",
        f"digits: {words} spatial transformer before a small convolutional network",
        images(28, channels=1),
        ("logits",),
        "classification",
        reduced_options={"spread": 0.1},
    )
    for name, builder, words in (
        ("stn_affine", stn_affine, "affine"),
        ("stn_projective", stn_projective, "projective"),
        ("stn_tps", stn_tps, "thin-plate-spline"),
    )
)
