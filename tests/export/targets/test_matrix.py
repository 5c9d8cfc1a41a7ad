"""The operator matrix: how rows answer questions, what is shipped, and how a measurement brings it up to date."""

from __future__ import annotations

import json

import pytest

from attnexport.errors import InputError
from attnexport.export.targets import Matrix, Row, Verdict, refusal, target_names, verdict
from attnexport.export.targets.matrix import SHIPPED, load, save, shipped


def row(
    status: str = "ok", *, op: str = "Attention", opset: int = 23, how: str = "ran", reason: str = "", **facts
) -> Row:
    return Row(op, opset, facts, status, "lib 1.2", "2026-01-31", how, reason)


HEADS = Matrix(
    "tensorrt-rtx",
    (
        row("fails", reason="too small", dtype="float16", head_size=8, mask="none"),
        row(dtype="float16", head_size=16, mask="none"),
        row(dtype="float16", head_size=64, mask="none"),
        row(dtype="float16", head_size=64, mask="bool"),
        row("wrong", reason="error 0.3", dtype="float16", head_size=64, mask="float"),
        row("fails", reason="no kernel", dtype="float32", head_size=64, mask="none"),
    ),
)


SMALL = "with dtype=float16, head_size=8, mask=none: too small"
FLOATS = "with dtype=float16, head_size=64, mask=float: error 0.3"


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ({"dtype": "float16", "head_size": 16, "mask": "none"}, "ok", ""),
        ({"dtype": "float32"}, "fails", "no kernel"),
        ({"dtype": "float16", "head_size": 8}, "fails", "too small"),
        # Several rows: the worst one speaks, and says which it is.
        ({"dtype": "float16"}, "fails", SMALL),
        ({"dtype": "float16", "head_size": 64}, "wrong", FLOATS),
        # Not measured together: each fact is judged on its own.
        ({"dtype": "float16", "head_size": 16, "mask": "bool"}, "ok", ""),
        ({"dtype": "float16", "head_size": 8, "mask": "bool"}, "fails", SMALL),
        ({"dtype": "float16", "head_size": 16, "mask": "float"}, "wrong", FLOATS),
        # Between two measured numbers both neighbours must do; beyond them nothing is known.
        ({"dtype": "float16", "head_size": 40, "mask": "none"}, "ok", ""),
        ({"dtype": "float16", "head_size": 12, "mask": "none"}, "fails", SMALL),
        ({"dtype": "float16", "head_size": 100}, "unknown", "Attention with head_size=100 was not measured on TensorRT-RTX"),
        ({"dtype": "float16", "mask": "odd"}, "unknown", "Attention with mask=odd was not measured on TensorRT-RTX"),
        # Rows of another type are no neighbours.
        ({"dtype": "bfloat16", "head_size": 64}, "unknown", "Attention with dtype=bfloat16 was not measured on TensorRT-RTX"),
    ],
)  # fmt: skip
def test_how_rows_answer(facts, status, reason) -> None:
    found = HEADS.verdict("Attention", opset=23, **facts)
    assert (found.status, found.reason) == (status, reason)
    assert found.ok == (status == "ok")
    assert found.measured == ("" if status == "unknown" else "ran, lib 1.2, 2026-01-31")


def test_versions_of_an_operator_do_not_speak_for_each_other() -> None:
    old, new = row(op="GridSample", opset=16, dtype="float32"), row("wrong", op="GridSample", opset=20, dtype="float32")
    matrix = Matrix("ort-cpu", (old, new))
    assert matrix.verdict("GridSample", opset=18, dtype="float32").status == "ok"
    assert matrix.verdict("GridSample", opset=21, dtype="float32").status == "wrong"
    unknown = matrix.verdict("Softmax", opset=18)
    assert unknown == Verdict("unknown", "Softmax was not measured on ONNX Runtime on the CPU")


def test_a_cited_row_speaks_for_what_it_does_not_name() -> None:
    matrix = Matrix("tensorrt-11", (row("fails", how="cited", reason="4 axes only", rank=3),))
    assert matrix.verdict("Attention", opset=23, rank=3, dtype="float16", head_size=7).reason == "4 axes only"
    assert matrix.verdict("Attention", opset=23, rank=4, dtype="float16").status == "unknown"


def test_an_oddity_speaks_when_it_is_asked_for() -> None:
    matrix = Matrix("ort-cpu", (row(dtype="float16"), row("fails", reason="odd", dtype="float16", grid="float32")))
    assert matrix.verdict("Attention", opset=23, dtype="float16").status == "ok"
    assert matrix.verdict("Attention", opset=23, dtype="float16", grid="float32").reason == "odd"


def test_slow_is_right() -> None:
    assert Verdict("slow").ok
    assert not Verdict("unknown").ok


def test_the_shipped_matrix() -> None:
    assert tuple(shipped()) == target_names()
    for matrix in shipped().values():
        keys = [row.key for row in matrix.rows]
        assert len(keys) == len(set(keys)) > 0
        for entry in matrix.rows:
            assert entry.status != "unknown" and entry.library and entry.date
            assert entry.how in ("ran", "built, not run", "cited")
            assert bool(entry.source) == (entry.how == "cited")
            assert entry.reason or entry.status == "ok"


