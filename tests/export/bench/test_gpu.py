"""The lines of nvidia-smi, and events and memory of a driver of host memory, compiled from C.

The tests marked gpu in test_bench.py use a real GPU.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from attnexport.export.bench.machine import GpuWatch, read_state
from attnexport.export.bench.rounds import EventClock, free_memory
from attnexport.runtime.bundle.bench_report import Interval
from attnexport.runtime.cuda import CudaContext, CudaDriver

CONSTANT = "NVIDIA L4, 8.9, 570.124.06, 2040, 72.00\n"
CHANGING = """210, 405, 16.92, 44, 0x0000000000000001
1785, 6251, 70.11, 51, 0x0000000000000004
2040, 6251, 71.90, 55, 0x0000000000000024
"""


def test_the_gpu_is_described() -> None:
    state = read_state(CONSTANT, CHANGING)
    assert (state.name, state.compute_capability, state.driver) == ("NVIDIA L4", "8.9", "570.124.06")
    assert (state.clock, state.clock_limit) == (Interval(1785.0, 210.0, 2040.0), 2040.0)
    assert state.memory_clock == Interval(6251.0, 405.0, 6251.0)
    assert (state.power, state.power_limit) == (Interval(70.11, 16.92, 71.9), 72.0)
    assert state.temperature == Interval(51.0, 44.0, 55.0)
    assert state.limits == ("power limit (software)", "temperature (software)")


def test_unknown_values_are_none() -> None:
    state = read_state("Orin, 8.7, 540.4.0, [N/A], [N/A]\n", "[N/A], [N/A], [N/A], 48, [N/A]\n21")
    assert (state.clock, state.clock_limit, state.power, state.power_limit) == (None, None, None, None)
    assert (state.temperature, state.limits) == (Interval(48.0, 48.0, 48.0), ())


def test_the_gpu_is_watched_from_enter_to_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that answers like nvidia-smi: once, or repeatedly until it is stopped."""
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"  *--loop-ms=*) cat <<'END'\n{CHANGING}END\n  touch {tmp_path}/begun; while :; do sleep 0.05; done;;\n"
        f"  *) cat <<'END'\n{CONSTANT}END\n  ;;\n"
        "esac\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with GpuWatch() as watch:
        while not (tmp_path / "begun").exists():
            pass
    assert watch.state == read_state(CONSTANT, CHANGING)


def test_without_nvidia_smi_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuWatch() as watch:
        pass
    assert watch.state is None


def test_events_time_the_call(host_driver: CudaDriver) -> None:
    clock = EventClock(CudaContext(host_driver), host_driver)
    assert clock.settle == 0.0
    for steps in (4, 0, 7):
        assert clock.time(lambda steps=steps: host_driver._library.work(steps)) == pytest.approx(steps * 0.5e-3)


def test_the_gpus_free_memory(host_driver: CudaDriver) -> None:
    assert free_memory(CudaContext(host_driver), host_driver) == 5_000_000_000
