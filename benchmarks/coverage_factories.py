"""Callables for architectures whose constructors take objects that JSON cannot hold. Each returns what its package builds."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch


def transformers_model(model: str, **config: Any) -> torch.nn.Module:
    """A class of transformers by name, on its own configuration."""
    kind = getattr(import_module("transformers"), model)
    module: torch.nn.Module = kind(kind.config_class(**config))
    return module


def x_transformer(stack: str, dim: int, depth: int, heads: int, **layers: Any) -> torch.nn.Module:
    """``x_transformers.TransformerWrapper`` over an Encoder or a Decoder."""
    x_transformers = import_module("x_transformers")
    attention = getattr(x_transformers, stack)(dim=dim, depth=depth, heads=heads, attn_dim_head=dim // heads, **layers)
    module: torch.nn.Module = x_transformers.TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=attention)
    return module


def x_vit(dim: int, depth: int, heads: int, **image: Any) -> torch.nn.Module:
    """``x_transformers.ViTransformerWrapper`` over an Encoder."""
    x_transformers = import_module("x_transformers")
    encoder = x_transformers.Encoder(dim=dim, depth=depth, heads=heads, attn_dim_head=dim // heads)
    module: torch.nn.Module = x_transformers.ViTransformerWrapper(num_classes=10, attn_layers=encoder, **image)
    return module


def swin_v2(**sizes: Any) -> torch.nn.Module:
    """torchvision's SwinTransformer of blocks of version 2."""
    swin = import_module("torchvision.models.swin_transformer")
    module: torch.nn.Module = swin.SwinTransformer(
        **sizes, block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2
    )
    return module


def tupled(factory: str, **kwargs: Any) -> torch.nn.Module:
    """``package.module:callable`` whose pairs must be tuples, which JSON has not, and which says so only when it runs."""
    module, _, name = factory.partition(":")
    pairs = {key: tuple(value) if isinstance(value, list) else value for key, value in kwargs.items()}
    made: torch.nn.Module = getattr(import_module(module), name)(**pairs)
    return made
