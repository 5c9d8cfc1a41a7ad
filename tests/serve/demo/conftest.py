"""A served page for this folder's tests: three hand-written bundles behind a real Triton, and a real headless Chromium.

signs   x (N, 3, 8, 8) -> logits (N, 4) = mean over space @ WEIGHT, and the attention map sigmoid(mean of channels)
cut     x (N, 1, 6, 10) -> scores (N, 3, 6, 10): x, 0.5 and 1 - x
tokens  ids (N, 4) int64 -> y (N, 4) float32, which is not an image
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.benchmarks.chromium import NAMES, Browser, find_browser
from attnexport.runtime.bundle.figures import Figures, Gate, ParityRecord
from attnexport.runtime.bundle.golden import GoldenCase, write_golden
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import AttentionRecord, SamplesRecord, SourceRecord
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.spec import Axis, TensorSpec

Image = pytest.importorskip("PIL.Image", reason="the page reads images with Pillow")

BATCH = Axis(1, 2, 4, "batch")
WEIGHT = np.array([[3, -1, 0, 1], [-2, 4, 1, 0], [0, 1, -3, 2]], np.float32)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
CLASSES = ("<b>cat</b>", "dog", "fox", "owl")
HEAD = '<ir_version: 9, opset_import: ["" : 18]>'
SIGNS = f"""{HEAD}
signs (float[batch, 3, 8, 8] x) => (float[batch, 4] logits, float[batch, 1, 8, 8] "attention.look")
<float[3, 4] weight = {{{", ".join(map(str, WEIGHT.ravel().tolist()))}}}, int64[2] space = {{2, 3}}, int64[1] channels = {{1}}> {{
  pooled = ReduceMean<keepdims = 0>(x, space)
  logits = MatMul(pooled, weight)
  mixed = ReduceMean(x, channels)
  "attention.look" = Sigmoid(mixed)
}}"""
CUT = f"""{HEAD}
cut (float[batch, 1, 6, 10] x) => (float[batch, 3, 6, 10] scores)
<float[1] zero = {{0.0}}, float[1] half = {{0.5}}, float[1] one = {{1.0}}> {{
  none = Mul(x, zero)
  middle = Add(none, half)
  rest = Sub(one, x)
  scores = Concat<axis = 1>(x, middle, rest)
}}"""
TOKENS = f"""{HEAD}
tokens (int64[batch, 4] ids) => (float[batch, 4] y) {{ y = Cast<to = 1>(ids) }}"""


def signs_oracle(x: np.ndarray) -> dict[str, np.ndarray]:
    """What ``signs`` gives for (N, 3, 8, 8), in FP64."""
    x = x.astype(np.float64)
    return {"logits": x.mean((2, 3)) @ WEIGHT, "attention.look": 1 / (1 + np.exp(-x.mean(1, keepdims=True)))}


def cut_oracle(x: np.ndarray) -> dict[str, np.ndarray]:
    """What ``cut`` gives for (N, 1, 6, 10), in FP64."""
    x = x.astype(np.float64)
    return {"scores": np.concatenate([x, np.full_like(x, 0.5), 1 - x], 1)}


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of the last axis."""
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def png(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) uint8 as a file."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _write(
    path: Path,
    text: str,
    feeds: dict[str, np.ndarray],
    oracle: Callable[[np.ndarray], dict[str, np.ndarray]],
    dims: dict[str, tuple[int, ...]],
    **changes: Any,
) -> Path:
    onnx = pytest.importorskip("onnx")
    figures = Figures(1e-7, 1e-7, 1e-7, 1.0, 1.0, 64)
    gate = Gate.judge(figures, torch_rms=1e-6, precision="float32", factor=2.0)
    (name, x), *_ = feeds.items()
    truth = oracle(x)
    manifest = Manifest(
        name=path.stem, created="2026-11-21T10:00:00+00:00", source=SourceRecord("onnx", "model.onnx", "0" * 64),
        tools={"attnexport": "0.1.0"}, gpu=None, task=None,
        inputs=(TensorSpec(name, x.dtype.name, (BATCH, *map(Axis.fixed, x.shape[1:]))),),
        outputs=tuple(TensorSpec(out, "float32", (BATCH, *map(Axis.fixed, dims[out]))) for out in truth),
        parity=tuple(ParityRecord("onnx-fp32", "model.onnx", "float32", out, figures, gate, 1e-6, {}) for out in truth),
    )  # fmt: skip
    with BundleWriter(path) as writer:
        onnx.save(onnx.parser.parse_model(text), writer.path / "model.onnx")
        writer.add("model.onnx", "model-fp32")
        cases = [GoldenCase("random-opt-0", {name: x[::-1]}, oracle(x[::-1]))]
        if "samples" in changes:
            cases.append(GoldenCase("samples-2-0", feeds, truth))
        write_golden(writer.path / "golden.npz", cases)
        writer.commit(replace(manifest, **changes), roles={"golden.npz": "golden"})
    return path


