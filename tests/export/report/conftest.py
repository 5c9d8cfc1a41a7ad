"""What the report's tests share: a real export, its page, and a real headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import attnexport
from attnexport.benchmarks.chromium import NAMES, Browser, find_browser
from attnexport.export.stages import verification
from attnexport.export.verify.module_errors import ModuleComparison, compare_modules
from attnexport.runtime.bundle.bundle import StoredBundle


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser is here: none of {', '.join(NAMES)}")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


NASTY = "<script>alert(1)</script>"
"""A name that a module may have: everything but a dot is allowed."""


class Look(torch.nn.Module):
    """A small spatial transformer: it turns and shifts the image by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.regress = torch.nn.Linear(256, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        theta = (0.1 * self.regress(x.flatten(1)) + bias).view(-1, 2, 3)
        grid = F.affine_grid(theta, [x.shape[0], 1, 16, 16], align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


class Net(torch.nn.Module):
    """Looks, convolves in a module with a nasty name, and gives classes and a picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.look = Look()
        self.add_module(NASTY, torch.nn.Conv2d(1, 4, 3, padding=1))
        self.head = torch.nn.Linear(4, 5)
        self.last = torch.nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = torch.relu(self.get_submodule(NASTY)(self.look(x)))
        return {"logits": self.head(seen.mean((2, 3))), "picture": torch.sigmoid(self.last(seen))}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredBundle, tuple[Any, ...]]:
    """A real export, with an engine, real samples and two outputs; and what :func:`compare_modules` was given in it."""
    out = tmp_path_factory.mktemp("report") / "net.attn"
    samples = {"x": np.random.default_rng(0).random((5, 1, 16, 16), np.float32)}
    given: list[tuple[Any, ...]] = []

    def looked(*arguments: Any) -> ModuleComparison:
        given.append(arguments)
        return compare_modules(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "compare_modules", looked)
        inputs = {"x": torch.zeros(1, 1, 16, 16)}
        attnexport.export(Net(), inputs, out=out, trt="rtx", samples=samples, task="classification")
    return StoredBundle.open(out), given[0]


@pytest.fixture(scope="session")
def bundle(exported: tuple[StoredBundle, tuple[Any, ...]]) -> StoredBundle:
    return exported[0]


@pytest.fixture
def net() -> torch.nn.Module:
    return Net().eval()


@pytest.fixture(scope="session")
def nasty() -> str:
    return NASTY


@pytest.fixture(scope="session")
def page(bundle: StoredBundle) -> str:
    return bundle.file("report.html").read_text(encoding="utf-8")
