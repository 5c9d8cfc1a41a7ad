"""Sessions by the name of what runs them, in the types that the caller wants."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from attnexport.errors import InputError
from attnexport.runtime.sessions.open import open_session


@pytest.fixture
def path(tmp_path):
    """y = (x + 1) + 1 in FP16, inputs and outputs too; i counts."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
      g (float16[1] x, int64[1] n) => (float16[1] y, int64[1] i) <float16[1] one = {15360}>
      { a = Add(x, one)  y = Add(a, one)  i = Add(n, n) }""")
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


FEEDS = {"x": np.array([2048], np.float32), "n": np.array([3])}


@pytest.mark.parametrize("backend, expected", [("onnxruntime", 2050), ("emulated", 2048)])
def test_a_backend_is_opened_by_name(path, backend, expected):
    session = open_session(path, backend, {"y": "float32", "i": "int64"}, spin=False)
    got = session.run(FEEDS)
    session.close()
    assert (session.input_names, session.output_names) == (("x", "n"), ("y", "i"))
    assert (got["y"].dtype, got["i"].dtype, got["y"][0], got["i"][0]) == (np.float32, np.int64, expected, 6)


def test_without_wanted_types_those_of_the_file_hold(path):
    session = open_session(str(path), "emulated")
    assert session.run({**FEEDS, "x": FEEDS["x"].astype(np.float16)})["y"].dtype == np.float16
    with pytest.raises(Exception, match="float"):
        session.run(FEEDS)


def test_an_unknown_backend_is_refused(path):
    with pytest.raises(
        InputError, match=r"backend 'gpu' is not known\. use one of onnxruntime, emulated, enterprise, rtx"
    ):
        open_session(path, "gpu")
