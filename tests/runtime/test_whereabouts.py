"""What a process was at can be read by its parent after its death, whatever the names are."""

import os
from collections.abc import Iterator

import pytest

from attnexport.export.engine.logger import VERBOSE, Collector
from attnexport.runtime import whereabouts
from attnexport.runtime.whereabouts import Board, Whereabouts


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    whereabouts.use(made)
    yield made
    whereabouts._boards.clear()


def test_a_killed_child_has_said_where_it_was(board: Board) -> None:
    child = os.fork()
    if not child:
        whereabouts.at_stage("lower")
        whereabouts.writes("net.attn")
        whereabouts.at_stage("engine")
        whereabouts.at_work("node", "conv_1")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert board.read() == Whereabouts("engine", "node conv_1", "net.attn")


def test_a_new_stage_forgets_the_work_of_the_one_before(board: Board) -> None:
    whereabouts.at_work("node", "conv_1")
    whereabouts.at_stage("verify")
    assert board.read() == Whereabouts("verify")


@pytest.mark.parametrize("name", ["x" * 10**6, "\0\n\x1b[2J", '"', "ü" * 3000, "\ud800"])
def test_any_name_can_be_written(board: Board, name: str) -> None:
    whereabouts.at_work(name)
    whereabouts.at_stage(name)
    whereabouts.at_work(name)
    whereabouts.writes(name)
    assert board.read() == Whereabouts(name[:500], name[:500], name[:500])


def test_nothing_happens_without_a_board() -> None:
    whereabouts.at_work("node")
    assert Board().read() == Whereabouts()


def test_tensorrts_parser_says_its_node(board: Board) -> None:
    Collector().take(VERBOSE, "Parsing node: conv_1 [Conv]\nmore")
    Collector().take(VERBOSE, "Registering layer: relu_1")
    assert board.read().work == "TensorRT's parser, Parsing node: conv_1 [Conv]"
