"""The five networks that a search is measured on; the whole ones wait for the sweep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from attnexport.benchmarks import precision_nets, precision_search
from attnexport.benchmarks.precision_search import BARS, Bench
from attnexport.export.search import Aim

SMALL = {
    "resnet18_se_cbam": (partial(precision_nets.resnet18_gates, classes=100, width=16), (3, 64, 64), "classification"),
    "vit_small": (
        partial(precision_nets.vit_small, classes=100, image=64, width=96, depth=2, heads=3), (3, 64, 64), "classification"
    ),
}  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Bench]:
    monkeypatch.setattr(precision_search, "INPUTS", 16)  # of the last measurement

    def build(name: str) -> Bench:
        monkeypatch.setitem(precision_nets.NETS, name, SMALL.get(name, precision_nets.NETS[name]))
        return Bench(name)

    return build


def test_what_overflows_in_all_other_ways_is_finite_and_as_good_as_its_bar(small: Callable[[str], Bench]) -> None:
    bench = small("hazard")
    assert bench.plain("all FP16", []).error is None, "all NaN or infinite"
    row, found = bench.searched("auto", Aim())
    assert row.error is not None and row.error <= BARS["hazard"].error
    assert found.report.verdict == "overflow only" and row.kept <= 16
    reasons = " ".join(decision.reason for decision in found.decisions)
    assert "FP16 ends at 65504" in reasons


def test_the_warped_image_is_right(small: Callable[[str], Bench]) -> None:
    bench = small("stn256")
    plain = bench.plain("all FP16", [])
    assert plain.error is not None and plain.error > 0.01
    row, _ = bench.searched("auto", Aim())
    assert row.error is not None and row.error < BARS["stn256"].error
    assert row.kept <= BARS["stn256"].kept


def test_local_attention_passes_at_once_and_reaches_its_bar_with_as_few_nodes(small: Callable[[str], Bench]) -> None:
    bench, bar = small("sasa_block"), BARS["sasa_block"]
    row, found = bench.searched("auto", Aim())
    assert (row.verdict, row.kept, row.evaluations) == ("passed at once", 0, 1)
    assert bar.plain is not None
    tight, reached = bench.searched("bar", Aim(target=found.report.before * bar.error / bar.plain, settle=False))
    assert reached.report.error <= found.report.before * bar.error / bar.plain
    assert tight.kept <= bar.kept


@pytest.mark.parametrize("name", SMALL)
def test_a_third_of_the_error_takes_a_part_of_the_nodes(name: str, small: Callable[[str], Bench]) -> None:
    bench, bar = small(name), BARS[name]
    assert bar.plain is not None
    _, first = bench.searched("auto", Aim())
    target = first.report.before * bar.error / bar.plain
    row, found = bench.searched("bar", Aim(target=target, settle=False))
    assert found.report.verdict == "searched"
    assert found.report.error <= target and found.report.held_out is not None and found.report.held_out <= target
    assert row.kept <= 0.6 * row.nodes


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", precision_nets.NETS)
def test_the_whole_networks_reach_their_bars_in_time(name: str) -> None:
    rows = {row.how: row for row in precision_search.measure(name)}
    last, bar = list(rows.values())[-1], BARS[name]
    assert last.error is not None
    if bar.plain is None:
        assert last.error <= bar.error
    else:
        assert last.kept / last.nodes <= max(1.1 * bar.kept / bar.nodes, 0.5)
