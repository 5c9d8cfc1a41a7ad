"""Third-party operators and networks of geometric vision, of kornia: warps, windows, local features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnexport.benchmarks.coverage_case import Case

_IMAGE = "x=2x3x32x32"
_TURN = "src_homo_dst=2x3x3"


def kornia() -> Iterator[Case]:
    """Of kornia."""

    def case(name: str, path: str, inputs: tuple[str, ...], label: str = "", **kwargs: Any) -> Case:
        return Case("kornia", label or name, f"kornia.{path}:{name}", kwargs, inputs)

    def tupled(name: str, path: str, inputs: tuple[str, ...], **kwargs: Any) -> Case:
        kwargs = {"factory": f"kornia.{path}:{name}", **kwargs}
        return Case("kornia", name, "attnexport.benchmarks.coverage_factories:tupled", kwargs, inputs)

    image = (_IMAGE.replace("x=", "input=", 1),)
    for kind in ("bilinear", "bicubic"):
        yield case(
            "HomographyWarper",
            "geometry.transform",
            (_IMAGE.replace("x=", "patch_src=", 1), _TURN),
            f"HomographyWarper, {kind}",
            height=24,
            width=20,
            mode=kind,
        )
    yield case("PyrDown", "geometry.transform", image)
    yield case("PyrUp", "geometry.transform", image)
    yield case("Rescale", "geometry.transform", image, factor=0.5, antialias=True)
    yield tupled("BilateralBlur", "filters", image, kernel_size=5, sigma_color=0.1, sigma_space=[1.5, 1.5])
    yield case("MedianBlur", "filters", image, kernel_size=3)
    guided = ("guidance=2x3x32x32", "input=2x3x32x32")
    yield case("GuidedBlur", "filters", guided, kernel_size=5, eps=0.1)
    yield tupled("UnsharpMask", "filters", image, kernel_size=5, sigma=[1.5, 1.5])
    yield case("Sobel", "filters", image)
    yield case("Laplacian", "filters", image, kernel_size=3)
    yield case("Canny", "filters", image, hysteresis=False)
    yield case("ExtractTensorPatches", "contrib", image, window_size=8, stride=4)
    yield case(
        "CombineTensorPatches",
        "contrib",
        ("input=2x16x3x8x8",),
        original_size=[32, 32],
        window_size=[8, 8],
        stride=[8, 8],
    )
    patches = ("input=2x1x32x32",)
    for name in ("HardNet", "TFeat", "SOSNet"):
        yield case(name, "feature", patches, pretrained=False)
    yield case("HyNet", "feature", ("x=2x1x32x32",), pretrained=False)
    yield case("OriNet", "feature", ("patch=2x1x32x32",), pretrained=False)
    yield case("MKDDescriptor", "feature", ("patches=2x1x32x32",), whitening=None)
    yield case("SIFTDescriptor", "feature", ("input=2x1x41x41",))
    yield case("LAFAffNetShapeEstimator", "feature", ("laf=2x4x2x3", "img=2x1x32x32"), pretrained=False)
    yield case("DeFMO", "feature", ("input_data=2x6x64x64",), pretrained=False)
    yield case("XFeatModel", "feature", ("x=2x3x64x64",))
    yield case(
        "TinyViT",
        "contrib",
        ("x=2x3x64x64",),
        img_size=64,
        embed_dims=[16, 32, 32, 64],
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4],
        window_sizes=[4, 4, 4, 2],
    )
