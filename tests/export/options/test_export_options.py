"""The command line's words become options, and the bundle's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.export.engine.config import parse_bytes
from attnexport.export.options import ExportOptions, read_options
from attnexport.export.pipeline import destination
from attnexport.export.source import SourceOptions


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (None, "net.attn"),
        ("here.attn", "here.attn"),
        ("here", "here.attn"),
        ("folder", "folder/net.attn"),
        (".", "net.attn"),
        ("folder/x.attn", "folder/x.attn"),
    ],
)
def test_where_the_bundle_goes(out: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    options = ExportOptions(model=Path("models/net.pt"), out=None if out is None else Path(out))
    assert destination(options) == Path(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(SourceOptions(arch="digits_sasa"), "digits_sasa.attn"), (SourceOptions(factory="a.b:Net"), "Net.attn")],
)
def test_a_model_without_a_file_gives_its_own_name(source: SourceOptions, expected: str) -> None:
    assert destination(ExportOptions(model=None, source=source)) == Path(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("512M", 512 << 20), ("4G", 4 << 30), ("1.5gb", 3 << 29), ("100", 100), ("2KiB", 2048)]
)
def test_amounts_of_memory(text: str, expected: int) -> None:
    assert parse_bytes(text, "--workspace") == expected


@pytest.mark.parametrize("text", ["", "lots", "-1G", "0", "4T", "1 000M"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match=r"--workspace .* is not an amount of memory"):
        parse_bytes(text, "--workspace")


def test_a_callable_may_stand_where_the_model_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def source_of(model, **rest):
        read = read_options(
            model=Path(model), trt=None, precision="fp16", kwargs="{}", workspace=None, gate=2.0, **rest
        )
        return read.model, read.source.factory, read.source.own_weights, read.source.random_weights

    assert source_of("pkg.mod:Net.small") == (None, "pkg.mod:Net.small", True, False)
    assert source_of("pkg.mod:Net", random_weights=True) == (None, "pkg.mod:Net", False, True)
    assert source_of("net.pt", factory="pkg:Net") == (Path("net.pt"), "pkg:Net", False, False)
    assert source_of("folder/net:1.pt")[0] == Path("folder/net:1.pt")
    (tmp_path / "a:b").touch()
    assert source_of("a:b")[0] == Path("a:b")
