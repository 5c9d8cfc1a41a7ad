"""The names of the stages of an export: one vocabulary for manifest, attribution, debugger, scan, report and console."""

from enum import Enum


class Stage(str, Enum):
    """One stage, in the order of an export. The values are stored in manifests.

    ``TYPED`` converts the lowered model to FP16, BF16, INT8 or FP8. ``DECODE`` follows the stages
    of both parts of an encoder-decoder network, and ``REBUILD`` changes a bundle later.
    """

    SOURCE = "source"
    CAPTURE = "capture"
    SIMPLIFY = "simplify"
    RAISE = "raise"
    RECOGNISE = "recognise"
    LOWER = "lower"
    TYPED = "typed"
    ENGINE = "engine"
    VERIFY = "verify"
    DECODE = "decode"
    REPORT = "report"
    REBUILD = "rebuild"

    def __str__(self) -> str:
        return self.value

    def label(self, model_type: str = "", part: str = "") -> str:
        """The name on the console: ``TYPED`` by its type (``fp16``), and ``encoder: lower`` for a stage of a part."""
        name = model_type if self is Stage.TYPED and model_type else self.value
        return f"{part}: {name}" if part else name
