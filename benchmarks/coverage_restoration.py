"""Third-party architectures that restore images (super-resolution, denoising, deblurring, dehazing), of spandrel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attnexport.benchmarks.coverage_case import Case


def spandrel() -> Iterator[Case]:
    """Of spandrel, which holds each architecture as its authors published it."""

    def case(file: str, name: str, size: int = 32, x: str = "x", batch: int = 2, **kwargs: Any) -> Case:
        return Case(
            "spandrel",
            name,
            f"spandrel.architectures.{file}:{name}",
            kwargs,
            (f"{x}={batch}x3x{size}x{size}:float32:0..1",),
        )

    windows: dict[str, Any] = {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8}
    shuffle: dict[str, Any] = {"upscale": 2, "upsampler": "pixelshuffle"}
    yield case("ATD.__arch.atd_arch", "ATD", **windows, **shuffle, category_size=64, num_tokens=16)
    yield case(
        "CRAFT.__arch.CRAFT",
        "CRAFT",
        **{**windows, "depths": [1, 1], "embed_dim": 48},
        split_size_0=4,
        split_size_1=8,
        upscale=2,
    )
    split: dict[str, Any] = {"embed_dim": 64, "depth": [2, 2], "num_heads": [2, 2], "upscale": 2}
    yield case("DAT.__arch.DAT", "DAT", **split, split_size=[4, 8], img_size=32)
    yield case("RGT.__arch.rgt", "RGT", **split, split_size=[4, 8], img_size=32)
    yield case("DCTLSA.__arch.dctlsa", "DCTLSA", x="input", nf=20, num_head=2, upscale=2)
    yield case("DITN.__arch.DITN_Real", "DITN_Real", x="inp_img", dim=24, ITL_blocks=1, SAL_blocks=1, upscale=2)
    yield case("DRCT.__arch.drct_arch", "DRCT", **windows, **shuffle, gc=8, img_size=32)
    yield case("FDAT.__arch.fdat", "FDAT", embed_dim=24, num_groups=1, depth_per_group=2, num_heads=2, scale=2)
    yield case(
        "FFTformer.__arch.fftformer_arch",
        "FFTformer",
        x="inp_img",
        dim=16,
        num_blocks=[1, 1, 1],
        num_refinement_blocks=1,
    )
    yield case("FBCNN.__arch.FBCNN", "FBCNN", nb=1)
    yield case(
        "GRL.__arch.grl",
        "GRL",
        img_size=32,
        embed_dim=24,
        depths=[2, 2],
        num_heads_window=[2, 2],
        num_heads_stripe=[2, 2],
        anchor_window_down_factor=2,
        **shuffle,
    )
    yield case("HAT.__arch.HAT", "HAT", **windows, **shuffle, img_size=32, num_feat=16, squeeze_factor=6)
    yield case("HVICIDNet.__arch.cidnet", "CIDNet", channels=[12, 12, 24, 48])
    yield case("IPT.__arch.ipt", "IPT", 48, n_feats=16, num_heads=4, num_layers=1, patch_size=48, scale=[2])
    yield case(
        "KBNet.__arch.kbnet_s", "KBNet_s", x="inp", width=16, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]
    )
    yield case("MixDehazeNet.__arch.MixDehazeNet", "MixDehazeNet", 64, embed_dims=[12, 24, 48, 24, 12])
    yield case("MoSR.__arch.mosr_arch", "MoSR", n_block=2, dim=24, upscale=2)
    yield case("NAFNet.__arch.NAFNet_arch", "NAFNet", x="inp", enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    yield case("OmniSR.__arch.OmniSR", "OmniSR", num_feat=24, up_scale=2)
    yield case("PLKSR.__arch.RealPLKSR", "RealPLKSR", dim=16, n_blocks=2, upscaling_factor=2, dysample=True)
    yield case("RCAN.__arch.rcan_arch", "RCAN", scale=2, n_resgroups=1, n_resblocks=2, n_feats=16)
    yield case(
        "RestoreFormer.__arch.restoreformer_arch",
        "RestoreFormer",
        64,
        x="input",
        n_embed=64,
        embed_dim=32,
        ch=32,
        ch_mult=[1, 1, 2],
        num_res_blocks=1,
        resolution=64,
        z_channels=32,
    )
    yield case("RetinexFormer.__arch.retinexformer_arch", "RetinexFormer", n_feat=16, stage=1)
    yield case("SAFMN.__arch.safmn", "SAFMN", dim=24, n_blocks=2, upscaling_factor=2)
    yield case("SCUNet.__arch.SCUNet", "SCUNet", 64, x="x0", config=[2, 2, 2, 2, 2, 2, 2])
    yield case("SPAN.__arch.span", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2)
    yield case("SeemoRe.__arch.seemore_arch", "SeemoRe", batch=1, num_layers=2, scale=2)
    yield case("Swin2SR.__arch.Swin2SR", "Swin2SR", **windows, **shuffle, img_size=32)
    yield case("SwinIR.__arch.SwinIR", "SwinIR", **windows, **shuffle, img_size=32)
    yield case(
        "Uformer.__arch.Uformer",
        "Uformer",
        128,
        img_size=128,
        embed_dim=16,
        depths=[1] * 9,
        num_heads=[1, 2, 2, 4, 4, 4, 4, 2, 2],
    )
