"""The Transformer against torch.nn.Transformer with its weights copied over, and against the parameter counts of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.models import registry
from attnexport.models.attention.multi_head import MultiHeadAttention
from attnexport.models.transformer import Transformer, transformer_base


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key.weight, ours.value.weight)))
    theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key.bias, ours.value.bias)))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


@torch.no_grad()
def oracle_of(network: Transformer, channels: int, heads: int, hidden: int, layers: int, norm_first: bool) -> nn.Module:
    """torch's, with the norms at the stacks' ends only where norms come first: the paper has none."""
    oracle = nn.Transformer(
        channels, heads, layers, layers, hidden, 0.0, batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    if not norm_first:
        oracle.encoder.norm = oracle.decoder.norm = None
    else:
        oracle.encoder.norm.load_state_dict(network.encoder_norm.state_dict())
        oracle.decoder.norm.load_state_dict(network.decoder_norm.state_dict())
    for ours, theirs in (
        *zip(network.encoder, oracle.encoder.layers, strict=True),
        *zip(network.decoder, oracle.decoder.layers, strict=True),
    ):
        copy_attention(ours.attention, theirs.self_attn)
        theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward[3].state_dict())
        if hasattr(theirs, "multihead_attn"):
            copy_attention(ours.cross, theirs.multihead_attn)
        for name, norm in (("first", "norm1"), ("second", "norm2"), ("third", "norm3")):
            if hasattr(theirs, norm):
                getattr(theirs, norm).load_state_dict(getattr(ours, name).norm.state_dict())
    return oracle.eval()


def places(length: int, channels: int) -> Tensor:
    table = np.zeros((length, channels))
    for p in range(length):
        for i in range(channels // 2):
            angle = p / 10000 ** (2 * i / channels)
            table[p, 2 * i], table[p, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return torch.from_numpy(table)


def randomised(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    ("channels", "heads", "hidden", "layers", "source", "target"), [(8, 2, 12, 2, 5, 4), (12, 3, 8, 1, 7, 9)]
)
def test_is_torch_s_transformer(channels, heads, hidden, layers, source, target, norm_first):
    network = randomised(
        Transformer(20, channels=channels, heads=heads, hidden=hidden, layers=layers, length=10, norm_first=norm_first)
    )
    oracle = oracle_of(network, channels, heads, hidden, layers, norm_first)
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 20, (3, source), generator=generator)
    padding = torch.arange(source) >= torch.tensor([source, 3, 1])[:, None]
    ids = ids.masked_fill(padding, 0)
    written = torch.randint(0, 20, (3, target), generator=generator)
    table = network.embedding.weight

    def embedded(tokens: Tensor) -> Tensor:
        return F.embedding(tokens, table) * channels**0.5 + places(tokens.shape[1], channels)

    expected = oracle(
        embedded(ids),
        embedded(written),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(target, dtype=torch.float64),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    torch.testing.assert_close(network(ids, written), F.linear(expected, table), rtol=0, atol=1e-10)


def test_gradients():
    network = randomised(Transformer(5, channels=4, heads=2, hidden=3, layers=1, length=4))
    names = [name for name, _ in network.named_parameters()]
    source, target = torch.tensor([[3, 4, 0]]), torch.tensor([[1, 3]])

    def call(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (source, target))

    assert torch.autograd.gradcheck(call, tuple(p.detach().clone().requires_grad_() for p in network.parameters()))


def test_dropout_acts_in_training_only():
    network = transformer_base(vocabulary=9, channels=8, heads=2, hidden=8, layers=1, length=4, dropout=0.5)
    source, target = torch.tensor([[3, 4]]), torch.tensor([[1, 5]])
    assert not torch.equal(network(source, target), network(source, target))
    network.eval()
    assert torch.equal(network(source, target), network(source, target))


def millions(**options: int) -> float:
    with torch.device("meta"):
        network = registry.build("transformer_base", **options)
    return sum(p.numel() for p in network.parameters()) / 1e6


BASE = 65
TABLE_3 = [
    ({"layers": 2}, 36), ({"layers": 4}, 50), ({"layers": 8}, 80), ({"hidden": 1024}, 53), ({"hidden": 4096}, 90),
]  # fmt: skip


@pytest.mark.parametrize(("options", "printed"), TABLE_3, ids=lambda value: str(value))
def test_layers_have_the_paper_s_parameters(options, printed):
    """Vaswani 2017, table 3, rows (C): what a variation adds to the base model's 65 million, both printed whole."""
    assert millions(**options) - millions() == pytest.approx(printed - BASE, abs=1.0)


def test_the_whole_has_the_paper_s_parameters_but_for_its_vocabulary():
    """Table 3: 65 million. Section 5.1 says "about 37000 tokens", which gives 63.1; within 1 % it takes 40,800."""
    assert millions() == pytest.approx(63.1, abs=0.05)
    assert millions(vocabulary=40800) == pytest.approx(BASE, rel=0.01)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="3 heads do not divide 512 channels"):
        transformer_base(heads=3)
