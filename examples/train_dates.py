"""Train a small sequence-to-sequence network to write dates: "the 3rd of march 1998" -> 1998-03-03.

    python examples/train_dates.py

Letters in, digits out, by additive attention (Bahdanau, 2015). Dates are drawn from 1900 to 2099, each in one of eight
ways to say it. One date in ten is held out, however it is said, and measured once, after the last batch.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional as F

import attnexport
from attnexport.models import registry
from attnexport.models.seq2seq import END, PADDING, START, EncoderDecoder, tokens

HERE = Path(__file__).parent
SEED = 2015
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
LETTERS = " ,.abcdefghijklmnopqrstuvwxyz0123456789"
DIGITS = "0123456789-"
SOURCE_LENGTH = len("the 23rd of september 1998")
TARGET_LENGTH = len("1998-03-03")
FIRST, LAST = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
SAMPLES = 200
OPTIONS = {
    "source_vocabulary": 3 + len(LETTERS), "target_vocabulary": 3 + len(DIGITS), "embedding": 24, "width": 48,
    "attention": 32, "readout": 24,
}  # fmt: skip


def words(date: datetime.date, way: int) -> str:
    """The date, said in one of eight ways."""
    day, month, year = date.day, MONTHS[date.month - 1], date.year
    suffix = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return (
        f"the {day}{suffix} of {month} {year}",
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} the {day}{suffix}, {year}",
        f"{day}{suffix} {month[:3]} {year}",
        f"{month[:3]} {day} {year}",
        f"{year}, {month} {day}",
        f"{day}.{date.month}.{year}",
    )[way]


def source_row(text: str) -> list[int]:
    """Letters as tokens, padded. Raises ValueError for a letter that is not known, and for a text that is too long."""
    if len(text) > SOURCE_LENGTH:
        raise ValueError(f"{text!r} has {len(text)} letters, more than {SOURCE_LENGTH}")
    row = [3 + LETTERS.index(letter) for letter in text]
    return row + [PADDING] * (SOURCE_LENGTH - len(row))


def target_row(date: datetime.date) -> list[int]:
    """START, the date's ten characters, END."""
    return [START, *(3 + DIGITS.index(character) for character in date.isoformat()), END]


def written(row: Sequence[int]) -> str:
    """The characters of target tokens, without START and END."""
    return "".join(DIGITS[token - 3] for token in row if token > END)


def held_out(ordinal: int) -> bool:
    """Every tenth day of the calendar, which visits all months and days."""
    return ordinal % 10 == 0


def draw(count: int, generator: np.random.Generator, *, held: bool) -> tuple[Tensor, Tensor]:
    """Random dates of either part, said in random ways: source (count, 26) and target (count, 12) tokens."""
    sources: list[list[int]] = []
    targets: list[list[int]] = []
    while len(sources) < count:
        ordinal = int(generator.integers(FIRST, LAST + 1))
        if held_out(ordinal) == held:
            date = datetime.date.fromordinal(ordinal)
            sources.append(source_row(words(date, int(generator.integers(8)))))
            targets.append(target_row(date))
    return torch.tensor(sources), torch.tensor(targets)


@torch.no_grad()
def decode(network: EncoderDecoder, source: Tensor) -> Tensor:
    """The likeliest token after each, (N, 11), by the network's own step."""
    encoded = network.encode(source)
    memory, state = encoded[: len(network.memory_names)], list(encoded[len(network.memory_names) :])
    token = torch.full_like(source[:, 0], START)
    chosen = []
    for _ in range(TARGET_LENGTH + 1):
        logits, _, *state = network.step(token, *memory, *state)
        token = logits.argmax(1)
        chosen.append(token)
    return torch.stack(chosen, 1)


def accuracy(network: EncoderDecoder, source: Tensor, target: Tensor) -> float:
    """The share of dates that are right in every character."""
    return (decode(network, source) == target[:, 1:]).all(1).float().mean().item()


def train(steps: int, progress: Progress) -> EncoderDecoder:
    """A fresh network, trained with teacher forcing on ``steps`` batches of 64 dates."""
    torch.manual_seed(SEED)
    generator = np.random.default_rng(SEED)
    network = registry.build("seq2seq_bahdanau", **OPTIONS)
    assert isinstance(network, EncoderDecoder)
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    task = progress.add_task("dates", total=steps, loss=float("nan"))
    for _ in range(steps):
        source, target = draw(64, generator, held=False)
        logits = network(source, target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.update(task, advance=1, loss=loss.item())
    return network.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the held-out accuracy, and write ``dates_bahdanau.pt`` and ``dates_samples.npz``."""
    parser = argparse.ArgumentParser(description="Train a network that writes dates.")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to")
    options = parser.parse_args(arguments)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    console = Console()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        network = train(options.steps, progress)
    source, target = draw(1000, np.random.default_rng(SEED + 1), held=True)
    inputs = (
        tokens("source", SOURCE_LENGTH, OPTIONS["source_vocabulary"]),
        tokens("target", TARGET_LENGTH + 1, OPTIONS["target_vocabulary"]),
    )
    path = attnexport.save(network, options.out / "dates_bahdanau.pt", inputs=inputs, outputs=("logits",))
    np.savez_compressed(
        options.out / "dates_samples.npz", source=source[:SAMPLES].numpy(), target=target[:SAMPLES, :-1].numpy()
    )
    share = accuracy(network, source, target)
    console.print(f"{path}: {share:.1%} of {len(source)} held-out dates written right", soft_wrap=True)


if __name__ == "__main__":
    main()
