"""The page's server on the wire: what it answers, what it refuses, and what becomes of it when Triton goes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from attnexport.cli.run import app
from attnexport.errors import InputError
from attnexport.runtime.inputs.picture import Scale, read_picture
from attnexport.runtime.serve.demo.server import AT_ONCE, LARGEST, Demo
from attnexport.runtime.serve.options import Endpoints
from attnexport.runtime.spec import Axis, TensorSpec
from attnexport.runtime.triton.options import WrittenModel

PIXELS = np.random.default_rng(3).integers(0, 256, (40, 30, 3)).astype(np.uint8)


def silent(level: str, event: str, message: str, **fields: Any) -> None:
    """Says nothing."""


def test_an_image_is_scaled_as_by_inspect_and_the_values_are_those_of_the_model(
    page: Any, demo_tools: Any, tmp_path: Path
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(demo_tools.png(PIXELS))
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), *map(Axis.fixed, (3, 8, 8))))
    truth = demo_tools.softmax(
        demo_tools.signs(read_picture(file, spec, Scale(demo_tools.MEAN, demo_tools.STD)).feed)["logits"]
    )[0]
    told = page.look("signs", file.read_bytes())
    (logits,) = told["outputs"]
    assert {row["index"]: row["score"] for row in logits["top"]} == pytest.approx(dict(enumerate(truth)), abs=1e-5)
    assert (told["model"], told["version"]) == ("signs", 1)
    assert told["milliseconds"] > 0


def test_the_scale_of_a_request_goes_before_the_bundles(page: Any, demo_tools: Any) -> None:
    flat = demo_tools.png(np.full((8, 8, 3), 51, np.uint8))
    (logits,) = page.look("signs", flat, mean="0.2", std="1")["outputs"]
    assert [row["score"] for row in logits["top"]] == pytest.approx([0.25] * 4, abs=1e-5), "0.2 - 0.2 is nothing"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "words"),
    [
        ("GET", "/nothing", None, {}, 404, "/nothing does not exist"),
        ("GET", "/../server.py", None, {}, 404, "does not exist"),
        ("GET", "/look?model=signs", None, {}, 404, "/look does not exist"),
        ("POST", "/models", b"", {}, 404, "/models does not exist"),
        ("POST", "/look?model=nobody", b"x", {}, 404, "the page has no model 'nobody'"),
        ("POST", "/look?model=tokens", b"x", {}, 404, "the page has no model 'tokens'"),
        ("POST", "/look?model=signs", b"no image", {}, 400, "what was sent cannot be read as an image"),
        ("POST", "/look?model=signs", b"", {}, 400, "what was sent cannot be read as an image"),
        ("POST", "/look?model=signs&mean=much", b"x", {}, 400, "mean 'much' is not a list of numbers"),
        ("POST", "/look?model=signs&std=0", b"x", {}, 400, "std 0.0 is not above 0"),
        ("POST", "/look?model=signs&mean=1,2", b"x", {}, 400, "mean has 2 numbers for 3 channels"),
        ("POST", "/look?model=signs&example=7", b"", {}, 400, "signs has no example 7"),
        ("POST", "/look?model=signs&example=-1", b"", {}, 400, "'-1' is not the number of an example"),
        ("GET", "/example?model=signs&index=x", None, {}, 400, "signs has no example -1"),
        ("POST", "/look?model=signs", None, {"Content_Length": str(LARGEST + 1)}, 413, "more than 16777216"),
        ("POST", "/look?model=signs", None, {"Transfer_Encoding": "chunked"}, 411, "has no Content-Length"),
        ("GET", "/models", None, {"Host": "evil.example"}, 403, "only its own site"),
        ("GET", "/models", None, {"Host": "evil.example:80"}, 403, "only its own site"),
        ("POST", "/look?model=signs&example=0", b"", {"Origin": "http://evil.example"}, 403, "only its own site"),
        ("POST", "/look?model=signs&example=0", b"", {"Origin": "null"}, 403, "only its own site"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    page: Any, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, words: str
) -> None:
    code, told, answered = page.ask(method, path, body, **headers)
    assert (code, list(told)) == (status, ["error"])
    assert words in told["error"]
    assert answered["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_small_file_that_unpacks_to_a_huge_image_is_refused_before_it_is_unpacked(page: Any, demo_tools: Any) -> None:
    bomb = demo_tools.png(np.zeros((8000, 8000), np.bool_))
    assert len(bomb) < 50_000
    status, told, _ = page.ask("POST", "/look?model=signs", bomb)
    assert (status, told["error"]) == (
        400, "what was sent has 8000 x 8000 pixels, more than 50000000. give a smaller image.",
    )  # fmt: skip


def test_its_own_site_may_ask_by_name_and_by_number(page: Any) -> None:
    port = page.netloc.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert page.ask("GET", "/models", Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/draw.js"])
def test_the_pages_own_files_are_all_that_it_serves(page: Any, path: str) -> None:
    status, told, headers = page.ask("GET", path)
    assert (status, len(told["text"]) > 200) == (200, True)
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert "http://" not in told["text"].replace("http://www.w3.org/2000/svg", ""), "nothing is loaded from elsewhere"


def test_a_body_that_is_never_sent_holds_nobody_else_up(page: Any, demo_tools: Any) -> None:
    host, _, port = page.netloc.partition(":")
    with socket.create_connection((host, int(port))) as waiting:
        waiting.sendall(
            f"POST /look?model=signs HTTP/1.1\r\nHost: {page.netloc}\r\nContent-Length: 9999\r\n\r\nab".encode()
        )
        assert page.look("signs", demo_tools.png(PIXELS))["model"] == "signs"


@pytest.fixture
def own(page: Any, bundles: list[Path]) -> Any:
    """A page in this process, over the same Triton."""
    server = page.server
    end = Endpoints("127.0.0.1", *(int(address.rpartition(":")[2]) for address in (server.http, server.grpc)), 0)
    with Demo("127.0.0.1", 0, silent) as demo:
        demo.ready(end, [WrittenModel("signs", 1, "python", bundles[0], bundles[0], 4)])
        yield type(page)(demo.url, None), demo


def test_too_many_images_at_once_are_refused(own: Any, demo_tools: Any) -> None:
    here, demo = own
    for _ in range(AT_ONCE):
        assert demo._turns.acquire(blocking=False)
    status, told, _ = here.ask("POST", "/look?model=signs", demo_tools.png(PIXELS))
    assert (status, told["error"]) == (503, f"{AT_ONCE} images are in progress; try again")
    for _ in range(AT_ONCE):
        demo._turns.release()
    assert here.look("signs", demo_tools.png(PIXELS))["model"] == "signs"


def test_many_at_once_each_get_their_own_answer(own: Any, demo_tools: Any) -> None:
    here, _ = own
    shades = [np.full((8, 8, 3), 25 * i, np.uint8) for i in range(AT_ONCE)]
    best: list[Any] = [None] * AT_ONCE

    def ask(i: int) -> None:
        best[i] = here.look("signs", demo_tools.png(shades[i]))["image"]["rgb"]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(best)) == AT_ONCE


def test_a_reload_shows_what_is_served_then_and_one_that_cannot_be_shown_changes_nothing(
    own: Any, bundles: list[Path], tmp_path: Path
) -> None:
    here, demo = own
    demo.ready(Endpoints("127.0.0.1", 0, 0, 0), [WrittenModel("cut", 2, "python", bundles[1], bundles[1], 4)])
    told = here.ask("GET", "/models")[1]
    assert [(model["name"], model["version"]) for model in told["models"]] == [("cut", 2)]
    demo.ready(Endpoints("127.0.0.1", 0, 0, 0), [WrittenModel("x", 1, "python", tmp_path, tmp_path / "gone", 4)])
    assert here.ask("GET", "/models")[1] == told


def test_an_occupied_port_is_one_line_before_anything_is_started(tools: Any, bundles: list[Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--demo-port {port} on 127.0.0.1 is in use"):
            Demo("127.0.0.1", port, silent)
        with tools.Server(bundles[:1], "--demo", "--demo-port", str(port)) as server:
            assert server.process.wait(60) == 2
            error = server.error()
            assert f"--demo-port {port} on 127.0.0.1 is in use" in error
            assert (error.count("\n"), server.events) == (1, [])


def test_the_page_is_off_unless_it_is_asked_for() -> None:
    (option,) = [p for p in typer.main.get_command(app).commands["serve"].params if p.name == "demo"]  # type: ignore[attr-defined]  # a group
    assert option.default is False


def test_while_triton_is_gone_the_page_says_so_and_then_goes_on(
    tools: Any, bundles: list[Path], page: Any, demo_tools: Any
) -> None:
    with tools.Server(bundles[:1], "--demo", "--demo-port", "0") as server:
        here = type(page)(server.wait_for("demo")["url"], server.ready())
        image = demo_tools.png(PIXELS)
        assert here.look("signs", image)["model"] == "signs"
        before = len(server.events)
        os.kill(server.triton, signal.SIGKILL)
        server.wait_for("crashed", before)
        status, told, _ = here.ask("POST", "/look?model=signs", image)
        assert status == 502
        assert told["error"].startswith("serve: model 'signs' over grpc: ")
        server.wait_for("ready", before)
        until = time.monotonic() + 20
        while here.ask("POST", "/look?model=signs", image)[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert server.stop() == 0
