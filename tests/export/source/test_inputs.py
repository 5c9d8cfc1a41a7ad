"""The spelling of --input and --dynamic, and what becomes of them with and without stored specs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnexport.errors import InputError
from attnexport.export.options import SourceOptions, parse_kwargs
from attnexport.export.options.inputs import DynamicArgument, InputArgument, parse_dynamic, parse_input
from attnexport.export.source.specs import Parameter, batch_axis, forward_parameters, resolve
from attnexport.runtime.spec import DTYPES, TensorSpec

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,8}", fullmatch=True)
SIZES = st.integers(1, 2**31 - 1)
X, MASK = Parameter("x", True), Parameter("mask", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1x3x224x224", InputArgument("x", (1, 3, 224, 224), "float32")),
        ("ids=1x128:int64", InputArgument("ids", (1, 128), "int64")),
        ("ids=1x128:int64:0..40", InputArgument("ids", (1, 128), "int64", (0, 40))),
        ("ids=4:int32:-3..1", InputArgument("ids", (4,), "int32", (-3, 1))),
        ("x=1x3:float32:0..1", InputArgument("x", (1, 3), "float32", (0.0, 1.0))),
        ("x=2:float16:-0.5..1e-2", InputArgument("x", (2,), "float16", (-0.5, 0.01))),
        ("t=scalar", InputArgument("t", (), "float32")),
        (" x.1=5 ", InputArgument("x.1", (5,), "float32")),
        ("in:0=2x3", InputArgument("in:0", (2, 3), "float32")),
        ("1x3", InputArgument("", (1, 3), "float32")),
        ("2x5:int64:0..9", InputArgument("", (2, 5), "int64", (0, 9))),
        ("scalar", InputArgument("", (), "float32")),
    ],
)
def test_input(text, expected):
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("one", "is not NAME=SIZES"),
        ("x:1x3", "is not NAME=SIZES"),
        ("=1x3", "is not NAME=SIZES"),
        ("x=", "size '' in"),
        ("x=1x0x3", "size 0 in --input 'x=1x0x3' is not usable"),
        ("x=1x-2", "size '-2'"),
        ("x=1x3.5", "size '3.5'"),
        ("x=1,3", "is not a number"),
        ("x=1x9999999999", "is not usable"),
        ("x=٣", "is not a number"),
        ("x=1:float31", "did you mean float32?"),
        ("x=1:half", "did you mean float16?"),
        ("x=1:bfloat16", "no NumPy counterpart"),
        ("x=1:", "dtype '' in"),
        ("x=1:int64:5", "bounds '5' in --input 'x=1:int64:5' are not LOW..HIGH"),
        ("x=1:int64:", "bounds '' in"),
        ("x=1:int64:4..4", "bounds 4..4 in --input 'x=1:int64:4..4' hold no number"),
        (
            "x=1:int64:0..4.5",
            "bounds 0..4.5 in --input 'x=1:int64:0..4.5' are not whole numbers. int64 takes for example 0..8000",
        ),
        ("x=1:float32:1..1", "bounds 1..1 in --input 'x=1:float32:1..1' are not an interval"),
        ("x=1:float32:0..nan", "bounds '0..nan' in"),
        ("x=1:float32:-1e308..1e308", "are not an interval"),
        ("x=1:bool:0..1", "are for numbers, not bool"),
    ],
)
def test_wrong_input(text, fragment):
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x:0=1:4:16", DynamicArgument("x", 0, None, (1, 4, 16))),
        ("x:0=1:16", DynamicArgument("x", 0, None, (1, None, 16))),
        ("x:1=tokens=1:4:16", DynamicArgument("x", 1, "tokens", (1, 4, 16))),
        ("m:1=tokens", DynamicArgument("m", 1, "tokens", None)),
        ("in:0:2=1:4:16", DynamicArgument("in:0", 2, None, (1, 4, 16))),
    ],
)
def test_dynamic(text, expected):
    assert parse_dynamic(text) == expected


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("x=1:4:16", "is not NAME:AXIS=min:opt:max"),
        ("x:0=", "is not NAME:AXIS=min:opt:max"),
        ("x:a=1:2:3", "is not NAME:AXIS"),
        ("x:0=4", "is not min:opt:max"),
        ("x:0=1:2:3:4", "is not min:opt:max"),
        ("x:0=1::4", "is not min:opt:max"),
        ("x:0=5:4:16", "not 1 <= min <= opt <= max"),
        ("x:0=1:20:16", "not 1 <= min <= opt <= max"),
        ("x:0=9:2", "not 1 <= min <= opt <= max"),
        ("x:0=0:1:2", "not 1 <= min <= opt <= max"),
    ],
)
def test_wrong_dynamic(text, fragment):
    with pytest.raises(InputError) as caught:
        parse_dynamic(text)
    assert fragment in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.lists(SIZES, min_size=1, max_size=5), st.sampled_from(DTYPES))
def test_input_reads_what_is_written(name, sizes, dtype):
    text = f"{name}={'x'.join(map(str, sizes))}:{dtype}"
    assert parse_input(text) == InputArgument(name, tuple(sizes), dtype)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(0, 7), st.lists(SIZES, min_size=3, max_size=3).map(sorted))
def test_dynamic_reads_what_is_written(name, axis, sizes):
    low, opt, high = sizes
    assert parse_dynamic(f"{name}:{axis}={low}:{opt}:{high}") == DynamicArgument(name, axis, None, (low, opt, high))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=30), st.text("x:=0123456789abc", max_size=12)))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_input, parse_dynamic):
        try:
            parse(text)
        except InputError as error:
            assert "\n" not in str(error)


def described(inputs=(), dynamic=(), parameters=(X, MASK), stored=(), static=False):
    options = SourceOptions(inputs=tuple(inputs), dynamic=tuple(dynamic), static=static)
    specs, explicit = resolve(options, parameters, stored)
    return [s.describe() for s in specs], explicit


@pytest.mark.parametrize(("size", "expected"), [(1, (1, 4, 16)), (2, (1, 2, 16)), (8, (1, 8, 32))])
def test_assumed_batch(size, expected):
    axis = batch_axis(size)
    assert (axis.min, axis.opt, axis.max, axis.symbol) == (*expected, "batch")


@pytest.mark.parametrize(
    ("inputs", "dynamic", "expected", "explicit"),
    [
        (["x=1x3"], [], ["x float32 [batch=1:4:16, 3]"], False),
        (["mask=2x7", "x=2x3"], [], ["x float32 [batch=1:2:16, 3]", "mask float32 [batch=1:2:16, 7]"], False),
        (["x=2x3", "mask=5x7:bool"], [], ["x float32 [batch=1:2:16, 3]", "mask bool [5, 7]"], False),
        (["x=scalar"], [], ["x float32 []"], False),
        (["x=2x3"], ["x:0=1:4:8"], ["x float32 [batch=1:4:8, 3]"], True),
        (["x=2x3"], ["x:0=1:8"], ["x float32 [batch=1:2:8, 3]"], True),
        (["x=2x3"], ["x:1=1:3:8"], ["x float32 [batch=1:2:16, x_1=1:3:8]"], False),
        (
            ["x=2x3", "mask=2x3"],
            ["x:1=t=1:3:8", "mask:1=t"],
            ["x float32 [batch=1:2:16, t=1:3:8]", "mask float32 [batch=1:2:16, t=1:3:8]"],
            False,
        ),
        (["x=2x3"], ["x:1=batch=1:3:8"], ["x float32 [2, batch=1:3:8]"], True),
        (["2x3"], [], ["x float32 [batch=1:2:16, 3]"], False),
        (["2x3:int64:0..9"], ["x:0=1:8"], ["x int64 [batch=1:2:8, 3]"], True),
        (["scalar"], [], ["x float32 []"], False),
        (
            ["x=2x3", "mask=2x3"],
            ["x:0=1:4:8", "mask:0=1:4:8", "x:1=t=1:2:3", "mask:1=t"],
            ["x float32 [batch=1:4:8, t=1:2:3]", "mask float32 [batch=1:4:8, t=1:2:3]"],
            True,
        ),
    ],
)
def test_given_inputs(inputs, dynamic, expected, explicit):
    assert described(inputs, dynamic) == (expected, explicit)


def test_static_and_unknown_parameters():
    assert described(["x=2x3"], static=True) == (["x float32 [2, 3]"], False)
    assert described(["b=1x1", "a=1x2"], parameters=None)[0] == [
        "b float32 [batch=1:4:16, 1]",
        "a float32 [batch=1:4:16, 2]",
    ]


STORED = (
    TensorSpec.from_json(
        {"name": "x", "dtype": "float32", "axes": [{"symbol": "n", "min": 1, "opt": 4, "max": 16}, 32]}
    ),
    TensorSpec.from_json(
        {"name": "mask", "dtype": "bool", "axes": [{"symbol": "n", "min": 1, "opt": 4, "max": 16}, 9]}
    ),
)


@pytest.mark.parametrize(
    ("inputs", "dynamic", "static", "expected", "explicit"),
    [
        ([], [], False, ["x float32 [n=1:4:16, 32]", "mask bool [n=1:4:16, 9]"], True),
        (["x=8x64:float16"], [], False, ["x float16 [n=1:8:16, 64]", "mask bool [n=1:8:16, 9]"], True),
        ([], ["x:0=2:3:5", "mask:0=2:3:5"], False, ["x float32 [n=2:3:5, 32]", "mask bool [n=2:3:5, 9]"], True),
        ([], ["x:0=2:3:5"], False, ["x float32 [n=2:3:5, 32]", "mask bool [n=2:3:5, 9]"], True),
        ([], [], True, ["x float32 [4, 32]", "mask bool [4, 9]"], False),
    ],
)
def test_stored_inputs(inputs, dynamic, static, expected, explicit):
    assert described(inputs, dynamic, stored=STORED, static=static) == (expected, explicit)


def test_bounds_reach_the_spec_and_stored_ones_stay_unless_others_are_given():
    stored = (TensorSpec.from_json({"name": "x", "dtype": "int64", "axes": [2], "low": 3, "high": 1000}),)

    def bounds(text: str, known: tuple[TensorSpec, ...]) -> tuple[int | None, int | None]:
        (spec,), _ = resolve(SourceOptions(inputs=(text,)), [Parameter("x", True)], known)
        return spec.low, spec.high

    assert bounds("x=2:int64:0..40", ()) == (0, 40)
    assert bounds("x=2:int64", ()) == (None, None)
    assert bounds("x=4:int64:0..40", stored) == (0, 40)
    assert bounds("x=4:int64", stored) == (3, 1000)


def test_fixed_stored_inputs_stay_fixed():
    stored = (TensorSpec.from_json({"name": "x", "dtype": "float32", "axes": [2, 3]}),)
    assert described(stored=stored) == (["x float32 [2, 3]"], True)
    assert described(["x=5x3"], stored=stored) == (["x float32 [5, 3]"], True)


@pytest.mark.parametrize(
    ("inputs", "dynamic", "stored", "fragment"),
    [
        (
            [],
            [],
            (),
            "no input shapes are known: forward takes (x, mask). give them, for example --input x=1x3x224x224",
        ),
        (["mask=1"], [], (), "no shape is given for input 'x'"),
        (["y=1x3"], [], (), "--input names 'y', which is not an input of the model"),
        (["x=1", "maks=1"], [], (), "(did you mean 'mask'?)"),
        (["x=1", "x=2"], [], (), "--input for 'x' is given twice"),
        (["x=1", "2"], [], (), "--input for 'x' is given twice"),
        (["2x32"], [], STORED, "--input 2x32 does not say which of x, mask. write --input x=2x32"),
        (["x=1x3"], ["y:0=1:2:3"], (), "--dynamic names 'y'"),
        (["x=1x3"], ["mask:0=1:2:3"], (), "--dynamic names 'mask'"),
        (["x=1x3"], ["x:2=1:2:3"], (), "--dynamic names axis 2 of 'x', which has 2 axes"),
        (["x=1x3"], ["x:-1=1:2:3"], (), "--dynamic names axis -1"),
        (["x=1x3"], ["x:0=1:2:3", "x:0=1:2:3"], (), "is given twice"),
        (["x=1x3"], ["x:1=4:8"], (), "has size 3, outside 4:8"),
        (["x=1x3"], ["x:1=t"], (), "named 't', which has no range"),
        (["x=2x2"], ["x:0=t=1:2:3", "x:1=t=1:2:4"], (), "'t' has the range 1:2:3, and 1:2:4 in 'x'"),
        (["x=2x2", "mask=2"], ["x:0=1:2:3", "mask:0=1:2:4"], (), "name the axes apart"),
        (["x=2x32", "mask=3x9:bool"], [], STORED, "gives 'n' the sizes 2 and 3"),
        (["z=2x32"], [], STORED, "the model takes x, mask"),
    ],
)
def test_options_that_do_not_fit(inputs, dynamic, stored, fragment):
    with pytest.raises(InputError) as caught:
        described(inputs, dynamic, stored=stored)
    assert fragment in str(caught.value)


def test_an_optional_input_may_be_skipped_where_forward_takes_names():
    specs, _ = described(["bias=1", "x=1"], parameters=(X, MASK, Parameter("bias", False)))
    assert [line.split()[0] for line in specs] == ["x", "bias"]
    with pytest.raises(InputError, match="'mask' comes before 'bias'"):
        described(["x=1", "bias=1"], parameters=(X, MASK, Parameter("bias", False, by_name=False)))


def test_places_inside_an_argument_stand_where_it_does():
    specs, _ = described(["mask=3", "x.image=1x3", "x.size=2"], parameters=(X, MASK))
    assert [line.split()[0] for line in specs] == ["x.image", "x.size", "mask"]
    with pytest.raises(InputError, match=r"names 'y.image', which is not an input of the model"):
        described(["x=1", "y.image=1x3"], parameters=(X, MASK))


def test_forward_parameters():
    assert forward_parameters(lambda x, mask=None: x) == [X, MASK]
    assert forward_parameters(lambda *args: args) is None
    assert forward_parameters(lambda **inputs: inputs) is None
    assert forward_parameters(lambda x, **rest: x) == [X]
    assert forward_parameters(lambda x, *, mask: x) == [X, Parameter("mask", True)]
    assert forward_parameters(lambda x, /: x) == [Parameter("x", True, by_name=False)]


def test_kwargs():
    assert parse_kwargs('{"depth": 2}') == {"depth": 2}
    for text, fragment in [("depth=2", "is not JSON"), ("[1]", "is a JSON list"), ("", "is not JSON")]:
        with pytest.raises(InputError, match=fragment):
            parse_kwargs(text)
