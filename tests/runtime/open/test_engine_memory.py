"""An engine's memory as a record keeps it, and in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnexport.errors import BundleError
from attnexport.runtime.bundle.sections import EngineRecord
from attnexport.runtime.open.engine_memory import EngineMemory, ProfileMemory, keep, memory_of
from attnexport.runtime.show.terminal import size

RECORD = EngineRecord("engines/fp16.engine", "rtx", "1.7.1", "fp16", None, (), (), 1.0, 9)
MEMORY = EngineMemory(199_040, (ProfileMemory(8_662_016, 0, 196_608, 640), ProfileMemory(64, 1_000, 32, 8)))


def test_a_record_survives_json() -> None:
    kept = json.loads(json.dumps(keep(MEMORY)))
    assert memory_of(replace(RECORD, detail={"tf32": False, **kept})) == MEMORY
    assert kept["memory"]["profiles"][1] == {"activations": 64, "persistent": 1000, "inputs": 32, "outputs": 8}


def test_a_build_that_does_not_say_keeps_nothing() -> None:
    assert keep(None) == {}
    assert memory_of(RECORD) is None


def test_a_damaged_record_is_refused_by_its_field() -> None:
    kept = {"memory": {"weights": "much", "profiles": []}}
    where = "'engines.engines/fp16.engine.detail.memory.weights' must be an integer, not 'much'"
    with pytest.raises(BundleError, match=where):
        memory_of(replace(RECORD, detail=kept))


def test_each_profile_is_a_line_whose_parts_add_up() -> None:
    assert MEMORY.profiles[0].context == 8_662_016 + 196_608 + 640
    assert MEMORY.describe(size) == [
        "9.1 MB of GPU memory: weights 199.0 KB, and 8.9 MB for each thread (activations 8.7 MB, inputs 196.6 KB, outputs 640 B)",
        "200.1 KB of GPU memory: weights 199.0 KB, and 1.1 KB for each thread"
        " (activations 64 B, inputs 32 B, outputs 8 B, kept 1.0 KB)",
    ]
