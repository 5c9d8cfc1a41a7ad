from __future__ import annotations

import pytest

from attnexport.export.engine.logger import ERROR, VERBOSE, WARNING, Collector, Recording, clean, logger_of

CHECK = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient))"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network has dynamic inputs, but no "
            "optimization profile has been defined. In validate at /_src/optimizer/api/network.cpp:4023)",
            "Network has dynamic inputs, but no optimization profile has been defined",
        ),
        (
            "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([tactic.cpp:1676: enumerate_tactics] Tactic "
            "Selection: no tactics; [tactic.cpp:264: run] Error during tactic selection. In run at /_src/a/b.cpp:2012)",
            "Myelin: Tactic Selection: no tactics; Error during tactic selection",
        ),
        (
            "IBuilder::buildSerializedNetwork: Error Code 1: Cuda Runtime (In generateForCurrent at "
            "/_src/runtime/core/cudaDeviceProfile.cpp:221 (cudaError 35: CUDA driver version is insufficient))",
            "Cuda Runtime: CUDA driver version is insufficient",
        ),
        (
            "ITensor::getDimensions: Error Code 4: API Usage Error (gate/add: ElementWiseOperation SUM must have "
            f"same input types. In validateTypes at /_src/optimizer/common/nodes/elementWiseNode.cpp:40)\n{CHECK}",
            "gate/add: ElementWiseOperation SUM must have same input types",
        ),
        ("ModelImporter.cpp:1071: Make sure input i has Int64 binding.", "Make sure input i has Int64 binding"),
        ("a plain message (with brackets)", "a plain message (with brackets)"),
    ],
)
def test_messages_lose_what_is_tensorrts_own(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_a_recording_keeps_each_message_once() -> None:
    recording = Recording()
    for severity, text in [
        (2, "slow."),
        (2, "slow."),
        (1, "no"),
        (0, "internal"),
        (1, CHECK),
        (3, "info"),
        (4, "chatter"),
    ]:
        recording.take(severity, text)
    recording.take(VERBOSE, "Layers:\nName: a")
    assert recording.texts(WARNING) == ["slow"]
    assert recording.texts(ERROR) == ["no", "internal"]
    assert recording.raw("Layers:") == ["Layers:\nName: a"]
    assert recording.texts(VERBOSE) == ["Layers: Name: a"]


def test_a_recording_ends_with_its_block() -> None:
    collector = Collector()
    with collector.recording() as outer:
        collector.take(2, "one")
        with collector.recording() as inner:
            collector.take(2, "two")
        collector.take(2, "three")
    collector.take(2, "four")
    assert outer.texts(WARNING) == ["one", "two", "three"]
    assert inner.texts(WARNING) == ["two"]


def test_there_is_one_logger_per_module(rtx) -> None:
    assert logger_of(rtx.module) is logger_of(rtx.module)
    assert isinstance(logger_of(rtx.module)[0], rtx.module.ILogger)
