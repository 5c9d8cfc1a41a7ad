"""--outputs attention: maps of every mechanism as outputs that are named, recorded, held to parity, and drawn."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from attnexport.cli import main
from attnexport.errors import InputError
from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import ExportResult, run
from attnexport.export.source import SourceOptions, load
from attnexport.export.source.attention_maps import WithMaps, describe_maps, with_maps
from attnexport.models.attention.self_attention import SelfAttention
from attnexport.models.attention.squeeze_excite import SqueezeExcite

ROOT = Path(__file__).resolve().parents[3]

FACTORY = """
import torch
from torch import nn
from attnexport.models.attention.bam import BAM
from attnexport.models.attention.cbam import CBAM
from attnexport.models.attention.dual_attention import ChannelAttention, PositionAttention
from attnexport.models.attention.gam import GAM
from attnexport.models.attention.local_relation import LocalRelation
from attnexport.models.attention.multi_head import MultiHeadAttention
from attnexport.models.attention.non_local import NonLocal
from attnexport.models.attention.self_attention import SelfAttention
from attnexport.models.attention.spatial_transformer import SpatialTransformer
from attnexport.models.attention.squeeze_excite import SqueezeExcite
from attnexport.models.attention.stand_alone import StandAloneAttention
from attnexport.models.attention.triplet import TripletAttention


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        localisation = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        stn = SpatialTransformer(localisation, 12, padding_mode="border")
        nn.init.normal_(stn.regressor.weight, std=0.2)
        self.image = nn.Sequential(
            stn,
            nn.Conv2d(3, 8, 1),
            SqueezeExcite(8, reduction=2),
            CBAM(8, reduction=2, kernel_size=3),
            BAM(8, reduction=2),
            TripletAttention(kernel_size=3),
            GAM(8, reduction=2),
            NonLocal(8, zero_init=False),
            PositionAttention(8, zero_init=False),
            ChannelAttention(zero_init=False),
            StandAloneAttention(8, 8, kernel_size=3, heads=2),
            LocalRelation(8, 8, kernel_size=3, share=4),
        )
        self.tokens = nn.Sequential(SelfAttention(8), MultiHeadAttention(8, 2))

    def forward(self, x):
        return self.tokens(self.image(x).flatten(2).transpose(1, 2)).mean(1)
