"""The client matrix on the real server: whatever the protocol and the form, the values are those of a session in this process."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attnexport

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digits model of examples/, exported."""
    out = tmp_path_factory.mktemp("export") / "digits_stn_cbam.attn"
    attnexport.export(EXAMPLES / "digits_stn_cbam.pt", precision="fp32", out=out)
    return out


@pytest.fixture(scope="module")
def bundles(digits: Path, tools: Any) -> dict[str, Path]:
    return {"digits_stn_cbam": digits, "pair": tools.write_pair(digits.with_name("pair.attn"))}


@pytest.fixture(scope="module")
def server(bundles: dict[str, Path], tools: Any) -> Iterator[Any]:
    with tools.Server([*bundles.values()]) as running:
        yield running.ready()
        assert running.stop() == 0


FEEDS: dict[str, dict[str, np.ndarray]] = {
    "digits_stn_cbam": {"x": np.random.default_rng(7).standard_normal((5, 3, 32, 32)).astype(np.float32)},
    "pair": {"x": np.array([[0.1, -2, 3e30]], np.float32), "row": np.array([[3, 4]])},
}


@pytest.fixture(scope="module")
def direct(bundles: dict[str, Path]) -> dict[str, Mapping[str, np.ndarray]]:
    """What a session in this process gives."""
    found = {}
    for name, path in bundles.items():
        with attnexport.open(path, backend="ort-cpu") as session:
            found[name] = session.run(FEEDS[name])
    return found


def check(answer: Any, expected: Mapping[str, np.ndarray]) -> None:
    for name, array in expected.items():
        got = answer.as_numpy(name)
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("model", FEEDS)
@pytest.mark.parametrize("binary_out", [False, True], ids=["json out", "binary out"])
@pytest.mark.parametrize("binary_in", [False, True], ids=["json in", "binary in"])
def test_http(server: Any, tools: Any, direct: Any, model: str, binary_in: bool, binary_out: bool) -> None:
    import tritonclient.http

    inputs = tools.tensors("http", FEEDS[model], binary=binary_in)
    outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=binary_out) for name in direct[model]]
    with tools.client(server) as client:
        check(client.infer(model, inputs, outputs=outputs), direct[model])


@pytest.mark.parametrize("model", FEEDS)
def test_grpc(server: Any, tools: Any, direct: Any, model: str) -> None:
    with tools.client(server, "grpc") as client:
        check(client.infer(model, tools.tensors("grpc", FEEDS[model])), direct[model])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_version_by_its_number(server: Any, tools: Any, direct: Any, protocol: str) -> None:
    from tritonclient.utils import InferenceServerException

    inputs = tools.tensors(protocol, FEEDS["pair"])
    with tools.client(server, protocol) as client:
        check(client.infer("pair", inputs, model_version="1"), direct["pair"])
        with pytest.raises(InferenceServerException, match="'pair' version 2 is not found"):
            client.infer("pair", inputs, model_version="2")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_one_output_of_several(server: Any, tools: Any, direct: Any, protocol: str) -> None:
    import importlib

    module = importlib.import_module(f"tritonclient.{protocol}")
    with tools.client(server, protocol) as client:
        answer = client.infer(
            "pair", tools.tensors(protocol, FEEDS["pair"]), outputs=[module.InferRequestedOutput("picked")]
        )
    check(answer, {"picked": direct["pair"]["picked"]})
    assert answer.as_numpy("y") is None


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_model_that_is_not_there(server: Any, tools: Any, protocol: str) -> None:
    from tritonclient.utils import InferenceServerException

    with (
        tools.client(server, protocol) as client,
        pytest.raises(InferenceServerException, match="unknown model: 'nobody' is not found"),
    ):
        client.infer("nobody", tools.tensors(protocol, FEEDS["pair"]))


