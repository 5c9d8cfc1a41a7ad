"""Non-local ResNet-50: where the blocks stand, what they add, and the network without them."""

from __future__ import annotations

import pytest
import torch

from attnexport.models import registry
from attnexport.models.attention.non_local import NonLocal
from attnexport.models.inflate import inflate
from attnexport.models.nonlocal_resnet import ENTRIES
from attnexport.models.resnet import resnet

IMAGES, CLIPS = ENTRIES
SMALL = {"classes": 6, "width": 8, "longest": 2}


def parameters(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in registry.build(name, **options).parameters())


def test_the_clip_network_has_the_parameters_that_are_published():
    """MMAction2's model zoo, I3D with 5 non-local blocks on ResNet-50, Kinetics-400: 35.4 M. The paper prints none."""
    assert parameters("nonlocal_resnet50_video") / 1e6 == pytest.approx(35.4, rel=0.002)


@pytest.mark.parametrize(("placement", "second", "third"), [("one", 0, 1), ("alternate", 2, 3), ("every", 4, 6)])
def test_blocks_add_four_projections_and_a_normalisation_each(placement, second, third):
    """theta, phi and g from C to C/2 and out from C/2 to C, with biases, and BN: 2 C^2 + 4.5 C."""

    def block(channels: int) -> int:
        return 2 * channels**2 + 3 * channels // 2 + 3 * channels

    added = parameters("nonlocal_resnet50", placement=placement) - parameters("resnet50")
    assert added == second * block(512) + third * block(1024)


@pytest.mark.parametrize(
    ("placement", "second", "third"),
    [
        ("one", [], ["3", "4", "nonlocal4", "5"]),
        ("alternate", ["0", "1", "nonlocal1", "2", "3", "nonlocal3"], ["4", "5", "nonlocal5"]),
        ("every", ["0", "nonlocal0", "1", "nonlocal1"], ["5", "nonlocal5"]),
    ],
)
@pytest.mark.parametrize("name", ["nonlocal_resnet50", "nonlocal_resnet50_video"])
def test_where_the_blocks_stand(name, placement, second, third):
    with torch.device("meta"):
        module = registry.build(name, placement=placement)
    names = [[name for name, _ in stage.named_children()] for stage in (module.layer2, module.layer3)]
    assert names[0][: len(second)] == second
    assert names[1][-len(third) :] == third
    everywhere = {"one": 1, "alternate": 5, "every": 10}[placement]
    assert sum(isinstance(m, NonLocal) for m in module.modules()) == everywhere


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded", "dot", "concatenation"])
def test_a_new_network_is_the_residual_network_with_the_same_weights(pairwise, settled):
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    plain = settled(resnet(50, 6, 8, 2), *x.shape)
    module = registry.build("nonlocal_resnet50", **SMALL, pairwise=pairwise).double().eval()
    missing, unexpected = module.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all("nonlocal" in name for name in missing)
    torch.testing.assert_close(module(x), plain(x), rtol=0, atol=1e-12)
    started = registry.build("nonlocal_resnet50", **SMALL, pairwise=pairwise, zero_init=False).double().eval()
    started.load_state_dict(plain.state_dict(), strict=False)
    assert (started(x) - plain(x)).abs().max() > 1e-3


@pytest.mark.parametrize("temporal", [True, False])
def test_a_new_clip_network_is_the_inflated_one(temporal, settled):
    x = torch.randn(2, 3, 16, 32, 32, dtype=torch.float64)
    plain = resnet(50, 6, 8, 2)
    inflate(plain, temporal=temporal)
    plain = settled(plain, *x.shape)
    module = registry.build("nonlocal_resnet50_video", **SMALL, temporal=temporal).double().eval()
    module.load_state_dict(plain.state_dict(), strict=False)
    logits = plain(x)
    assert (logits[0] - logits[1]).abs().max() > 0.01
    torch.testing.assert_close(module(x), logits, rtol=0, atol=1e-12)


def test_a_block_of_the_clip_network_mixes_time():
    """What a clip is for: a change in the first frame reaches every place of the last one."""
    block = registry.build("nonlocal_resnet50_video", **SMALL, temporal=False, zero_init=False).layer2.nonlocal1
    block = block.double().eval()
    x = torch.randn(1, 64, 4, 4, 4, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 0] += 1
    assert (block(changed) - block(x))[:, :, 3].abs().amax(1).min() > 1e-6


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_reduced_networks_export_with_a_free_batch_axis(entry, settled):
    shape = entry.reduced_inputs[0]["axes"][1:]
    x = torch.randn(3, *shape, dtype=torch.float64)
    module = settled(registry.build(entry.name, **entry.reduced_options), *x.shape)
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for size in (1, 2):
        x = torch.randn(size, *shape, dtype=torch.float64)
        y = module(x)
        assert y.shape == (size, 10)
        torch.testing.assert_close(program(x), y, rtol=0, atol=1e-10)


def test_what_the_entries_take():
    assert IMAGES.inputs[0]["axes"][1:] == [3, 224, 224]
    assert CLIPS.inputs[0]["axes"][1:] == [3, 32, 224, 224]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "two"}, "placement 'two' is not one of one, alternate, every"),
        ({"pairwise": "cosine"}, "pairwise 'cosine' is not one of gaussian"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        registry.build("nonlocal_resnet50", **SMALL, **options)