"""

KINDS = {
    "image.0": "grid", "image.2": "gate", "image.3.channel": "gate", "image.3.spatial": "gate", "image.4": "gate",
    "image.5": "gate", "image.6": "gate", "image.7": "tokens", "image.8": "tokens", "image.9": "channels",
    "image.10": "window", "image.11": "window", "tokens.0": "tokens", "tokens.1": "tokens",
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    folder = tmp_path_factory.mktemp("maps")
    (folder / "maps_of_everything.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        source = SourceOptions(
            factory="maps_of_everything:Everything", random_weights=True, inputs=("x=1x3x6x6",), dynamic=("x:0=1:2:3",)
        )
        return run(ExportOptions(model=None, out=folder / "all.attn", source=source, attention=True))


def test_every_mechanisms_map_is_an_output_in_the_order_of_the_calls(everything: ExportResult) -> None:
    manifest = everything.manifest
    assert [spec.name for spec in manifest.outputs] == ["output", *(f"attention.{path}" for path in KINDS)]
    assert {record.module: record.kind for record in manifest.attention} == KINDS
    assert [record.output for record in manifest.attention] == [spec.name for spec in manifest.outputs[1:]]
    assert manifest.attention[0].detail == {"align_corners": False}
    assert manifest.attention[11].detail == {"stride": 1}
    shapes = {spec.name: spec.symbols for spec in manifest.outputs}
    assert shapes["attention.image.3.spatial"] == ("batch", 1, 6, 6)
    assert shapes["attention.image.10"] == ("batch", 2, 9, 6, 6)
    assert shapes["attention.tokens.1"] == ("batch", 2, 36, 36)


def test_every_map_takes_part_in_parity(everything: ExportResult) -> None:
    assert everything.passed
    for stage in ("onnx-fp32", "onnx-fp16", "emulated-fp16"):
        judged = {record.output for record in everything.manifest.parity if record.stage == stage}
        assert judged == {spec.name for spec in everything.manifest.outputs}


def test_local_attention_that_is_not_fused_for_its_map_is_said(everything: ExportResult) -> None:
    found = {record.op for record in everything.manifest.rewrites}
    assert "LocalAttention" not in found
    assert "LocalAggregate" in found
    assert any("local attention of image.10, image.11 is not fused" in note for note in everything.manifest.notes)


def test_maps_are_drawn_over_an_image(
    everything: ExportResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    image.effect_noise((40, 30), 60).save(tmp_path / "noise.jpg")
    words = [
        "inspect",
        str(everything.bundle),
        "--attention",
        str(tmp_path / "noise.jpg"),
        "--mean",
        "0.5",
        "--std",
        "0.2",
    ]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(tmp_path / "maps.png")])
    assert not stop.value.code
    assert "maps.png" in capfd.readouterr().out.replace("\n", "")
    with image.open(tmp_path / "maps.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").resize((200, 200)).getcolors(40000)) > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.png"], "require --attention"),
        (["--attention", "absent.png"], "image absent.png does not exist"),
        (["--attention", "absent.png", "--mean", "dark"], "--mean 'dark' is not a list of numbers"),
        (["--attention", "absent.png", "--std", "1,2"], "--std has 2 numbers for 3 channels"),
        (["--attention", "absent.png", "--out", "x.bmp"], "does not end in .png"),
    ],
)
def test_what_cannot_be_drawn_exits_with_2_and_one_line(
    words: list[str], said: str, everything: ExportResult, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["inspect", str(everything.bundle), *words])
    assert stop.value.code == 2
    assert said in capfd.readouterr().err


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = SqueezeExcite(4, reduction=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.gate(self.gate(x) + 1)
        return result


def test_the_model_keeps_its_result_and_its_state_and_its_copies_their_own_maps() -> None:
    model, x = Twice().eval(), torch.randn(2, 4, 3, 3)
    own, state = model(x), list(model.state_dict())
    original, model = model, with_maps(model)
    double = copy.deepcopy(model).double()(x.double())
    given = model(x)
    assert isinstance(given, WithMaps)
    assert torch.equal(given.result, own)
    assert torch.equal(original(x), own)
    assert all(a is b for a, b in zip(original.parameters(), model.parameters(), strict=True))
    assert list(model.state_dict()) == state
    assert list(given.maps) == ["attention.gate", "attention.gate#2"]
    torch.testing.assert_close(given.maps["attention.gate"], model.gate.scale(x), rtol=0, atol=0)
    assert not torch.equal(given.maps["attention.gate"], given.maps["attention.gate#2"])
    assert {tensor.dtype for tensor in double.maps.values()} == {torch.float64}
    assert [record.module for record in describe_maps(model, given.maps)] == ["gate", "gate"]


def test_a_mechanism_alone_is_named_attention() -> None:
    model = with_maps(SelfAttention(4))
    assert list(model(torch.randn(1, 3, 4)).maps) == ["attention"]


@pytest.mark.parametrize("name", ["digits_stn_cbam", "digits_sasa", "digits_lrnet"])
def test_stored_checkpoints_load_and_with_maps(name: str) -> None:
    source = load(ROOT / "examples" / f"{name}.pt", SourceOptions())
    assert with_maps(source.module)(torch.randn(2, 3, 32, 32)).maps


def test_a_model_without_maps_is_refused_and_so_is_one_without_modules() -> None:
    with pytest.raises(InputError, match="no module of Linear has an attention map"):
        with_maps(nn.Linear(2, 2))
    with pytest.raises(InputError, match="a traced program has no modules left"):
        with_maps(torch.fx.symbolic_trace(Twice()))


def test_a_kind_that_nobody_draws_is_refused() -> None:
    model = Twice()
    model.gate.map_kind = "hologram"
    with pytest.raises(InputError, match="map_kind 'hologram' of module 'gate' is not known"):
        with_maps(model)


def test_another_word_than_attention_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(ROOT / "examples" / "digits_sasa.pt"), "--outputs", "logits"])
    assert stop.value.code == 2
    assert "--outputs logits is not known. use --outputs attention" in capfd.readouterr().err
