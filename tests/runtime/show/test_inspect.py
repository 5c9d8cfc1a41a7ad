"""What inspect arranges: equal rewrites and reasons grouped, operators per model, figures beside PyTorch's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.manifest import Manifest
from attnexport.runtime.bundle.sections import GraphRewriteRecord, KeptNode, Precision, RewriteRecord
from attnexport.runtime.bundle.stage import Stage
from attnexport.runtime.bundle.writer import BundleWriter
from attnexport.runtime.show.inspect import GraphRewriteRow, OperatorRow, RewriteRow, arrange, inspect

TIMES = {"shifts": 1.5, "blocks": 2.0}


@pytest.fixture
def bundle(tmp_path: Path, full: Manifest) -> Path:
    refused = {"slices": "k > 7"}
    manifest = replace(
        full,
        rewrites=(
            RewriteRecord("a/Im2Col", "Im2Col", "blocks", ("ort",), refused, "a", "net.py:3", "model.onnx"),
            RewriteRecord("b/Im2Col", "Im2Col", "blocks", ("ort",), refused, "b", "net.py:3", "model.onnx"),
            RewriteRecord("a/Im2Col", "Im2Col", "blocks", ("ort",), refused, "a", "net.py:3", "model.fp16.onnx"),
            RewriteRecord(
                "e", "LocalAttention", "shifts", ("ort",), {}, "e", "", "model.onnx", "LocalAttention 7x7", TIMES
            ),
            RewriteRecord("c/Im2Col", "Im2Col", "slices", ("ort",), {}, "", ""),
            RewriteRecord("d/Col2Im", "Col2Im", None, ("tensorrt",), {"pad-add": "dynamic"}, "d", "net.py:9"),
        ),
        operators={"model.onnx": {"Conv": 3, "Add": 1}, "engines/net.plan": {"Conv": 2, "Cast": 4}},
        precision=Precision(
            (
                KeptNode("a/Softmax", "a", "softmax"),
                KeptNode("b/Softmax", "b", "softmax"),
                KeptNode("n", "", "coordinates"),
            ),
            {"float16": 4},
        ),
    )
    with BundleWriter(tmp_path / "net.attn") as writer:
        (writer.path / "model.onnx").write_bytes(b"model")
        (writer.path / "engines").mkdir()
        (writer.path / "engines" / "net.plan").write_bytes(b"plan")
        writer.commit(manifest, {"model.onnx": "model-fp32"})
    return tmp_path / "net.attn"


def test_rewrites_before_lowering_are_grouped_by_rule_and_reason(plain: Manifest) -> None:
    taps = [GraphRewriteRecord(Stage.RAISE, "shifted_sum", f"n{i}", True, f"{i} taps", "attn", "a:3") for i in range(2)]
    refused = GraphRewriteRecord(Stage.SIMPLIFY, "masked_writes", "m", False, "it reduces", "", "")
    rows = arrange("net", replace(plain, graph_rewrites=(*taps, refused)), {}).graph_rewrites
    assert rows == (
        GraphRewriteRow("raise", "shifted_sum", True, "", ("n0", "n1"), ("attn at a:3",)),
        GraphRewriteRow("simplify", "masked_writes", False, "it reduces", ("m",), ("<root>",)),
    )


def test_rewrites_of_one_kind_and_reason_are_one_row(bundle: Path) -> None:
    assert inspect(bundle).rewrites == (
        RewriteRow(
            "Im2Col",
            "blocks",
            ("ort",),
            (("slices", "k > 7"),),
            ("a/Im2Col", "b/Im2Col"),
            ("a at net.py:3", "b at net.py:3"),
            "model.onnx",
            "",
            (),
        ),
        RewriteRow(
            "Im2Col",
            "blocks",
            ("ort",),
            (("slices", "k > 7"),),
            ("a/Im2Col",),
            ("a at net.py:3",),
            "model.fp16.onnx",
            "",
            (),
        ),
        RewriteRow(
            "LocalAttention",
            "shifts",
            ("ort",),
            (),
            ("e",),
            ("e",),
            "model.onnx",
            "LocalAttention 7x7",
            tuple(TIMES.items()),
        ),
        RewriteRow("Im2Col", "slices", ("ort",), (), ("c/Im2Col",), ("<root>",), "", "", ()),
        RewriteRow(
            "Col2Im", None, ("tensorrt",), (("pad-add", "dynamic"),), ("d/Col2Im",), ("d at net.py:9",), "", "", ()
        ),
    )


def test_operators_are_counted_per_model_the_most_first(bundle: Path) -> None:
    found = inspect(bundle)
    assert found.models == ("model.onnx", "engines/net.plan")
    assert found.operators == (OperatorRow("Conv", (3, 2)), OperatorRow("Cast", (0, 4)), OperatorRow("Add", (1, 0)))


def test_precision_engines_parity_and_facts(bundle: Path) -> None:
    found = inspect(bundle)
    assert [(k.reason, k.nodes, k.modules) for k in found.kept] == [
        ("softmax", ("a/Softmax", "b/Softmax"), ("a", "b")),
        ("coordinates", ("n",), ("<root>",)),
    ]
    assert found.precision_counts == {"float16": 4}
    (engine,) = found.engines
    assert (engine.library, engine.layers) == ("rtx 1.7.1", ({"Name": "l"},))
    (parity,) = found.parity
    assert (parity.stage, parity.rms, parity.torch_rms, parity.ratio, parity.top1) == (
        "onnx-fp32",
        1e-7,
        1e-7,
        1.0,
        1.0,
    )
    assert dict(found.facts)["gpu"] == "NVIDIA L4, compute capability 8.9"
    assert dict(found.facts)["input 0"] == "x float32 [batch=1:2:4, 3]"
    assert [(f.path, f.role, f.bytes) for f in found.files] == [
        ("engines/net.plan", "other", 4),
        ("model.onnx", "model-fp32", 5),
    ]
    assert found.notes == ("no GPU",)


def test_it_is_plain_json_too(bundle: Path) -> None:
    value = json.loads(json.dumps(inspect(bundle).to_json()))
    assert value["operators"][0] == {"op": "Conv", "counts": [3, 2]}
    assert value["rewrites"][0]["refused"] == [["slices", "k > 7"]]


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        inspect(tmp_path / "gone.attn")
