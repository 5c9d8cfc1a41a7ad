"""What an engine needs of a GPU's memory, as the real builder logs it without a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from attnexport.export.engine import EngineOptions, build_engine, gpu_present
from attnexport.export.engine.logger import INFO, Recording, logger_of
from attnexport.export.engine.memory import Needs, engine_memory, engine_needs, logged_needs
from attnexport.runtime.open.engine_memory import EngineMemory, ProfileMemory
from attnexport.runtime.spec import Axis, TensorSpec

no_gpu = pytest.mark.skipif(gpu_present(), reason="with a GPU the engine itself is asked")


def image_of(largest: int) -> TensorSpec:
    """The input of ``mixed``, of batch 1 and up to ``largest`` pixels a side."""
    free = [Axis(8, 8, largest, name) for name in "HW"]
    return TensorSpec("x", "float32", (Axis(1, 1, 1, "N"), Axis.fixed(3), *free))


def test_activations_follow_the_largest_shape_and_weights_do_not(mixed, rtx, reporter) -> None:
    small, large = (
        build_engine(mixed, [image_of(size)], rtx, EngineOptions(), {}, reporter).needs for size in (128, 256)
    )
    assert small is not None and large is not None
    assert len(large.activations) == len(large.persistent) == 1
    assert large.activations[0] >= 8 * 256 * 256 * 2  # the convolution's output in FP16
    assert large.activations[0] > 2 * small.activations[0] - 2**23
    assert large.weights == small.weights >= 8 * 3 * 9 * 2  # its kernel


@no_gpu
def test_each_profile_has_its_own_figures(mixed, rtx) -> None:
    """The real builder with two profiles: the larger one needs more, in the order in which they were added."""
    trt = rtx.module
    logger, collector = logger_of(trt)
    with collector.recording() as recording:
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        assert trt.OnnxParser(network, logger).parse(mixed.SerializeToString())
        config = builder.create_builder_config()
        for side in (256, 16):
            profile = builder.create_optimization_profile()
            profile.set_shape("x", (1, 3, 8, 8), (1, 3, 16, 16), (1, 3, side, side))
            config.add_optimization_profile(profile)
        assert builder.build_serialized_network(network, config)
    needs = logged_needs(recording, 2)
    assert needs is not None
    assert needs.activations[0] > needs.activations[1] > 0
    assert len(needs.persistent) == 2
    assert logged_needs(recording, 1) is None, "figures of two profiles are not those of one"


@pytest.mark.parametrize("missing", ["Total Weights", "Total Activation", "Total Device Persistent"])
def test_a_log_without_a_figure_says_nothing(missing: str) -> None:
    lines = [f"{what} Memory: 64 bytes" for what in ("Total Device Persistent", "Total Activation", "Total Weights")]
    recording = Recording()
    for line in lines:
        recording.take(INFO, line)
    assert logged_needs(recording, 1) == Needs(64, (64,), (64,))
    poorer = Recording()
    for line in lines:
        if not line.startswith(missing):
            poorer.take(INFO, line)
    assert logged_needs(poorer, 1) is None
    assert engine_memory(None, [{}], {}, []) is None


@pytest.mark.parametrize("knows_weights", [True, False])
def test_on_a_gpu_the_engine_is_asked_instead(knows_weights: bool) -> None:
    """TensorRT 10.1 has no engine statistics; what a context keeps is in the log alone."""
    engine = SimpleNamespace(num_optimization_profiles=2, get_device_memory_size_for_profile_v2=[512, 256].__getitem__)
    if knows_weights:
        engine.get_engine_stat = {"weights": 99}.__getitem__
    trt = SimpleNamespace(EngineStat=SimpleNamespace(TOTAL_WEIGHTS_SIZE="weights"))
    logged = Needs(64, (1, 1), (7, 8))
    assert engine_needs(trt, engine, logged) == Needs(99 if knows_weights else 64, (512, 256), (7, 8))
    assert engine_needs(trt, engine, None) is None


def test_buffers_are_those_of_the_largest_shapes_in_the_engines_own_types() -> None:
    specs = [
        TensorSpec("y", "float32", (Axis(1, 2, 4, "n"), Axis.fixed(10))),
        TensorSpec("z", "float32", (Axis.fixed(3),)),
    ]
    profiles = [{"x": {"max": [4, 3, 8, 8]}, "t": {"max": [4]}}, {"x": {"max": [1, 3, 8, 8]}, "t": {"max": [1]}}]
    types = {"x": "float16", "t": "int64", "y": "float16", "z": "float32"}
    found = engine_memory(Needs(1000, (50, 20), (5, 0)), profiles, types, specs)
    largest = np.empty((4, 3, 8, 8), np.float16).nbytes + np.empty(4, np.int64).nbytes
    given = np.empty((4, 10), np.float16).nbytes + np.empty(3, np.float32).nbytes
    smallest = np.empty((1, 3, 8, 8), np.float16).nbytes + 8
    assert found == EngineMemory(1000, (ProfileMemory(50, 5, largest, given), ProfileMemory(20, 0, smallest, given)))
