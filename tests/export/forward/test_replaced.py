"""Names of a model's files, replaced for a while: found in new files, under new names, and behind torch.compile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from attnexport.export.forward.replaced import replaced


def attention() -> str:
    return "torch's"


def stand_in() -> str:
    return "ours"


@pytest.fixture
def home() -> ModuleType:
    module = ModuleType("home_of_attention")
    vars(module).update(attention=attention)
    return module


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = ModuleType("a_file_of_a_model")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module


def test_a_name_that_a_file_gets_later_is_replaced_and_comes_back(home: Any, file: Any) -> None:
    with replaced({attention: stand_in}, home):
        assert home.attention() == "ours"
    file.attend = attention
    for _ in range(2):
        with replaced({attention: stand_in}, home):
            assert (file.attend(), home.attention()) == ("ours", "ours")
        assert (file.attend, home.attention) == (attention, attention)


def test_a_name_of_a_file_that_knows_the_home_may_be_set_again(home: Any, file: Any) -> None:
    file.library, file.attend = home, None
    with replaced({attention: stand_in}, home):
        assert file.attend is None
    file.attend = attention
    with replaced({attention: stand_in}, home):
        assert file.attend() == "ours"


def test_a_compiled_function_counts_as_the_function(home: Any, file: Any) -> None:
    file.attend = compiled = torch.compile(attention)
    with replaced({attention: stand_in}, home):
        assert file.attend is stand_in
    assert file.attend is compiled
