"""Third-party architectures for images, of vit-pytorch, torchvision, timm and segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnexport.benchmarks.coverage_case import Case


def vit_pytorch() -> Iterator[Case]:
    """Of vit-pytorch."""

    def case(file: str, name: str, inputs: tuple[str, ...] = ("img=2x3x64x64",), **kwargs: Any) -> Case:
        label = (
            name
            if file in (name.lower(), "simple_vit", "vit") or name not in ("ViT", "SimpleViT")
            else f"{name} ({file})"
        )
        return Case("vit-pytorch", label, f"vit_pytorch.{file}:{name}", {"num_classes": 10, **kwargs}, inputs)

    vit: dict[str, Any] = {
        "image_size": 64,
        "patch_size": 16,
        "dim": 64,
        "depth": 2,
        "heads": 4,
        "mlp_dim": 128,
        "dim_head": 16,
    }
    x = ("x=2x3x64x64",)
    yield case("vit", "ViT", **vit)
    yield case("simple_vit", "SimpleViT", **vit)
    yield case("deepvit", "DeepViT", **vit)
    yield case("cait", "CaiT", cls_depth=1, **vit)
    yield case("xcit", "XCiT", cls_depth=1, **vit)
    yield case("rvt", "RvT", **vit)
    yield case("local_vit", "LocalViT", **vit)
    yield case("parallel_vit", "ViT", **vit)
    yield case("vit_for_small_dataset", "ViT", **vit)
    yield case("simple_vit_with_register_tokens", "SimpleViT", **vit)
    yield case("pit", "PiT", **{**vit, "patch_size": 8, "depth": [1, 1, 1]})
    yield case("t2t", "T2TViT", image_size=64, dim=64, depth=2, heads=4, mlp_dim=128)
    yield case("cct", "CCT", x, img_size=64, embedding_dim=64, num_layers=2, num_heads=4, mlp_ratio=2)
    yield case(
        "cvt", "CvT", x, **{f"s{i}_{k}": v for i in (1, 2, 3) for k, v in (("emb_dim", 32), ("heads", 2), ("depth", 1))}
    )
    yield case(
        "cross_vit",
        "CrossViT",
        image_size=64,
        sm_dim=32,
        lg_dim=64,
        sm_patch_size=8,
        lg_patch_size=16,
        lg_enc_depth=1,
        depth=1,
    )
    yield case("crossformer", "CrossFormer", ("x=2x3x224x224",), dim=[32, 32, 64, 64], depth=[1, 1, 1, 1])
    yield case("levit", "LeViT", image_size=64, dim=[32, 48, 64], depth=1, heads=[2, 3, 4], mlp_mult=2)
    yield case("max_vit", "MaxViT", ("x=2x3x112x112",), dim=16, depth=[1, 1], dim_head=16, window_size=7)
    yield case(
        "mobile_vit",
        "MobileViT",
        x,
        image_size=[64, 64],
        dims=[32, 48, 64],
        channels=[8, 8, 16, 16, 24, 24, 32, 32, 40, 40, 64],
    )
    yield case("nest", "NesT", image_size=64, patch_size=4, dim=32, heads=2, num_hierarchies=3, block_repeats=[1, 1, 1])
    yield case("regionvit", "RegionViT", ("x=2x3x224x224",), dim=[16, 32, 64, 64], depth=[1, 1, 1, 1])
    yield case("sep_vit", "SepViT", ("x=2x3x112x112",), dim=16, depth=[1, 1], heads=[1, 2], window_size=7)
    yield case(
        "scalable_vit", "ScalableViT", dim=16, depth=[1, 1], heads=[1, 2], reduction_factor=[4, 2], window_size=[8, 4]
    )
    yield case(
        "twins_svt",
        "TwinsSVT",
        ("x=2x3x224x224",),
        **{f"s{i}_{k}": v for i in (1, 2, 3, 4) for k, v in (("emb_dim", 32), ("depth", 1))},
    )
    frames: dict[str, Any] = {
        "image_size": 32,
        "image_patch_size": 8,
        "frames": 4,
        "frame_patch_size": 2,
        "dim": 32,
        "heads": 2,
        "mlp_dim": 64,
        "dim_head": 16,
    }
    yield case("vit_3d", "ViT", ("video=2x3x4x32x32",), depth=2, **frames)
    yield case("vivit", "ViViT", ("video=2x3x4x32x32",), spatial_depth=1, temporal_depth=1, **frames)
    yield case(
        "vit_nd_rotary",
        "ViTND",
        x,
        ndim=2,
        input_shape=64,
        patch_size=16,
        dim=64,
        depth=2,
        heads=4,
        mlp_dim=128,
        dim_head=16,
    )


def torchvision() -> Iterator[Case]:
    """Of torchvision."""

    def case(name: str, size: int = 64, **kwargs: Any) -> Case:
        return Case("torchvision", name, f"torchvision.models:{name}", kwargs, (f"x=2x3x{size}x{size}",))

    yield Case(
        "torchvision", "VisionTransformer", "torchvision.models:VisionTransformer",
        {"image_size": 64, "patch_size": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}, ("x=2x3x64x64",),
    )  # fmt: skip
    swin: dict[str, Any] = {
        "patch_size": [4, 4],
        "embed_dim": 24,
        "depths": [2, 2],
        "num_heads": [2, 4],
        "window_size": [4, 4],
    }
    yield Case("torchvision", "SwinTransformer", "torchvision.models:SwinTransformer", swin)
    yield Case("torchvision", "SwinTransformer V2", "attnexport.benchmarks.coverage_factories:swin_v2", swin)
    maxvit: dict[str, Any] = {
        "input_size": [64, 64], "stem_channels": 16, "partition_size": 4, "block_channels": [16, 32], "block_layers": [1, 1],
        "head_dim": 8, "stochastic_depth_prob": 0.0,
    }  # fmt: skip
    yield Case("torchvision", "MaxVit", "torchvision.models:MaxVit", maxvit)
    yield case("convnext_tiny", num_classes=10)
    yield case("efficientnet_v2_s", num_classes=10)
    yield case("regnet_y_400mf", num_classes=10)
    yield case("mobilenet_v3_small", num_classes=10)
    yield case("densenet121", num_classes=10)
    yield case("inception_v3", 96, num_classes=10, init_weights=False)
    yield case("shufflenet_v2_x1_0", num_classes=10)
    segmentation: dict[str, Any] = {"weights_backbone": None, "num_classes": 5}
    for name in ("deeplabv3_resnet50", "fcn_resnet50", "lraspp_mobilenet_v3_large"):
        x = ("input=2x3x64x64",) if name.startswith("lraspp") else ("x=2x3x64x64",)
        yield Case("torchvision", name, f"torchvision.models.segmentation:{name}", segmentation, x)
    yield Case(
        "torchvision", "r2plus1d_18", "torchvision.models.video:r2plus1d_18", {"num_classes": 10}, ("x=2x3x4x32x32",)
    )
    yield Case(
        "torchvision",
        "raft_small",
        "torchvision.models.optical_flow:raft_small",
        {},
        ("image1=1x3x128x128", "image2=1x3x128x128"),
    )


def timm() -> Iterator[Case]:
    """Of timm."""

    def case(model: str, size: int = 64, **kwargs: Any) -> Case:
        return Case(
            "timm",
            model,
            "timm:create_model",
            {"model_name": model, "num_classes": 10, **kwargs},
            (f"x=2x3x{size}x{size}",),
        )

    small: dict[str, Any] = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3}
    yield case("vit_tiny_patch16_224", **small)
    yield case("deit_tiny_distilled_patch16_224", **small)
    yield case("beit_base_patch16_224", **small)
    yield case("eva02_tiny_patch14_224", 56, **{**small, "img_size": 56})
    yield case(
        "swin_tiny_patch4_window7_224", img_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    yield case("swinv2_tiny_window8_256", img_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 4])
    yield case("convnext_atto")
    yield case("maxvit_rmlp_pico_rw_256", 64, img_size=64)
    yield case("coatnet_pico_rw_224", 64, img_size=64)
    volo = {"layers": [1, 1, 1, 1], "embed_dims": [32, 64, 64, 64], "num_heads": [2, 2, 2, 2], "num_classes": 10}
    yield Case("timm", "VOLO", "timm.models.volo:VOLO", {"img_size": 64, **volo}, ("x=2x3x64x64",))
    yield case("mobilevit_xxs")
    yield case("levit_128s", 224)
    yield case("pvt_v2_b0")
    yield case("cait_xxs24_224", **{**small, "num_heads": 3})
    yield case("xcit_nano_12_p16_224", 64, img_size=64, depth=2)
    yield case("poolformer_s12")
    yield case("halonet26t", 256)
    yield case("botnet26t_256", 128, img_size=128)
    yield case("sebotnet33ts_256", 128, img_size=128)
    mixer = {"img_size": 64, "embed_dim": 48, "num_blocks": 2, "num_classes": 0}  # its head begins as zeros
    yield Case("timm", "MlpMixer", "timm.models.mlp_mixer:MlpMixer", mixer, ("x=2x3x64x64",))
    yield case("resnest14d")
    yield case("efficientformerv2_s0", 224)


def segmentation() -> Iterator[Case]:
    """Of segmentation."""
    for name in (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "PAN",
        "DeepLabV3Plus",
        "UPerNet",
        "Segformer",
    ):
        size = 128 if name == "PAN" else 64
        yield Case(
            "segmentation-models-pytorch", name, f"segmentation_models_pytorch:{name}",
            {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3}, (f"x=2x3x{size}x{size}",),
        )  # fmt: skip
    yield Case(
        "segmentation-models-pytorch", "DPT", "segmentation_models_pytorch:DPT",
        {"encoder_name": "tu-vit_tiny_patch16_224", "encoder_weights": None, "classes": 3}, ("x=2x3x224x224",),
    )  # fmt: skip
