"""What ``attnexport debug`` takes: peak memory of the whole command on networks of 100 MB whose error it finds.

    python benchmarks/debug_memory.py [--json FILE]

Each run is a process of its own, started as a user would; its peak is what the kernel counted (``ru_maxrss``). A part of
each network overflows in FP16, so that every stage is made and judged, all tensors are compared, and a reproducer is written.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

LIMIT_MB = 1500
INPUTS = {"Encoder": "x=1x512x592", "Convolutions": "x=1x3x224x224"}


class Loud(nn.Module):
    """The identity by way of numbers that FP16 does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, and the same."""
        return torch.relu(x * 3e4 * 3e4) / 9e8 - torch.relu(-x)


class Encoder(nn.Module):
    """Six layers of attention: 101 MB, 512 tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(592, 8, 2368, batch_first=True)
        self.first = nn.TransformerEncoder(layer, 3)
        self.loud = Loud()
        self.second = nn.TransformerEncoder(layer, 3)
        self.head = nn.Linear(592, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, 592) -> (N, 10)."""
        result: torch.Tensor = self.head(self.second(self.loud(self.first(x))).mean(1))
        return result


class Convolutions(nn.Module):
    """A ResNet-50 in size and in activations: 100 MB, 224 x 224."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU())
        widths, blocks = (64, 128, 256, 512), (3, 4, 10, 3)
        stages, held = [], 64
        for width, count in zip(widths, blocks, strict=True):
            stages.append(
                nn.Sequential(*(Block(held if i == 0 else width, width, 2 if i == 0 else 1) for i in range(count)))
            )
            held = width
        self.stages = nn.Sequential(*stages)
        self.loud = Loud()
        self.head = nn.Linear(held, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, 1000)."""
        result: torch.Tensor = self.head(self.loud(self.stages(self.stem(x))).mean((2, 3)))
        return result


class Block(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self, held: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(held, width, 3, stride, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.BatchNorm2d(width),
        )
        self.around = nn.Conv2d(held, width, 1, stride) if stride > 1 or held != width else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.around(x))


@dataclass
class Row:
    """One network: its weights, the command's peak memory and time, and what it found."""

    network: str
    weights_mb: float
    inputs: str
    peak_mb: float
    seconds: float
    place: str


def measure(network: type[nn.Module]) -> Row:
    """Run the command on a network, as a process of its own."""
    weights = sum(p.numel() * p.element_size() for p in network().parameters()) / 1e6
    inputs = INPUTS[network.__name__]
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "debug", "--factory", f"debug_memory:{network.__name__}", "--random-weights", "--input", inputs, "--static",
            "--precision", "fp16",
            "--out", f"{folder}/found", "--json",
        ]  # fmt: skip
        start = time.perf_counter()
        # A child of a child: RUSAGE_CHILDREN keeps the largest of all that were waited for.
        done = subprocess.run(
            [sys.executable, __file__, "--child", *words], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parent,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        found = json.loads(done.stdout)
    if "error" in found["found"]:
        raise SystemExit(found["found"]["error"])
    place = found["found"]["place"]
    return Row(network.__name__, weights, inputs, found["peak_mb"], seconds, f"{place['stage']}, {place['module']}")


def child(words: list[str]) -> None:
    """Run the command and say what it took."""
    done = subprocess.run([sys.executable, "-m", "attnexport", *words], stdout=subprocess.PIPE, text=True, check=False)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    print(json.dumps({"peak_mb": peak, "found": json.loads(done.stdout)}))


def main() -> None:
    """Measure, print a table, exit with 1 where a run takes more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    arguments = parser.parse_args()
    rows = [measure(network) for network in (Encoder, Convolutions)]
    print(f"{'network':14} {'weights':>9} {'input':>16} {'peak':>9} {'time':>7}  place")
    for row in rows:
        print(
            f"{row.network:14} {row.weights_mb:6.0f} MB {row.inputs:>16} {row.peak_mb:6.0f} MB {row.seconds:5.0f} s  {row.place}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if any(row.peak_mb > LIMIT_MB for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
