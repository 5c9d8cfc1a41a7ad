"""Capture a loaded source, with a fixed batch if the model does not accept a free one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...runtime.spec import Axis
from ..capture.tracing.trace import FixedAxisError
from ..progress import Reporter
from ..source import CapturedModel, Source


def enter(
    source: Source, outputs: Sequence[str], seed: int, reporter: Reporter, *, attention: bool = False
) -> CapturedModel:
    """Capture a source; see :meth:`~..source.base.Source.capture`.

    If the model fixes a batch axis that was only assumed, the axis is fixed, with a note. If the user asked for that
    axis, FixedAxisError is raised.
    """
    try:
        return source.capture(outputs, seed, attention=attention)
    except FixedAxisError as error:
        if source.explicit_dynamic:
            raise
        fixed = tuple(replace(s, axes=tuple(Axis.fixed(a.opt) for a in s.axes)) for s in source.inputs)
        reporter.note(f"{error.problem}: exported with fixed shapes {', '.join(s.describe() for s in fixed)}")
        return replace(source, inputs=fixed).capture(outputs, seed, attention=attention)
