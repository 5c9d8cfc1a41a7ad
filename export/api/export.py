"""``attnexport.export`` and ``attnexport.open``: the command line's work from Python. Imports nothing heavy by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .bundle import Bundle

if TYPE_CHECKING:
    import torch

    from ..progress import Reporter


def export(
    module: torch.nn.Module | str | Path,
    inputs: Any = None,
    *,
    out: str | Path | None = None,
    trt: bool | str = False,
    precision: str = "auto",
    dynamic: Mapping[str, Mapping[int, Any]] | Sequence[str] = (),
    static: bool = False,
    outputs: Sequence[str] = (),
    samples: str | Path | Mapping[str, Any] | None = None,
    task: str | None = None,
    force: bool = False,
    keep_failed: bool = False,
    verbose: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> Bundle:
    """Export a module to a verified bundle::

        bundle = attnexport.export(net, {"x": torch.randn(1, 3, 32, 32)}, trt=True, out="net.attn")
        bundle.verify().passed
        with bundle.open() as session:
            logits = session.run({"x": images})["logits"]

    ``module`` is an ``nn.Module``, which is copied and not changed, or a model file as on the command line. ``inputs`` are examples
    that show names, shapes and dtypes: a dictionary by the names of forward's parameters, a tuple in their order, one tensor, or
    a :class:`TensorSpec` for any of them. Axis 0 of the first is the batch, from 1 to at least 16, unless ``dynamic``
    says which axes are free, as ``{"x": {0: (1, 4, 16)}}`` (min, opt, max) or in the words of ``--dynamic``, or ``static`` that none is.

    ``out``: the bundle to write, by default NAME.attn here, after the module's class. ``trt``: True, or "rtx" or "enterprise",
    builds an engine. ``outputs``: a name per output tensor, by default the module's own. ``samples``: real inputs for parity and
    precision, a file or folder as for ``--samples``, or arrays by input name, with ``labels`` where there are some.
    ``task``: classification, segmentation … adds that figure to parity. ``verbose`` shows the stages as the command does. Further
    ``options`` are those of the command line by their names (``precision_time``, ``io_precision``, ``gate``, ``seed``,
    ``workspace``, …: ``attnexport export --help``).

    Raises InputError for what cannot be used, StageError for a stage that fails, ParityError where a gate fails (the bundle is
    then kept with ``keep_failed`` and nothing is raised).
    """
    from .requirements import require_export

    require_export()
    from contextlib import ExitStack

    from ...runtime.show.console import ConsoleReporter
    from ..pipeline import run
    from ..source.module import source_of
    from .examples import samples_file
    from .options import options_of

    with ExitStack() as stack:
        if isinstance(samples, Mapping):
            samples = stack.enter_context(samples_file(samples))
        wished = options_of(
            module, inputs, out=out, trt=trt, precision=precision, dynamic=dynamic, static=static, outputs=outputs,
            samples=samples, force=force, keep_failed=keep_failed, **options,
        )  # fmt: skip
        original = None if isinstance(module, str | Path) else module
        if original is None and task is not None:
            raise InputError(f"task {task!r} is given beside the file {module}", "store it with attnexport.save")
        if verbose and reporter is None:
            reporter = stack.enter_context(ConsoleReporter())
        source = source_of(original, wished.source, task) if original is not None else None
        result = run(wished, reporter, source)
    if result.bundle is None:  # run raises where nothing was kept
        raise RuntimeError("the export kept no bundle")
    return Bundle(result.bundle, module=original)
