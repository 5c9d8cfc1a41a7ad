"""``attnexport.export`` and ``attnexport.open``: the command line's work from Python. Imports nothing heavy by itself."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..option_table import OPTIONS
from .bundle import Bundle

if TYPE_CHECKING:
    import torch

    from ..progress import Reporter


def export(
    module: "torch.nn.Module | str | Path",
    inputs: Any = None,
    *,
    samples: str | Path | Mapping[str, Any] | None = None,
    task: str | None = None,
    verbose: bool = False,
    reporter: "Reporter | None" = None,
    **options: Any,
) -> Bundle:
    """Export a module to a verified bundle::

        bundle = attnexport.export(net, {"x": torch.randn(1, 3, 32, 32)}, trt=True, out="net.attn")
        bundle.verify().passed
        with bundle.open() as session:
            logits = session.run({"x": images})["logits"]

    ``module`` is an ``nn.Module``, which is copied and not changed, or a model file as on the command line. ``inputs``
    are examples that show names, shapes and dtypes: a dictionary by the names of forward's parameters, a tuple in their
    order, or one tensor. A :class:`TensorSpec` in place of an example says which axes are dynamic.

    ``samples``: real inputs for parity and precision: a file or folder as for ``--samples``, or arrays by input name,
    with ``labels`` if there are some. ``task`` (``classification``, ``segmentation``, …) adds that figure to parity.
    ``verbose`` prints the stages as the command does. ``options`` are those of docs/options.md: ``out``, ``trt`` (also
    True), ``precision``, ``static``, ``outputs``, ``gate``, …. ``dynamic`` may also be ``{"x": {0: (1, 4, 16)}}`` (min,
    opt, max). Unless a TensorSpec, ``dynamic`` or ``static`` says otherwise, axis 0 of the first input is a batch of 1
    to at least 16.

    Raises InputError for arguments that cannot be used, StageError if a stage fails, and ParityError if a gate fails
    (with ``keep_failed`` the bundle is kept and nothing is raised).
    """
    from .requirements import require_export

    require_export()
    from contextlib import ExitStack

    from ...runtime.show.terminal import ConsoleReporter
    from ..pipeline import run
    from ..source.torch_source import source_of
    from .options import options_of, samples_file

    with ExitStack() as stack:
        if isinstance(samples, Mapping):
            samples = stack.enter_context(samples_file(samples))
        arguments = options_of(module, inputs, {"samples": samples, **options})
        original = None if isinstance(module, str | Path) else module
        if original is None and task is not None:
            raise InputError(f"task {task!r} is given beside the file {module}", "store it with attnexport.save")
        if verbose and reporter is None:
            reporter = stack.enter_context(ConsoleReporter())
        source = source_of(original, arguments.source, task) if original is not None else None
        result = run(arguments, reporter, source)
    return Bundle(result.bundle, module=original)


def _signature() -> inspect.Signature:
    """Return the signature of :func:`export` with every option of the table, for ``help()`` and editors."""
    parameters = inspect.signature(export).parameters
    named = [p for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in OPTIONS
        if option.name not in parameters and option.name not in ("model", "random_weights")
    ]
    return inspect.Signature([*named, *options], return_annotation="Bundle")


export.__signature__ = _signature()  # type: ignore[attr-defined]  # what inspect.signature reads
