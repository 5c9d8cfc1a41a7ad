"""The served models that the page shows: those that take one image. The others are listed with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import InputError
from ...bundle.bundle import StoredBundle
from ...bundle.sections import AttentionRecord
from ...inputs.picture import Picture, Scale, image_size
from ...spec import TensorSpec
from ...triton.options import WrittenModel

MOST_EXAMPLES = 12


@dataclass(frozen=True)
class ImageModel:
    """A model that takes one image.

    ``scale`` converts pixels to its input; ``known``: the bundle has it, from its sample images.
    ``classes`` are the names of the classes, if the samples had any. ``examples`` (N, C, H, W) are
    real samples of the golden inputs; N may be 0.
    """

    name: str
    version: int
    input: TensorSpec
    scale: Scale
    known: bool
    task: str | None
    classes: tuple[str, ...]
    attention: tuple[AttentionRecord, ...]
    examples: np.ndarray

    def example(self, index: int) -> Picture:
        """One of the examples, as the input and as an image. Raise InputError for an unknown index."""
        if not 0 <= index < len(self.examples):
            raise InputError(f"{self.name} has no example {index}", f"it has {len(self.examples)}")
        example = self.examples[index]
        _, height, width = example.shape
        pixels = example.transpose(1, 2, 0) * np.array(self.scale.std) + np.array(self.scale.mean)
        feed = np.repeat(example[None], self.input.axes[0].min, axis=0)
        return Picture(np.broadcast_to(np.clip(pixels, 0, 1), (height, width, 3)), np.ascontiguousarray(feed))

    def to_json(self) -> dict[str, Any]:
        """The facts that the page needs."""
        channels, height, width = image_size(self.input)
        return {
            "name": self.name, "version": self.version, "channels": channels, "height": height, "width": width,
            "mean": list(self.scale.mean), "std": list(self.scale.std), "known": self.known, "task": self.task,
            "examples": len(self.examples), "attention": len(self.attention),
        }  # fmt: skip


def image_models(written: Sequence[WrittenModel]) -> tuple[list[ImageModel], dict[str, str]]:
    """The served models that the page shows, and the reasons why it hides the others, by name. Raise BundleError for a damaged bundle."""
    shown: list[ImageModel] = []
    hidden: dict[str, str] = {}
    for model in written:
        if model.role not in ("model", "ensemble"):
            continue  # a part of another one, which clients do not call
        bundle = StoredBundle.open(model.bundle)
        try:
            shown.append(_shown(model, bundle))
        except InputError as error:
            hidden[model.name] = error.problem
    return shown, hidden


def _shown(model: WrittenModel, bundle: StoredBundle) -> ImageModel:
    manifest = bundle.manifest
    if manifest.parts:
        raise InputError("it is an encoder-decoder network, which takes no image", "call it with a client")
    if len(manifest.inputs) != 1:
        names = ", ".join(spec.describe() for spec in manifest.inputs)
        raise InputError(f"the model takes {names}, and an image is one input", "call it with a client")
    (spec,) = manifest.inputs
    channels, height, width = image_size(spec)
    scaling: dict[str, Any] = manifest.samples.images if manifest.samples is not None else {}
    scale = Scale(tuple(scaling.get("mean", (0.0,))), tuple(scaling.get("std", (1.0,))))
    scale.check(channels)
    return ImageModel(
        model.name, model.version, spec, scale, bool(scaling), manifest.task, tuple(map(str, scaling.get("classes", ()))),
        manifest.attention, _examples(bundle, spec.name, (channels, height, width)),
    )  # fmt: skip


def _examples(bundle: StoredBundle, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The first real samples among the golden inputs that have the optimum's size."""
    if bundle.manifest.samples is not None:
        for case in bundle.golden():
            samples = case.feeds[name]
            if case.name.startswith("samples-") and samples.shape[1:] == shape:
                return samples[:MOST_EXAMPLES]
    return np.empty((0, *shape), np.float32)
