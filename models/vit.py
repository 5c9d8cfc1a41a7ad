"""Vision Transformer (Dosovitskiy et al., 2021: "An Image is Worth 16x16 Words", arXiv:2010.11929).

x (N, 3, H, W) -> logits (N, classes), equations 1 to 4: patches are projected to tokens, a class token goes before
them, places are added; then blocks, each of attention and of a two-layer network with GELU, both behind a layer
normalisation and added to what they were given; a linear layer reads the last normalisation of the class token.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from .attention.multi_head import MultiHeadAttention
from .attention.positional_encoding import ClassToken, LearnedEncoding1d, LearnedEncoding2d, SinusoidalEncoding
from .entry import RegistryEntry, images

POSITIONS = ("learned_1d", "learned_2d", "sinusoidal", "none")
POOLS = ("token", "mean")

_EPSILON = 1e-6
"""Of the layer normalisations, as in the authors' code."""


class EncoderBlock(nn.Module):
    """(N, L, width) -> the same: equations 2 and 3."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        x = x + self.attention(self.norm1(x))
        joined: Tensor = x + self.mlp(self.norm2(x))
        return joined


class VisionTransformer(nn.Module):
    """x (N, 3, image, image) -> logits (N, classes).

    ``positions`` names what is added to the tokens (appendix D.4): ``learned_1d``, the paper's, to all of them, the
    others to those of patches. ``pool="mean"`` reads the mean of the patches' tokens, without a class token (appendix
    D.3). Raises ValueError for a ``patch`` that does not divide the image, for heads that do not divide the width, and
    for unknown ``positions`` and ``pool``.
    """

    def __init__(
        self,
        classes: int,
        *,
        image: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        positions: str = "learned_1d",
        pool: str = "token",
    ) -> None:
        super().__init__()
        if image % patch:
            raise ValueError(f"patches of {patch} pixels do not divide an image of {image}")
        if positions not in POSITIONS:
            raise ValueError(f"positions {positions!r} is not one of {', '.join(POSITIONS)}")
        if pool not in POOLS:
            raise ValueError(f"pool {pool!r} is not one of {', '.join(POOLS)}")
        side = image // patch
        self.patches = nn.Conv2d(3, width, patch, patch)
        places: dict[str, nn.Module] = {
            "learned_2d": LearnedEncoding2d(width, side, side),
            "sinusoidal": SinusoidalEncoding(width, side * side),
        }
        token = ClassToken(width) if pool == "token" else nn.Identity()
        if positions == "learned_1d":
            self.tokens = nn.Sequential(token, LearnedEncoding1d(width, side * side + (1 if pool == "token" else 0)))
        else:
            self.tokens = nn.Sequential(places.get(positions, nn.Identity()), token)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, 4 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.head = nn.Linear(width, classes)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        tokens = self.tokens(self.patches(x).flatten(2).transpose(1, 2))
        encoded = self.norm(self.blocks(tokens))
        logits: Tensor = self.head(encoded[:, 0] if self.pool == "token" else encoded.mean(1))
        return logits


def vit(
    classes: int = 1000,
    image: int = 224,
    patch: int = 16,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    positions: str = "learned_1d",
    pool: str = "token",
) -> VisionTransformer:
    """ViT-B/16 unless told otherwise."""
    return VisionTransformer(
        classes, image=image, patch=patch, width=width, depth=depth, heads=heads, positions=positions, pool=pool
    )


_DEIT = "Dosovitskiy 2021 (arXiv:2010.11929), Touvron 2021 (arXiv:2012.12877)"


def _entry(size: str, paper: str, width: int, heads: int) -> RegistryEntry:
    return RegistryEntry(
        name=f"vit_{size}16",
        builder=partial(vit, width=width, heads=heads),
        paper=paper,
        summary=f"ImageNet: ViT-{size.capitalize()}/16",
        inputs=images(224),
        outputs=("logits",),
        task="classification",
        reduced_options={"classes": 10, "image": 64, "width": 16 * heads, "depth": 2},
        reduced_inputs=images(64),
    )


ENTRIES = (
    _entry("ti", _DEIT, 192, 3),
    _entry("s", _DEIT, 384, 6),
    _entry("b", "Dosovitskiy 2021 (arXiv:2010.11929)", 768, 12),
)
