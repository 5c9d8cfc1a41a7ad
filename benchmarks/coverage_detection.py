"""Third-party networks that find things in images and measure them, of transformers: many sample at places that they compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnexport.benchmarks.coverage_case import Case

_VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
_STAGES: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_DETR: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 8,
}
_SWIN: dict[str, Any] = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}


def detection() -> Iterator[Case]:
    """Of transformers, with images of 64 x 64 pixels."""

    def case(model: str, size: str = "2x3x64x64", **config: Any) -> Case:
        return Case(
            "transformers",
            model,
            "attnexport.benchmarks.coverage_factories:transformers_model",
            {"model": model, **config},
            (f"pixel_values={size}",),
        )

    def resnet(*stages: str, kind: str = "resnet") -> dict[str, Any]:
        return {"model_type": kind, "embedding_size": 8, **_STAGES, "layer_type": "basic", "out_features": list(stages)}

    yield case(
        "DeformableDetrForObjectDetection",
        **_DETR,
        backbone_config=resnet("stage2", "stage3", "stage4"),
        num_feature_levels=3,
        encoder_n_points=2,
        decoder_n_points=2,
    )
    yield case("DetrForObjectDetection", **_DETR, backbone_config=resnet("stage4"))
    yield case("ConditionalDetrForObjectDetection", **_DETR, backbone_config=resnet("stage4"))
    yield case("DabDetrForObjectDetection", **_DETR, hidden_size=32, backbone_config=resnet("stage4"))
    for name in ("RTDetrForObjectDetection", "RTDetrV2ForObjectDetection"):
        yield case(
            name,
            **{**_DETR, "encoder_in_channels": [16, 24, 32], "decoder_in_channels": [32, 32, 32]},
            encoder_hidden_dim=32,
            num_denoising=0,
            anchor_image_size=None,
            backbone_config=resnet("stage2", "stage3", "stage4", kind="rt_detr_resnet"),
        )
    yield case(
        "Mask2FormerForUniversalSegmentation",
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        num_attention_heads=4,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_queries=8,
        backbone_config=_SWIN,
    )
    yield case(
        "MaskFormerForInstanceSegmentation",
        fpn_feature_size=32,
        mask_feature_size=32,
        backbone_config=_SWIN,
        decoder_config={"model_type": "detr", **_DETR},
    )
    yield case("YolosForObjectDetection", **_VIT, image_size=[64, 64], patch_size=8, num_detection_tokens=8)
    yield case(
        "DepthAnythingForDepthEstimation",
        "2x3x70x70",
        backbone_config={
            "model_type": "dinov2",
            **_VIT,
            "num_hidden_layers": 4,
            "image_size": 70,
            "patch_size": 14,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
            "reshape_hidden_states": False,
        },
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    yield case(
        "VitPoseForPoseEstimation",
        backbone_config={
            "model_type": "vitpose_backbone",
            **_VIT,
            "image_size": [64, 64],
            "patch_size": [16, 16],
            "out_features": ["stage2"],
        },
    )
    yield case(
        "UperNetForSemanticSegmentation",
        hidden_size=16,
        pool_scales=[1, 2],
        backbone_config={"model_type": "convnext", **_STAGES, "out_features": ["stage1", "stage2", "stage3", "stage4"]},
        auxiliary_in_channels=24,
        auxiliary_channels=16,
    )
    yield case("FocalNetForImageClassification", image_size=64, embed_dim=16, depths=[1, 1, 1, 1])
    yield case(
        "HieraForImageClassification",
        image_size=[64, 64],
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4],
    )
    yield case("MobileViTV2ForImageClassification", image_size=64, width_multiplier=0.5)
    yield case("PvtV2ForImageClassification", image_size=64, **_STAGES, num_attention_heads=[1, 2, 2, 4])
    yield case("DINOv3ViTModel", **_VIT, image_size=64, patch_size=8)
    yield case(
        "Swin2SRForImageSuperResolution", "2x3x32x32", embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=8
    )
    for name in ("TimesformerForVideoClassification", "VideoMAEForVideoClassification"):
        yield case(name, "2x4x3x32x32", **_VIT, image_size=32, patch_size=8, num_frames=4)