def test_the_index_lists_what_was_given_and_nothing_else(server: Any, tools: Any) -> None:
    with tools.client(server) as client:
        http = client.get_model_repository_index(headers=tools.headers())
    with tools.client(server, "grpc") as client:
        grpc = client.get_model_repository_index(headers=tools.headers("grpc"), as_json=True)["models"]
    assert sorted((row["name"], row["version"], row["state"]) for row in http) == [
        ("digits_stn_cbam", "1", "READY"),
        ("pair", "1", "READY"),
    ]
    assert sorted(row["name"] for row in grpc) == ["digits_stn_cbam", "pair"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_statistics_count_rows(server: Any, tools: Any, protocol: str) -> None:
    def rows(client: Any) -> int:
        found = client.get_inference_statistics("digits_stn_cbam", **({"as_json": True} if protocol == "grpc" else {}))
        return int(found["model_stats"][0]["inference_count"])

    with tools.client(server, protocol) as client:
        before = rows(client)
        client.infer("digits_stn_cbam", tools.tensors(protocol, FEEDS["digits_stn_cbam"]))
        assert rows(client) - before == 5


def test_metadata_is_the_bundles(server: Any, bundles: dict[str, Path], tools: Any) -> None:
    with attnexport.open(bundles["digits_stn_cbam"], backend="ort-cpu") as session, tools.client(server) as client:
        said = client.get_model_metadata("digits_stn_cbam")
        assert [(one["name"], one["datatype"]) for one in said["inputs"]] == [("x", "FP32")]
        assert said["inputs"][0]["shape"] == [-1, *(axis.opt for axis in session.inputs[0].axes[1:])]
        assert [one["name"] for one in said["outputs"]] == list(session.output_names)


def test_what_curl_would_send(server: Any, direct: Any) -> None:
    inputs = [
        {"name": name, "datatype": {"f": "FP32", "i": "INT64"}[array.dtype.kind], "shape": array.shape, "data": array.tolist()}
        for name, array in FEEDS["pair"].items()
    ]  # fmt: skip
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/pair/infer", json.dumps({"inputs": inputs}).encode()
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        outputs = {one["name"]: one for one in json.load(answer)["outputs"]}
    for name, array in direct["pair"].items():
        assert outputs[name]["shape"] == list(array.shape)
        np.testing.assert_array_equal(np.array(outputs[name]["data"], array.dtype).reshape(array.shape), array)


def test_the_line_to_type_is_answered(server: Any, direct: Any) -> None:
    """The command that the server suggests for each model, as a shell runs it."""
    import subprocess

    said = {event["model"]: event for event in server.events if event["event"] == "try"}
    assert set(said) == set(FEEDS)
    answers = {
        name: json.loads(subprocess.run(event["command"], shell=True, capture_output=True, check=True).stdout)[
            "outputs"
        ]
        for name, event in said.items()
    }
    (best,) = answers["digits_stn_cbam"][0]["data"]
    assert f"class {best.split(':')[1]}" == said["digits_stn_cbam"]["expected"]
    assert {one["name"] for one in answers["pair"]} == set(direct["pair"])
    assert said["pair"]["expected"] == ""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_benchmarks_clients_ask_as_often_as_they_say(
    server: Any, tools: Any, tmp_path: Path, protocol: str
) -> None:
    """Three clients in a process of their own, two rounds after one that is thrown away, the same server twice."""
    import subprocess
    import sys

    np.savez(tmp_path / "feeds.npz", **FEEDS["pair"])
    client = Path(__file__).resolve().parents[2] / "benchmarks" / "serving_client.py"
    where = f"pair@{server.http if protocol == 'http' else server.grpc}"

    def answered() -> int:
        with tools.client(server) as one:
            return int(one.get_inference_statistics("pair")["model_stats"][0]["inference_count"])

    before = answered()
    words = [protocol, "3", "0.1", "2", str(tmp_path / "feeds.npz"), where, where]
    done = subprocess.run([sys.executable, str(client), *words], capture_output=True, text=True, check=True)
    rounds = json.loads(done.stdout)
    assert [len(turn) for turn in rounds] == [2, 2]
    turns = [one for turn in rounds for one in turn]
    assert all(one["requests"] == len(one["latencies"]) >= 3 for one in turns)
    assert sum(one["requests"] for one in turns) < answered() - before
