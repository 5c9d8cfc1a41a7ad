"""Where inputs go in forward, by nothing but their names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import InputError
from attnexport.export.forward.call import arrange, by_argument, call


class Named(nn.Module):
    def forward(self, ids, mask=None, *, scale=None, **rest):
        return ids, mask, scale, rest


class Anything(nn.Module):
    def forward(self, *xs, flag=None):
        return xs, flag


class Plain(nn.Module):
    def forward(self, x, /, y):
        return x, y


@pytest.mark.parametrize(
    ("module", "names", "expected"),
    [
        (Named(), ["ids", "mask"], ((0, 1), {})),
        (Named(), ["ids", "scale"], ((0,), {"scale": 1})),
        (Named(), ["mask", "ids"], ((), {"mask": 0, "ids": 1})),
        (Named(), ["ids", "scale", "further"], ((0,), {"scale": 1, "further": 2})),
        (Anything(), ["a", "b"], ((0, 1), {})),
        (Anything(), ["a", "flag"], ((0,), {"flag": 1})),
        (Plain(), ["x", "y"], ((0, 1), {})),
        (Named(), ["ids.image", "ids.mask", "mask"], (({"image": 0, "mask": 1}, 2), {})),
        (Named(), ["ids.0", "ids.1.k", "scale"], (([0, {"k": 1}],), {"scale": 2})),
        (Anything(), ["a.0", "a.1"], ((0, 1), {})),
    ],
)
def test_positions_names_and_paths(module, names, expected):
    assert arrange(module, names, list(range(len(names)))) == expected


def test_a_dictionary_that_is_a_value_stays_one():
    assert arrange(Plain(), ["x", "y"], [{0: "batch"}, None]) == (({0: "batch"}, None), {})


def test_the_call_is_made_and_arguments_have_their_names():
    assert call(Named(), ["ids", "scale", "further"], [1, 2, 3]) == (1, None, 2, {"further": 3})
    assert by_argument(Named(), ["ids", "further"], [1, 2]) == {"ids": 1, "rest": {"further": 2}}
    assert by_argument(Anything(), ["a", "b"], [1, 2]) == {"xs": (1, 2)}


def test_a_module_that_writes_into_its_input_writes_into_a_copy():
    class InPlace(nn.Module):
        def forward(self, x, y):
            x *= 255
            y["a"] += 1
            return x, y["a"]

    x, a = torch.ones(2), torch.zeros(2)
    got = call(InPlace(), ["x", "y.a"], [x, a])
    assert [value.tolist() for value in got] == [[255, 255], [1, 1]]
    assert [x.tolist(), a.tolist()] == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ids.0", "ids.2"], "the entries of 'ids' are 0, 2"),
        (["ids.1", "ids.0"], "the entries of 'ids' are 1, 0"),
        (["ids.a", "mask", "ids.b"], "'ids.b' stands apart from the others of 'ids'"),
        (["ids.a", "ids.a.b"], "'ids.a.b' lies inside another input"),
        (["ids.a.b", "ids.a"], "'ids.a' lies inside another input"),
    ],
)
def test_paths_that_make_no_structure(names, message):
    with pytest.raises(InputError, match=message):
        arrange(Named(), names, list(range(len(names))))


def test_a_script_module_takes_positions():
    scripted = torch.jit.script(nn.Linear(2, 2))
    assert arrange(scripted, ["weird.0", "b"], [1, 2]) == ((1, 2), {})
