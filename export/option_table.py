"""Every option of an export and of a benchmark, once: name, type, default, help, allowed values.

The command line (``cli/``), the arguments of ``attnexport.export`` and the table in docs/options.md are derived from
these tables. Nothing heavy is imported here, so that ``--help`` stays quick.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

TrtWish = Literal["auto", "rtx", "enterprise"]
ModelType = Literal["fp16", "bf16", "fp32", "int8", "fp8"]
Precision = Literal["auto", "fp16", "bf16", "fp32", "int8", "fp8"]
IoPrecision = Literal["fp32", "same"]
Calibration = Literal["auto", "minmax", "percentile"]
Device = Literal["auto", "cpu", "cuda"]
Statistic = Literal["p95", "median"]


@dataclass(frozen=True)
class Option:
    """One option. ``name`` is the argument in Python; the command line writes it with dashes unless ``flags`` differ."""

    name: str
    type: Any
    default: Any
    help: str
    flags: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    above: float | None = None
    """The value must be greater."""
    least: int | None = None
    remedy: str = ""
    """What the error message recommends, if it is not derived from the allowed values."""

    @property
    def flag(self) -> str:
        """The option as the command line writes it, which messages use."""
        return self.flags[0] if self.flags else f"--{self.name.replace('_', '-')}"


WHOLE_FROM_0, WHOLE_FROM_1, NUMBER = "give a whole number from 0", "give a whole number from 1", "give a number above 0"

MODEL = Option("model", Path, None, "A model file, or package.module:callable; not with --arch and --random-weights.")
SEED = Option("seed", int, 0, "Seed of the random inputs.", least=0, remedy=WHOLE_FROM_0)
SOURCE = (
    MODEL,
    Option("arch", str, None, "Architecture of a plain state dict: a name that attnexport models lists."),
    Option("factory", str, None, "package.module:callable that builds the module."),
    Option("kwargs", str, "{}", "Arguments of the architecture or factory, as a JSON object."),
    Option("random_weights", bool, False, "Use seeded random weights instead of a file."),
    Option(
        "allow_pickle",
        bool,
        False,
        "Run the code inside a pickle or program. Only for files that you trust.",
    ),
    Option("inputs", list[str], (), "NAME=1x3x224x224[:dtype[:LOW..HIGH]]; repeatable.", ("--input",)),
    Option("dynamic", list[str], (), "NAME:AXIS=min:opt:max; repeatable."),
    Option("static", bool, False, "Make no axis dynamic."),
)
"""The options that describe the model and its inputs."""

ENGINE = (
    Option("workspace", str, None, "Memory that TensorRT may use, such as 512M or 4G."),
    Option("timing_cache", Path, None, "TensorRT timing cache to read and write."),
    Option(
        "compute_capabilities", list[str], (), "TensorRT-RTX: build for this GPU, such as 8.9; repeatable.",
        ("--compute-capability",),
    ),
    Option("optimization_level", int, None, "Optimization level of TensorRT's builder, 0 to 5."),
    Option("build_time_limit", float, None, "Cancel an engine build after this many seconds."),
)  # fmt: skip
"""The options that describe how TensorRT builds an engine."""

BENCH = (
    Option("contenders", list[str], (), "Contenders, as eager,compile,plain,attnexport,openvino,tensorrt; default: all that run here."),
    Option("baseline", str, None, "The contender to compare the others with; default: plain, else eager."),
    Option(
        "batches", list[str], (), "Batch sizes: 8, or 1,4,16, or 1:16 for 1, 2, 4, 8, 16; default: the profile's min and opt.",
        ("--batch",),
    ),
    Option("sizes", list[str], (), "SYMBOL=SIZE of another dynamic axis; repeatable.", ("--size",)),
    Option("target_latency", str, None, "Find the largest batch within this latency, such as 20ms."),
    Option(
        "statistic", str, "p95", "With --target-latency: the statistic to compare, p95 or median.", ("--latency-of",),
        allowed=get_args(Statistic),
    ),
    Option("device", str, "auto", "cpu, cuda, or auto: the GPU if there is one.", allowed=get_args(Device)),
    Option(
        "threads", int, None, "Threads of each contender on the CPU; default: all cores.", least=1, remedy=WHOLE_FROM_1,
    ),
    Option("rounds", int, 20, "Largest number of rounds for each batch.", least=1, remedy=WHOLE_FROM_1),
    Option(
        "seconds", float, 20.0, "Seconds after which no further round of a batch starts.", above=0,
        remedy="give the time limit of a point in seconds",
    ),
    Option("memory", bool, True, "Measure peak memory, with a separate process for each contender."),
    SEED,
)  # fmt: skip
"""The options of ``attnexport bench`` beside the model."""

OPTIONS = (
    MODEL,
    Option("out", Path, None, "The bundle to write, or a folder for it; default NAME.attn.", ("--out", "-o")),
    Option("force", bool, False, "Replace an existing bundle.", ("--force", "-f")),
    Option("trt", str, None, "Build a TensorRT engine: auto, rtx or enterprise.", allowed=get_args(TrtWish)),
    Option(
        "precision", str, "auto",
        "auto: FP16, with FP32 where the measured error requires it; fp16, bf16, int8, fp8: that type, with FP32 by rules; "
        "fp32: only FP32.",
        allowed=get_args(Precision),
    ),
    Option(
        "precision_target", float, None, "auto: the target error, as a multiple of PyTorch's FP16 error; default 1.5.",
        above=0, remedy=NUMBER,
    ),
    Option("precision_time", float, 120.0, "auto: time limit of the search in seconds.", above=0, remedy=NUMBER),
    Option(
        "io_precision", str, "fp32", "Type of the 16-bit model's inputs and outputs: fp32, or same for FP16.",
        allowed=get_args(IoPrecision),
    ),
    Option(
        "calibration", str, "auto",
        "How int8 and fp8 choose ranges: minmax, percentile, or auto for the better of the two.",
        allowed=get_args(Calibration),
    ),
    Option("target", str, None, "Make model.onnx fast on this target: ort-cpu (default), ort-cuda, tensorrt-rtx, …"),
    Option("tune", bool, False, "Choose each operator's lowering by measured time; for ort-cpu and ort-cuda."),
    *SOURCE[1:],
    Option("outputs", list[str], (), "A name for each output, in order; repeatable.", ("--output",)),
    Option(
        "extra_outputs", str, None, "attention: add the attention maps as outputs.", ("--outputs",),
        allowed=("attention",), remedy="use --outputs attention; to name outputs, use --output NAME",
    ),
    Option("whole", bool, False, "Export an encoder-decoder network as one graph, as in training.", ("--whole",)),
    Option(
        "limit", int, None, "Encoder-decoder networks: largest number of decoded tokens, including the end token.",
        least=1, remedy=WHOLE_FROM_1,
    ),
    Option(
        "beam_width", int, 1, "Encoder-decoder networks: rows of the decoder step for each source row.",
        least=1, remedy=WHOLE_FROM_1,
    ),
    Option("samples", Path, None, "Real inputs: .npz by input name, .npy, or a folder of .npy files or images."),
    Option(
        "image_mean", str, None, "With images as --samples: subtract this from pixels in 0..1, as 0.5 or 0.4,0.5,0.6.",
    ),
    Option("image_std", str, None, "With images as --samples: divide by this, in the same format."),
    SEED,
    Option(
        "gate", float, 2.0, "Largest allowed error, as a multiple of PyTorch's error at the same precision.",
        above=0, remedy=NUMBER,
    ),
    Option(
        "allow_unstable", bool, False, "Accept outputs on which PyTorch at that precision is far from its FP64 result, too.",
    ),
    Option("keep_failed", bool, False, "Keep the bundle even if a parity gate fails."),
    *ENGINE,
)  # fmt: skip

DEFAULTS: dict[str, Any] = {option.name: option.default for option in OPTIONS}


def markdown() -> str:
    """Return :data:`OPTIONS` as the table of docs/options.md."""
    rows = ["| command line | Python | default | |", "|---|---|---|---|"]
    for option in OPTIONS[1:]:
        flags = ", ".join(f"`{flag}`" for flag in option.flags or (option.flag,))
        default = "" if option.default in (None, (), False) else f"`{option.default}`"
        rows.append(f"| {flags} | `{option.name}` | {default} | {option.help} |")
    return "\n".join(rows)
