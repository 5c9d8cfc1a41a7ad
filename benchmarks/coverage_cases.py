"""Third-party architectures, small and with random weights: what ``attnexport package.module:callable --kwargs … --input …`` is given.

Each is the architecture that its package builds, no part of it changed; only sizes are small, so that all of them take minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnexport.benchmarks.coverage_case import Case
from attnexport.benchmarks.coverage_detection import detection
from attnexport.benchmarks.coverage_geometry import kornia
from attnexport.benchmarks.coverage_restoration import spandrel
from attnexport.benchmarks.coverage_vision import segmentation, timm, torchvision, vit_pytorch


def cases() -> Iterator[Case]:
    """All of them, by package."""
    yield from _torch()
    yield from vit_pytorch()
    yield from torchvision()
    yield from timm()
    yield from segmentation()
    yield from _transformers()
    yield from detection()
    yield from _x_transformers()
    yield from _monai()
    yield from spandrel()
    yield from kornia()
    yield from _others()


def _torch() -> Iterator[Case]:
    layer: dict[str, Any] = {"d_model": 32, "nhead": 4, "dim_feedforward": 64, "batch_first": True, "dropout": 0.0}
    stack: dict[str, Any] = {"num_encoder_layers": 2, "num_decoder_layers": 2}
    yield Case("torch", "nn.Transformer", "torch.nn:Transformer", {**layer, **stack}, ("src=2x7x32", "tgt=2x5x32"))
    masked = ("src=2x7x32", "tgt=2x5x32", "src_key_padding_mask=2x7:bool", "memory_key_padding_mask=2x7:bool")
    yield Case("torch", "nn.Transformer, padding", "torch.nn:Transformer", {**layer, **stack}, masked)
    yield Case("torch", "nn.TransformerEncoderLayer", "torch.nn:TransformerEncoderLayer", layer, ("src=2x7x32",))
    decoder = ("tgt=2x5x32", "memory=2x7x32")
    yield Case("torch", "nn.TransformerDecoderLayer", "torch.nn:TransformerDecoderLayer", layer, decoder)
    attention: dict[str, Any] = {"embed_dim": 32, "num_heads": 4, "batch_first": True}
    yield Case(
        "torch",
        "nn.MultiheadAttention",
        "torch.nn:MultiheadAttention",
        attention,
        tuple(f"{n}=2x7x32" for n in ("query", "key", "value")),
    )
    recurrent: dict[str, Any] = {
        "input_size": 16,
        "hidden_size": 32,
        "num_layers": 2,
        "bidirectional": True,
        "batch_first": True,
    }
    for kind in ("LSTM", "GRU"):
        yield Case("torch", f"nn.{kind}", f"torch.nn:{kind}", recurrent, ("input=2x7x16",))


def _transformers() -> Iterator[Case]:
    ids = "input_ids=2x8:int64:0..99"
    text = (ids, "attention_mask=2x8:int64:1..2")
    image = ("pixel_values=2x3x32x32",)

    def case(model: str, inputs: tuple[str, ...], **config: Any) -> Case:
        return Case(
            "transformers",
            model,
            "attnexport.benchmarks.coverage_factories:transformers_model",
            {"model": model, **config},
            inputs,
        )

    small: dict[str, Any] = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    vit: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "image_size": 32,
        "patch_size": 8,
    }
    yield case("BertModel", text, **small)
    yield case("RobertaForSequenceClassification", text, **small, max_position_embeddings=20)
    yield case("ElectraForTokenClassification", text, **small, embedding_size=32)
    yield case(
        "DebertaV2Model",
        text,
        **small,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["c2p", "p2c"],
    )
    yield case("DistilBertModel", text, vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    yield case("ModernBertModel", text, **small, pad_token_id=0)
    yield case("GPT2LMHeadModel", text, vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=32, use_cache=False)
    yield case("LlamaForCausalLM", text, **small, num_key_value_heads=2, use_cache=False)
    yield case("Qwen2ForCausalLM", text, **small, num_key_value_heads=2, use_cache=False)
    yield case("T5EncoderModel", text, vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    yield case("ViTForImageClassification", image, **vit)
    yield case("DeiTModel", image, **vit)
    yield case("Dinov2Model", image, **{k: v for k, v in vit.items() if k != "intermediate_size"})
    yield case("BeitModel", image, **vit)
    yield case(
        "SwinForImageClassification",
        image,
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    )
    yield case(
        "SegformerForSemanticSegmentation",
        ("pixel_values=2x3x64x64",),
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=32,
    )
    clip: dict[str, Any] = {"text_config": small, "vision_config": vit, "projection_dim": 16}
    yield case("CLIPModel", (ids, *image, "attention_mask=2x8:int64:1..2"), **clip)
    yield case(
        "WhisperModel",
        ("input_features=2x16x60", "decoder_input_ids=2x5:int64:0..99"),
        vocab_size=99,
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=30,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    yield case(
        "Wav2Vec2Model",
        ("input_values=2x4000",),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=[16, 16, 16],
        conv_stride=[5, 4, 4],
        conv_kernel=[10, 8, 4],
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )


def _x_transformers() -> Iterator[Case]:
    tokens = ("x=2x12:int64:0..64",)

    def case(name: str, stack: str, **layers: Any) -> Case:
        kwargs = {"stack": stack, "dim": 32, "depth": 2, "heads": 4, **layers}
        return Case("x-transformers", name, "attnexport.benchmarks.coverage_factories:x_transformer", kwargs, tokens)

    yield case("encoder", "Encoder")
    yield case("decoder, rotary", "Decoder", rotary_pos_emb=True)
    yield case("decoder, ALiBi", "Decoder", alibi_pos_bias=True)
    yield case("decoder, flash", "Decoder", attn_flash=True)
    yield case("encoder, T5 bias", "Encoder", rel_pos_bias=True)
    yield case("decoder, GQA and SwiGLU", "Decoder", attn_kv_heads=2, ff_swish=True, ff_glu=True)
    yield case("encoder, talking heads", "Encoder", attn_pre_talking_heads=True, use_rmsnorm=True)
    image: dict[str, Any] = {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 2, "heads": 4}
    yield Case(
        "x-transformers",
        "ViTransformerWrapper",
        "attnexport.benchmarks.coverage_factories:x_vit",
        image,
        ("img=2x3x32x32",),
    )


def _monai() -> Iterator[Case]:
    volume = ("x=2x1x32x32x32",)

    def case(name: str, inputs: tuple[str, ...] = volume, dynamic: tuple[str, ...] = (), **kwargs: Any) -> Case:
        return Case("monai", name, f"monai.networks.nets:{name}", kwargs, inputs, dynamic)

    ends: dict[str, Any] = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    yield case("UNet", **ends, channels=[4, 8, 16], strides=[2, 2])
    yield case("AttentionUnet", **ends, channels=[4, 8, 16], strides=[2, 2])
    yield case("SegResNet", **ends, init_filters=8)
    yield case(
        "UNETR",
        ("x_in=2x1x32x32x32",),
        in_channels=1,
        out_channels=2,
        img_size=32,
        feature_size=4,
        hidden_size=32,
        mlp_dim=64,
        num_heads=4,
    )
    yield case(
        "SwinUNETR",
        ("x_in=1x1x64x64x64",),
        ("x_in:0=1:1:2",),  # a batch of 16 did not fit 20 GB
        in_channels=1,
        out_channels=2,
        feature_size=12,
        depths=[1, 1, 1, 1],
        num_heads=[2, 2, 2, 2],
    )
    yield case(
        "ViT",
        in_channels=1,
        img_size=[32, 32, 32],
        patch_size=[8, 8, 8],
        hidden_size=32,
        mlp_dim=64,
        num_layers=2,
        num_heads=4,
    )


def _others() -> Iterator[Case]:
    yield Case(
        "halonet-pytorch",
        "HaloAttention",
        "halonet_pytorch:HaloAttention",
        {"dim": 32, "block_size": 8, "halo_size": 4, "dim_head": 16, "heads": 2},
        ("x=2x32x32x32",),
    )
    yield Case(
        "perceiver-pytorch",
        "Perceiver",
        "perceiver_pytorch:Perceiver",
        {
            "num_freq_bands": 4,
            "max_freq": 10.0,
            "depth": 2,
            "num_latents": 16,
            "latent_dim": 32,
            "cross_dim_head": 16,
            "latent_heads": 2,
            "latent_dim_head": 16,
            "num_classes": 10,
        },
        ("data=2x16x16x3",),
    )
    yield Case(
        "perceiver-pytorch",
        "PerceiverIO",
        "perceiver_pytorch:PerceiverIO",
        {
            "dim": 32,
            "queries_dim": 32,
            "depth": 2,
            "num_latents": 16,
            "latent_dim": 32,
            "latent_heads": 2,
            "cross_dim_head": 16,
            "latent_dim_head": 16,
        },
        ("data=2x20x32", "queries=2x8x32"),
    )
    yield Case(
        "lambda-networks",
        "LambdaLayer",
        "lambda_networks:LambdaLayer",
        {"dim": 32, "dim_k": 16, "heads": 4, "dim_u": 1, "r": 7},
        ("x=2x32x16x16",),
    )
    yield Case(
        "axial-attention",
        "AxialAttention",
        "axial_attention:AxialAttention",
        {"dim": 32, "heads": 4, "num_dimensions": 2, "dim_index": 1},
        ("x=2x32x12x12",),
    )
    yield Case(
        "timesformer-pytorch",
        "TimeSformer",
        "timesformer_pytorch:TimeSformer",
        {
            "dim": 32,
            "num_frames": 4,
            "num_classes": 10,
            "image_size": 32,
            "patch_size": 8,
            "depth": 2,
            "heads": 4,
            "dim_head": 8,
        },
        ("video=2x4x3x32x32",),
    )
    yield Case(
        "conformer",
        "Conformer",
        "conformer:Conformer",
        {"dim": 32, "depth": 2, "dim_head": 8, "heads": 4},
        ("x=2x20x32",),
    )
    yield Case(
        "local-attention",
        "LocalAttention",
        "local_attention.local_attention:LocalAttention",
        {"dim": 16, "window_size": 8, "look_backward": 1, "look_forward": 0, "causal": True},
        ("q=2x32x16", "k=2x32x16", "v=2x32x16"),
    )
    yield Case(
        "bottleneck-transformer-pytorch",
        "BottleStack",
        "bottleneck_transformer_pytorch:BottleStack",
        {"dim": 32, "fmap_size": 16, "dim_out": 64, "num_layers": 2, "heads": 2, "dim_head": 16},
        ("x=2x32x16x16",),
    )
    yield Case(
        "diffusers",
        "UNet2DModel",
        "diffusers:UNet2DModel",
        {
            "sample_size": 16,
            "block_out_channels": [16, 32],
            "norm_num_groups": 8,
            "attention_head_dim": 8,
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
            "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        },
        ("sample=2x3x16x16", "timestep=2:int64:0..1000"),
    )
