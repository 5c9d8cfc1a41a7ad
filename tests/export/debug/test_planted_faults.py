"""One thing wrong on purpose: the module is named, and the file that is written fails by itself, until the fault is mended in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from attnexport.runtime.bundle.divergence import Divergence

Look = Callable[..., Divergence]
Edit = Callable[[onnx.ModelProto], None]


def edit(path: Path, change: Edit) -> None:
    """Change a model file in place."""
    model = onnx.load(str(path))
    change(model)
    onnx.save(model, str(path))


def scale_weight(shape: tuple[int, ...], factor: float) -> Edit:
    """Scale the first output channel of the only weight of this shape."""

    def change(model: onnx.ModelProto) -> None:
        (tensor,) = (t for t in model.graph.initializer if tuple(t.dims) == shape)
        array = numpy_helper.to_array(tensor).copy()
        array[0] *= factor
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def set_attribute(op: str, name: str, value: Any) -> Edit:
    """Set an attribute of the only node of this operator."""

    def change(model: onnx.ModelProto) -> None:
        (node,) = (n for n in model.graph.node if n.op_type == op)
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def test_nothing_is_found_where_nothing_is_wrong(look: Look, here: Path) -> None:
    found = look(precision="fp16")
    assert found.passed
    assert (found.stage, found.precision, found.place, found.reproducer) == ("fp16", "float16", None, None)
    assert [output.output for output in found.outputs] == ["logits", "map"]
    assert all(0 < output.ratio <= 2 and not output.fault for output in found.outputs)
    assert not (here / "found").exists()
    assert {"body.before", "body.gate", "body.loud", "body.after", "", "head"} == {m.module for m in found.modules}


@pytest.mark.parametrize("factor", [1.001, 0.0])
def test_a_wrong_weight_in_a_bundle_is_found(
    look: Look, bundle: Callable[..., Path], alone: Any, factor: float, net_line: Callable[[str], str]
) -> None:
    made = bundle()
    edit(made / "model.onnx", scale_weight((4, 8, 1, 1), factor))
    found = look(bundle=made)
    assert found.place is not None
    assert (found.place.stage, found.place.module, found.place.kind) == ("lower", "body.after", "Conv2d")
    assert found.place.source == net_line("return self.after(self.loud(self.gate(self.before(x))))")
    assert found.reproducer is not None
    assert found.reproducer.nodes == 1
    ran = alone(found.reproducer)
    assert ran.code == 1
    assert f"{found.tensor}: " in ran.said
    edit(Path(found.reproducer.folder) / "part.onnx", scale_weight((4, 8, 1, 1), 1 / factor if factor else 1.0))
    assert alone(found.reproducer).code == (0 if factor else 1), "with the right weight it passes"


@pytest.mark.parametrize(
    ("op", "name", "wrong", "right", "line"),
    [
        ("AveragePool", "count_include_pad", 0, 1, "pooled = nn.functional.avg_pool2d(y, 3, 1, 1)"),
        (
            "LeakyRelu", "alpha", 0.21, 0.2,
            "return torch.sigmoid(nn.functional.leaky_relu(pooled, self.slope) * self.scale) * y",
        ),
    ],
)  # fmt: skip
def test_a_wrong_attribute_is_found(
    look: Look, bundle: Callable[..., Path], alone: Any, op: str, name: str, wrong: Any, right: Any, line: str,
    net_line: Callable[[str], str],
) -> None:  # fmt: skip
    made = bundle()
    edit(made / "model.onnx", set_attribute(op, name, wrong))
    found = look(bundle=made)
    assert found.place is not None
    assert (found.place.module, found.place.kind, found.place.source) == ("body.gate", "Gate", net_line(line))
    assert found.reproducer is not None
    assert found.reproducer.nodes == 1
    part = Path(found.reproducer.folder) / "part.onnx"
    assert [node.op_type for node in onnx.load(str(part)).graph.node] == [op]
    assert alone(found.reproducer).code == 1
    edit(part, set_attribute(op, name, right))
    ran = alone(found.reproducer)
    assert ran.code == 0, ran.said


def test_an_fp16_overflow_is_found(look: Look, alone: Any, net_line: Callable[[str], str]) -> None:
    """The policy keeps no product in FP32; x * 800 * 800 does not fit into FP16, whose end is 65504."""
    found = look(precision="fp16", kwargs='{"gain": 800.0}')
    assert [output.stage for output in found.outputs] == ["fp16", "fp16"], "every earlier stage is right"
    assert all("NaN" in output.fault or "Inf" in output.fault for output in found.outputs)
    assert found.place is not None
    assert (found.place.stage, found.place.module, found.place.kind) == ("fp16", "body.loud", "Loud")
    assert found.place.source == net_line("return torch.relu(loud * self.gain) / self.gain ** 2")
    (loud,) = (module for module in found.modules if module.module == "body.loud")
    assert loud.entering is not None
    assert loud.entering < 1e-2
    assert loud.leaving == np.inf
    assert found.reproducer is not None
    assert found.reproducer.relative == np.inf
    ran = alone(found.reproducer)
    assert ran.code == 1
    assert "relative error inf" in ran.said
    folder = Path(found.reproducer.folder)
    typed = onnx.load(str(folder / "part.typed.onnx"))
    assert [value.type.tensor_type.elem_type for value in typed.graph.input] == [onnx.TensorProto.FLOAT16]
    with np.load(folder / "data.npz") as data:
        assert data["feed_0"].dtype == np.float16
        assert data["expected"].dtype == np.float64
        assert np.abs(data["expected"]).max() > 65504
    edit(folder / "part.onnx", lambda model: scale_constants(model, 1e-3))
    assert "0 values not finite" in alone(found.reproducer).said


def scale_constants(model: onnx.ModelProto, factor: float) -> None:
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), tensor.name))
