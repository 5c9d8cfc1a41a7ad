"""Every example of docs/client.md, run unchanged against a real server of the example model; its output is compared with NumPy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnexport.cli import main
from attnexport.runtime.sessions.ort import OrtSession

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [code for language, code in BLOCKS if language == "sh"]
PYTHON = [code for language, code in BLOCKS if language == "python"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("client") / "digits_stn_cbam.attn"
    with pytest.raises(SystemExit) as stop:
        main([str(ROOT / "examples" / "digits_stn_cbam.pt"), "--precision", "fp32", "--out", str(out), "--quiet"])
    assert not stop.value.code
    return out


@pytest.fixture(scope="module")
def server(tools: Any, bundle: Path) -> Iterator[Any]:
    with tools.Server([bundle]) as served:
        yield served.ready()
        assert served.stop() == 0


@pytest.fixture(scope="module")
def logits(bundle: Path) -> np.ndarray:
    """Of the first 32 samples, by the session itself, (32, 10)."""
    with np.load(ROOT / "examples" / "digits_samples.npz") as samples:
        x = samples["x"][:32]
    with OrtSession(bundle / "model.onnx") as session:
        return np.concatenate([session.run({"x": part})["logits"] for part in np.split(x, 2)])


class Ran:
    """Runs a block of the page where it may write, with the addresses of the server that is here."""

    def __init__(self, server: Any, folder: Path) -> None:
        self._folder = folder
        self._addresses = {
            "localhost:8000": server.http,
            "localhost:8001": server.grpc,
            "localhost:8002": server.metrics.removeprefix("http://").removesuffix("/metrics"),
        }
        (folder / "examples").symlink_to(ROOT / "examples")

    def __call__(self, language: str, code: str) -> str:
        for said, here in self._addresses.items():
            code = code.replace(said, here)
        python = Path(sys.executable)
        words = [str(python), "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(
            words, cwd=self._folder, capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def run(server: Any, tmp_path: Path) -> Ran:
    return Ran(server, tmp_path)


@pytest.fixture
def shell(run: Ran) -> Ran:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    return run


def test_the_page_has_the_examples_that_are_run_here() -> None:
    assert (len(SHELL), len(PYTHON)) == (4, 3)
    assert "```" not in re.sub(r"^```(sh|python)\n.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_curl_asks_whether_it_is_ready_and_what_the_model_takes(shell: Ran) -> None:
    first, _, rest = shell("sh", SHELL[0]).partition("\n")
    assert first == "ready"
    told = json.loads(rest)
    assert (told["name"], told["versions"]) == ("digits_stn_cbam", ["1"])
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]


@pytest.mark.parametrize("block", [1, 2], ids=["as JSON", "as bytes"])
def test_curl_sends_an_image(shell: Ran, logits: np.ndarray, block: int) -> None:
    (output,) = json.loads(shell("sh", SHELL[block]))["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [1, 10])
    np.testing.assert_allclose(output["data"], logits[0], rtol=1e-5, atol=1e-6)


def test_curl_reads_statistics_and_metrics(shell: Ran, run: Ran) -> None:
    run("python", PYTHON[0])
    printed = shell("sh", SHELL[3])
    statistics, end = json.JSONDecoder().raw_decode(printed)
    (model,) = statistics["model_stats"]
    assert model["name"] == "digits_stn_cbam" and model["inference_count"] >= 4
    counts = re.findall(
        r'^nv_inference_count\{model="digits_stn_cbam",version="1"\} (\d+)', printed[end:], re.MULTILINE
    )
    assert [int(count) for count in counts] == [model["inference_count"]]


def test_python_over_http(run: Ran, logits: np.ndarray) -> None:
    best = logits[:4].argmax(1)
    assert run("python", PYTHON[0]) == f"{best}\n"
    assert f"# {best}\n" in PYTHON[0], "the page says what is printed"


def test_python_with_many_requests_at_once(run: Ran, logits: np.ndarray) -> None:
    code = PYTHON[1] + "np.save('logits.npy', logits)\n"
    assert run("python", code) == "(32, 10)\n"
    assert "# (32, 10)\n" in PYTHON[1]
    np.testing.assert_allclose(np.load(run._folder / "logits.npy"), logits, rtol=1e-4, atol=1e-5)


def test_python_over_grpc(run: Ran, logits: np.ndarray) -> None:
    rows = [" ".join(map(str, row)) for row in np.argsort(-logits[:4])[:, :2]]
    assert run("python", PYTHON[2]).splitlines() == rows
    assert f"# {rows[0]}, {rows[1]}, ...\n" in PYTHON[2]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("fault", "row"),
    [
        ({"model": "nobody"}, "unknown model or version"),
        ({"version": "9"}, "unknown model or version"),
        ({"shape": (1, 3, 32, 31)}, "an input with another name, dtype or shape, or more rows than the profile allows"),
        ({"dtype": "float64"}, "an input with another name, dtype or shape, or more rows than the profile allows"),
        ({"name": "y"}, "an input with another name, dtype or shape, or more rows than the profile allows"),
        (
            {"shape": (17, 3, 32, 32)},
            "an input with another name, dtype or shape, or more rows than the profile allows",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_refusals_have_the_status_that_the_page_says(
    server: Any, tools: Any, protocol: str, fault: dict[str, Any], row: str
) -> None:
    from tritonclient.utils import InferenceServerException

    found = re.search(rf"^\| {re.escape(row)} \| (\d+) \| (\w+) \|", PAGE, re.MULTILINE)
    assert found is not None
    array = np.zeros(fault.get("shape", (1, 3, 32, 32)), fault.get("dtype", "float32"))
    inputs = tools.tensors(protocol, {fault.get("name", "x"): array})
    with tools.client(server, protocol) as client, pytest.raises(InferenceServerException) as caught:
        client.infer(fault.get("model", "digits_stn_cbam"), inputs, model_version=fault.get("version", ""))
    assert caught.value.status() == (found[1] if protocol == "http" else f"StatusCode.{found[2]}")
