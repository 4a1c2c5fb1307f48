"""Errors a user can do something about are sentences; anything else is a bug and stays one."""

from streamlit.testing.v1 import AppTest


def draw(error):
    import streamlit as st

    from pages.components.errors import shown_errors

    with shown_errors():
        st.text("before")
        raise error
    st.text("after")


def shown(error):
    return AppTest.from_function(draw, kwargs={"error": error}).run()


def test_the_message_is_shown_with_its_hint_below():
    from optim.errors import ConfigError

    at = shown(ConfigError("seed must be a number: got 'x'.", hint="Use 0."))
    assert at.error[0].value == "seed must be a number: got 'x'.\n\nUse 0."
    assert [t.value for t in at.text] == ["before", "after"]
    assert not at.exception


def test_without_a_hint_there_is_no_empty_line():
    from optim.errors import RunError

    assert shown(RunError("It stopped.")).error[0].value == "It stopped."


def test_a_bug_is_not_dressed_up_as_a_message():
    at = shown(KeyError("layers"))
    assert not at.error
    assert at.exception
    assert [t.value for t in at.text] == ["before"]
