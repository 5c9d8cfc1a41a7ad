"""From a network of your own to a bundle that runs anywhere: the Python API in five steps.

    python examples/tutorial.py [FOLDER]

Half a minute on one core; needs ``pip install 'attnexport[export]'``. Every step prints what it found, and stops where it is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import attnexport

SAMPLES = Path(__file__).parent / "digits_samples.npz"


class LocalAttention(nn.Module):
    """Each position attends to the 5x5 around it, written as people write it: with F.unfold."""

    def __init__(self, channels: int, size: int = 5) -> None:
        super().__init__()
        self.size = size
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        n, c, h, w = x.shape
        keys, values = (
            F.unfold(part(x), self.size, padding=self.size // 2).view(n, c, self.size**2, h * w)
            for part in (self.key, self.value)
        )
        query = self.query(x).view(n, c, 1, h * w)
        weights = ((query * keys).sum(1, keepdim=True) / c**0.5).softmax(2)
        attended: Tensor = (weights * values).sum(2).view(n, c, h, w)
        return x + attended


class Net(nn.Module):
    """Digits: (N, 3, 32, 32) -> logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, stride=4, padding=2), nn.BatchNorm2d(16), nn.ReLU())
        self.attention = LocalAttention(16)
        self.head = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """A dictionary: its keys become the names of the outputs."""
        return {"logits": self.head(self.attention(self.stem(x)).flatten(1))}


def train(images: Tensor, labels: Tensor, steps: int = 60) -> Net:
    """Any network that you have trained; this one takes a few seconds."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,))
        loss = F.cross_entropy(net(images[chosen])["logits"], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def main(folder: Path) -> None:
    """The five steps."""
    data = np.load(SAMPLES)
    images, labels = data["x"], data["labels"]
    net = train(torch.from_numpy(images), torch.from_numpy(labels))

    # 1. Export. Example inputs show names, shapes and dtypes; the batch becomes dynamic. Samples make parity real.
    bundle = attnexport.export(
        net,
        {"x": torch.from_numpy(images[:1])},
        out=folder / "digits.attn",
        samples={"x": images, "labels": labels},
        task="classification",
        force=True,
    )
    print(bundle)
    for rewrite in bundle.manifest.rewrites:
        print(f"  {rewrite.module}: {rewrite.found or rewrite.op} as {rewrite.lowering} in {rewrite.model}")

    # 2. Prove it: every file against its hash, every model against the original in FP64.
    proof = bundle.verify()
    for row in proof.rows:
        error = "" if row.ratio is None else f", {row.ratio:.2f} times PyTorch's error"
        print(f"  {row.stage}: {row.verdict}{error}")
    assert proof.passed

    # 3. Run it. "auto" takes an engine where one fits, then ONNX Runtime on the GPU, then on the CPU, and says which and why.
    with bundle.open() as session, bundle.open("torch") as original:
        print(session, *session.notes, sep="\n  ")
        batch = {"x": torch.from_numpy(images[:16])}  # tensors are read where they lie
        got, expected = session.run(batch)["logits"], original.run(batch)["logits"]
        print(f"  against PyTorch: {np.abs(got - expected).max():.1e}")
        assert np.allclose(got, expected, atol=1e-4)

    # 4. Time it beside PyTorch and a plain torch.onnx export, in interleaved rounds.
    report = bundle.bench(
        contenders=("eager", "plain", "attnexport"), batches=(1,), rounds=5, seconds=5.0, memory=False
    )

    for timing in report.points[0].timings:
        faster = (
            "" if timing.ratio is None else f", {timing.ratio.value:.1f} times as fast as {report.settings.baseline}"
        )
        print(f"  {timing.contender}: {timing.median.value:.2f} ms{faster}")

    # 5. Look at all of it on one page.
    page = bundle.report(folder / "report.html", report)
    print(f"  open {page}")

    # Later, on another machine, without PyTorch: the same by the bundle's path.
    with attnexport.open(folder / "digits.attn", threads=1) as session:
        right = sum(
            int((session.run({"x": images[i : i + 15]})["logits"].argmax(1) == labels[i : i + 15]).sum())
            for i in range(0, 60, 15)
        )
    print(f"  {right} of 60 digits are right")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
