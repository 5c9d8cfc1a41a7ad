"""The naming convention of encoder and step: what is memory, what is state, and what is refused."""

from __future__ import annotations

import pytest

from attnexport.errors import InputError
from attnexport.models import seq2seq
from attnexport.runtime.decode.decoder import NEXT, Names


def test_replaced_inputs_are_state_and_the_rest_is_memory():
    found = Names.of(
        ("keys", "padding", "hidden", "cell", "extra"),
        ("token", "padding", "hidden", "keys", "cell"),
        ("logits", "next_cell", "attention", "next_hidden"),
    )
    assert found == Names(memory=("padding", "keys"), state=("hidden", "cell"), attention=True)


def test_a_step_may_have_no_memory_no_state_and_no_attention():
    assert Names.of((), ("token",), ("logits",)) == Names((), (), attention=False)


def test_the_models_spell_it_alike():
    assert seq2seq.NEXT == NEXT


@pytest.mark.parametrize(
    ("encoder", "inputs", "outputs", "message"),
    [
        (("h",), ("word", "h"), ("logits",), "the step takes no 'token': it takes word, h. name it token."),
        (("h",), ("token", "h"), ("scores",), "the step gives no 'logits': it gives scores. name it logits."),
        (
            ("h",), ("token", "h"), ("logits", "next_g"),
            "the step gives 'next_g' and takes no state 'g'. it takes token, h.",
        ),
        (
            ("h",), ("token", "h"), ("logits", "next_token"),
            "the step gives 'next_token' and takes no state 'token'. it takes token, h.",
        ),
        (
            ("h",), ("token", "keys"), ("logits",),
            "the step takes 'keys', which the encoder does not give. the encoder gives h.",
        ),
    ],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused(encoder, inputs, outputs, message):
    with pytest.raises(InputError) as caught:
        Names.of(encoder, inputs, outputs)
    assert str(caught.value) == message
