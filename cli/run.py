"""All commands as one program with one page of help. ``attnexport MODEL`` is the export; every error is one line with its exit code."""

import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import typer

from ..errors import AttnexportError, InputError, first_line
from ..version import __version__
from .bench import bench
from .bundle import check, decode, inspect, rebuild, report
from .limits import is_program
from .model import debug, doctor, export, models, scan
from .serving import serve, triton
from .streams import install

HELP = f"""attnexport {__version__}: trained attention models to ONNX and TensorRT FP16, verified against FP64

usage:  attnexport MODEL [options]         export MODEL to the bundle NAME.attn
        attnexport check NAME.attn         verify a bundle again, without torch
        attnexport rebuild NAME.attn       rebuild its engines for this GPU and TensorRT
        attnexport inspect NAME.attn       print rewrites with reasons, precisions, engine layers
        attnexport report NAME.attn [--bench FILE]      write its report again, with a benchmark
        attnexport decode NAME.attn --tokens "5 8 12"   run its encoder and decoder step
        attnexport debug MODEL [options]   find where an error begins; write files that reproduce it
        attnexport bench NAME.attn|MODEL   time and memory beside PyTorch and the plain export
        attnexport scan MODEL              list what each target cannot run, or runs slowly
        attnexport doctor [--probe]        print what works here and what to install
        attnexport triton NAME.attn --out REPO          write a Triton model repository
        attnexport serve NAME.attn         serve it with Triton, verified with golden inputs
        attnexport models [NAME]           list the networks of --arch; NAME: one, with its options

MODEL:  a checkpoint of attnexport.save, .pt/.pth/.safetensors weights, .pt2, TorchScript, .onnx,
        or package.module:callable

  --trt[=rtx|enterprise]     build a TensorRT engine; by default with the installed TensorRT
  -o, --out PATH             path of the bundle (default: NAME.attn);  -f, --force  replace it
  --arch NAME                architecture of a state dict;  --factory package.module:callable
  --kwargs JSON              arguments of the architecture;  --random-weights  without a file
  --input x=1x3x224x224      shape (and :dtype) of an input that the model does not store
  --dynamic x:0=1:4:16       min:opt:max of an axis (default: axis 0);  --static  no dynamic axis
  --samples FILE.npz|FOLDER  real inputs, or images (--image-mean, --image-std), for parity
  --limit N  --beam-width W  limits of decoding;  --whole  an encoder-decoder as one graph
  --outputs attention        add attention maps, for inspect NAME.attn --attention IMAGE
  --precision auto|fp16|bf16|fp32  FP16 by measured error (default) or rules; BF16; FP32
  --precision int8|fp8       8-bit layers, calibrated on --samples;  --calibration METHOD
  --target ort-cpu|ort-cuda|…  make model.onnx fast on it;  --tune  time the lowerings
  --gate FACTOR              largest error, as a multiple of PyTorch's (default 2);  --keep-failed
  --allow-pickle             run pickled code, which never runs otherwise: only for trusted files
  --time-limit S --memory-limit 8G  stop there (default: an hour, 90 % of the free memory)
  --json  --quiet  --debug   one JSON object; only the result; tracebacks

example: attnexport examples/digits_stn_cbam.pt --trt --samples examples/digits_samples.npz
All options: attnexport export --help.  Exit codes: 0 success, 1 failed stage or gate, 2 bad input.
"""


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)
for _command in (export, check, rebuild, inspect, decode, debug, bench, doctor, models, report, scan, triton, serve):
    app.command()(_command)

FLAVOURS = ("auto", "rtx", "enterprise")
COMMANDS = tuple(command.callback.__name__ for command in app.registered_commands if command.callback is not None)


def arguments(argv: Sequence[str]) -> list[str]:
    """Return the arguments for typer: without a command ``export`` is inserted; ``--trt`` without a flavour is ``--trt=auto``."""
    given = list(argv)
    words = ["export"] if given and given[0] not in COMMANDS else []
    while given:
        word = given.pop(0)
        if word == "--trt":
            word = f"--trt={given.pop(0) if given and given[0] in FLAVOURS else 'auto'}"
        words.append(word)
    return words


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    if argv is None:
        install()
        is_program()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"--help", "-h"}:
        sys.stdout.write(HELP)
        sys.exit(0)
    if words[0] == "--version":
        sys.stdout.write(f"attnexport {__version__}\n")
        sys.exit(0)
    try:
        app(args=arguments(words), prog_name="attnexport")
    except Exception as error:
        if "--debug" in words:
            traceback.print_exception(error)
        sys.exit(_fail(error, as_json=_wants_json(words)))


def _wants_json(words: Sequence[str]) -> bool:
    """Whether standard output is JSON. The --json of bench takes a file, and - is standard output."""
    if words[0] == "bench":
        return ("--json", "-") in pairwise(words) or "--json=-" in words
    return "--json" in words


def _fail(error: Exception, *, as_json: bool) -> int:
    """Print one line for an error and return its exit code. An unexpected error is reported as a fault of attnexport."""
    if isinstance(error, AttnexportError):
        code, text = error.exit_code, str(error)
    elif isinstance(error, OSError):
        shown = InputError(f"{error.strerror or error}: {error.filename or ''}", "check the path and the space on disk")
        code, text = shown.exit_code, str(shown)
    else:
        code = 1
        text = (
            f"a fault in attnexport, {type(error).__name__}: {first_line(error)}. Run again with --debug and report it."
        )
    if as_json:
        import json

        fields: dict[str, Any] = {"error": text, "kind": type(error).__name__, "exit_code": code}
        sys.stdout.write(json.dumps(fields) + "\n")
    else:
        from ..runtime.show.terminal import plain

        sys.stderr.write(f"attnexport: {plain(text)}\n")
    return code