def write_bundles(folder: Path) -> list[Path]:
    """All three."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (2, 8, 8, 3)) / 255
    x = ((pixels - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    images = {"size": [8, 8], "mean": list(MEAN), "std": list(STD), "classes": list(CLASSES)}
    return [
        _write(
            folder / "signs.attn", SIGNS, {"x": x}, signs_oracle, {"logits": (4,), "attention.look": (1, 8, 8)},
            samples=SamplesRecord("photos", 2, True, images), task="classification",
            attention=(AttentionRecord("attention.look", "look", "SpatialGate", "gate"),),
        ),
        _write(
            folder / "cut.attn", CUT, {"x": random.random((2, 1, 6, 10), np.float32)}, cut_oracle, {"scores": (3, 6, 10)},
            task="segmentation",
        ),
        _write(
            folder / "tokens.attn", TOKENS, {"ids": np.arange(8).reshape(2, 4)}, lambda ids: {"y": ids.astype(np.float64)},
            {"y": (4,)},
        ),
    ]  # fmt: skip


class Tools:
    """What the tests of this folder share, by one fixture."""

    MEAN, STD, CLASSES = MEAN, STD, CLASSES
    png, softmax, write_bundles = staticmethod(png), staticmethod(softmax), staticmethod(write_bundles)
    signs, cut = staticmethod(signs_oracle), staticmethod(cut_oracle)


@pytest.fixture(scope="session")
def demo_tools() -> type[Tools]:
    """Images, oracles, bundles; see :class:`Tools`."""
    return Tools


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The three bundles, not served."""
    return write_bundles(tmp_path_factory.mktemp("bundles"))


@dataclass(frozen=True)
class Page:
    """The running page: ``url`` ends with a slash, ``server`` is the process behind it."""

    url: str
    server: Any

    @property
    def netloc(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://").rstrip("/")

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON and headers of an answer."""
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            text = answer.read()
            told = json.loads(text) if answer.headers["Content-Type"] == "application/json" else {"text": text.decode()}
            return answer.status, told, dict(answer.headers)
        finally:
            connection.close()

    def look(self, model: str, image: bytes, **words: str) -> dict[str, Any]:
        """What the model makes of an image."""
        query = "&".join(f"{name}={value}" for name, value in {"model": model, **words}.items())
        status, told, _ = self.ask("POST", f"/look?{query}", image)
        assert status == 200, told
        return told


@pytest.fixture(scope="session")
def page(tools: Any, bundles: list[Path]) -> Iterator[Page]:
    """The page over a real Triton."""
    with tools.Server(bundles, "--demo", "--demo-port", "0") as server:
        url = server.wait_for("demo")["url"]
        yield Page(url, server.ready())
        assert server.stop() == 0


class Tab(Browser):
    """A Chromium that opens an address, and waits for what a page does in its own time."""

    def visit(self, url: str) -> None:
        """Open an address and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def until(self, expression: str) -> Any:
        """The value of an expression in the page once it is true; a page that never comes to it fails."""
        return self.run(f"""new Promise((done, failed) => {{
          const late = setTimeout(() => failed(new Error("never: " + {json.dumps(expression)} + " in " + document.body.innerText)), 20000);
          const look = () => {{
            const value = ({expression});
            if (value) {{ clearTimeout(late); done(value); }} else setTimeout(look, 20);
          }};
          look();
        }})""")

    def bytes(self, expression: str) -> np.ndarray:
        """The pixels of a canvas, (H, W, 4)."""
        found = self.run(f"""(c => ({{width: c.width, height: c.height,
          data: btoa(String.fromCharCode(...c.getContext("2d").getImageData(0, 0, c.width, c.height).data))}}))({expression})""")
        data = np.frombuffer(base64.b64decode(found["data"]), np.uint8)
        return data.reshape(found["height"], found["width"], 4)


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One Chromium for all tests."""
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser is here: none of {', '.join(NAMES)}")
    opened = Tab(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()
