"""Train the three example networks on scikit-learn's handwritten digits; write their checkpoints and held-out samples.

    python examples/train_digits.py --model all

The 1,797 scans of 8x8 pixels become 3x32x32 images. 1,400 of them, turned and shifted anew in every epoch, are for
training; the other 397 are only ever measured, upright and distorted, after the last epoch. The same seed makes
the same split, distortions and samples.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import attnexport
from attnexport.models import registry

HERE = Path(__file__).parent
SEED = 2015
TRAINING = 1400
UPRIGHT_SAMPLES, DISTORTED_SAMPLES = 200, 160
DEGREES, PIXELS = 30.0, 3.0
MEAN, STD = 0.3, 0.37


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 32, 32) of ink from 0 to 1, and their labels (N,)."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, part: slice | Tensor) -> Digits:
        return Digits(self.images[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)


def digits() -> tuple[Digits, Digits]:
    """The training and the held-out part, from one fixed shuffle."""
    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    images = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    both = Digits(images, torch.from_numpy(data.target))[shuffled]
    return both[:TRAINING], both[TRAINING:]


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image by up to 30 degrees and shift it by up to 3 pixels along each axis, both drawn uniformly."""

    def uniform(*size: int) -> Tensor:
        return 2 * torch.rand(size, generator=generator) - 1

    angle = uniform(len(images)) * math.radians(DEGREES)
    shift = uniform(len(images), 2) * PIXELS / (images.shape[-1] / 2)
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack((torch.stack((cos, -sin), 1), torch.stack((sin, cos), 1)), 1)
    grid = F.affine_grid(torch.cat((rotation, shift.unsqueeze(2)), 2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def network_input(images: Tensor) -> Tensor:
    """Ink (N, 1, 32, 32) -> x (N, 3, 32, 32): eight bits a pixel, normalised, three equal channels."""
    pixels = (images * 255).round() / 255
    return ((pixels - MEAN) / STD).expand(-1, 3, -1, -1).contiguous()


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of ``x`` whose largest logit is its label."""
    predicted = torch.cat([model(part).argmax(1) for part in x.split(64)])
    return (predicted == labels).float().mean().item()


def train(name: str, training: Digits, epochs: int, progress: Progress) -> nn.Module:
    """A fresh network of that name, trained on distorted digits alone."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = registry.build(name)
    batches = math.ceil(len(training) / 64)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * batches)
    task = progress.add_task(name, total=epochs, loss=math.nan)
    for _ in range(epochs):
        losses = []
        for chosen in torch.randperm(len(training), generator=generator).split(64):
            batch = training[chosen]
            logits = model(network_input(distort(batch.images, generator)))
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        progress.update(task, advance=1, loss=float(np.mean(losses)))
    return model.eval()


def save_samples(held_out: Digits, distorted: Tensor, path: Path) -> None:
    """The first held-out digits upright and the next ones distorted, as the networks take them, with their labels."""
    total = UPRIGHT_SAMPLES + DISTORTED_SAMPLES
    x = torch.cat((held_out.images[:UPRIGHT_SAMPLES], distorted[UPRIGHT_SAMPLES:total]))
    np.savez_compressed(
        path,
        x=network_input(x).numpy(),
        labels=held_out.labels[:total].numpy(),
        distorted=np.arange(total) >= UPRIGHT_SAMPLES,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the held-out accuracies, and write ``NAME.pt`` for each network and ``digits_samples.npz``."""
    names = [name for name in registry.names() if name.startswith("digits_")]
    parser = argparse.ArgumentParser(description="Train the digits networks and write their checkpoints.")
    parser.add_argument("--model", choices=[*names, "all"], default="all")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to")
    options = parser.parse_args(arguments)

    training, held_out = digits()
    distorted = distort(held_out.images, torch.Generator().manual_seed(SEED + 1))
    save_samples(held_out, distorted, options.out / "digits_samples.npz")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    console = Console()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        for name in names if options.model == "all" else [options.model]:
            model = train(name, training, options.epochs, progress)
            entry = registry.entry(name)
            path = attnexport.save(
                model, options.out / f"{name}.pt", inputs=entry.inputs, outputs=entry.outputs, task=entry.task
            )
            upright = accuracy(model, network_input(held_out.images), held_out.labels)
            turned = accuracy(model, network_input(distorted), held_out.labels)
            line = f"{path}: {upright:.1%} upright, {turned:.1%} distorted, {len(held_out)} held-out digits"
            progress.console.print(line, soft_wrap=True)


if __name__ == "__main__":
    main()