@pytest.mark.parametrize(
    ("target", "op", "opset", "facts", "status"),
    [
        ("ort-cpu", "GridSample", 18, {"rank": 4, "dtype": "float16", "mode": "linear"}, "ok"),
        ("ort-cpu", "GridSample", 18, {"rank": 4, "dtype": "bfloat16", "mode": "linear"}, "fails"),
        ("ort-cpu", "GridSample", 20, {"rank": 5, "dtype": "float32", "mode": "linear"}, "ok"),
        ("ort-cuda", "GridSample", 18, {"rank": 4, "dtype": "float32"}, "slow"),
        ("tensorrt-rtx", "GridSample", 18, {"rank": 4, "dtype": "bfloat16", "mode": "cubic", "padding": "border"}, "ok"),
        ("tensorrt-rtx", "GridSample", 18, {"rank": 4, "dtype": "float16", "mode": "linear"}, "ok"),
        ("tensorrt-rtx", "GridSample", 18, {"dtype": "float16", "grid_dtype": "float32"}, "fails"),
        ("tensorrt-10", "GridSample", 20, {"rank": 4, "dtype": "float16", "mode": "linear"}, "wrong"),
        ("tensorrt-11", "GridSample", 20, {"rank": 5, "dtype": "float16", "mode": "linear"}, "fails"),
        ("tensorrt-11", "GridSample", 18, {"rank": 4, "dtype": "float16", "mode": "linear"}, "ok"),
        ("tensorrt-rtx", "Col2Im", 18, {"dtype": "float32"}, "fails"),
        ("tensorrt-10", "AffineGrid", 20, {"dtype": "float32"}, "fails"),
        ("tensorrt-rtx", "ScatterND", 18, {"dtype": "float16", "reduction": "add"}, "fails"),
        ("tensorrt-rtx", "Resize", 18, {"dtype": "float32", "antialias": 1}, "fails"),
        ("tensorrt-rtx", "DeformConv", 19, {"dtype": "float32"}, "fails"),
        ("tensorrt-rtx", "Conv", 18, {"dtype": "float32", "kernel": "one-hot", "free": 1}, "ok"),
        ("tensorrt-rtx", "Attention", 23, {"dtype": "float16", "rank": 4, "head_size": 48, "mask": "bool"}, "ok"),
        ("tensorrt-10", "Attention", 23, {"dtype": "float16", "rank": 4, "head_size": 64}, "fails"),
        ("tensorrt-11", "Attention", 23, {"dtype": "float16", "rank": 4, "head_size": 64}, "unknown"),
    ],
)  # fmt: skip
def test_what_it_says(target, op, opset, facts, status) -> None:
    assert verdict(target, op, opset=opset, **facts).status == status


def test_a_refusal_is_the_first_target_that_fails() -> None:
    facts = {"dtype": "float32"}
    assert refusal(["ort-cpu", "tensorrt-rtx"], "Col2Im", opset=18, **facts) == (
        "TensorRT-RTX: TensorRT's parser refuses Col2Im node 'probed': the operator is not supported"
    )
    assert refusal(["tensorrt-10"], "Col2Im", opset=18, **facts) == "TensorRT 10: the operator is not supported"
    assert refusal(["ort-cpu"], "Col2Im", opset=18, **facts) is None
    assert refusal(["ort-cuda"], "Col2Im", opset=18, **facts) is None
    said = "Col2Im was not measured on ONNX Runtime with CUDA"
    assert refusal(["ort-cuda"], "Col2Im", opset=18, proven=True) == said


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InputError, match="target cuda is not known"):
        verdict("cuda", "Softmax", opset=18)


def test_files_come_back_and_are_brought_up_to_date(tmp_path) -> None:
    path = tmp_path / "matrix.json"
    save(shipped().values(), path)
    assert load(path) == shipped()
    assert path.read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")
    newer = row("ok", dtype="float32", head_size=64, mask="none")
    updated = HEADS.updated([newer, row(dtype="float32", head_size=8)])
    assert len(updated.rows) == len(HEADS.rows) + 1
    assert updated.verdict("Attention", opset=23, dtype="float32", head_size=64, mask="none").ok


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no operator matrix"),
        ("{", "holds no operator matrix"),
        ('{"ort-cpu": {}}', "holds no operator matrix"),
        ('{"vulkan": {"rows": []}}', "target vulkan is not known"),
        ('{"ort-cpu": {"rows": [{"op": "Add"}]}}', "a row of the operator matrix cannot be read"),
    ],
)
def test_what_is_no_matrix_is_refused(content, said, tmp_path) -> None:
    path = tmp_path / "matrix.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load(path)


def test_a_row_has_a_known_status() -> None:
    values = json.loads(json.dumps(row().to_json())) | {"status": "fine"}
    with pytest.raises(InputError, match="status 'fine' of Attention is not known"):
        Row.from_json(values)
