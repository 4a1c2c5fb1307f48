"""The tree of errors, as it is drawn and as it is."""

import inspect
import re

import pytest

from optim import errors
from optim.errors import Cancelled, ConfigError, OptimError

CLASSES = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, OptimError)
]


def test_the_tree_is_drawn_as_it_is():
    drawn = set(re.findall(r"[├└│─\s]*\b([A-Z]\w+)(?: \(\w+\))?\s{2,}", errors.__doc__))
    assert drawn == {cls.__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not Cancelled])
def test_a_message_and_what_to_do_are_kept_apart_and_shown_together(cls):
    error = cls("It is wrong.", hint="Do this.")
    assert (error.message, error.hint, str(error)) == (
        "It is wrong.",
        "Do this.",
        "It is wrong. Do this.",
    )
    assert str(cls("It is wrong.")) == "It is wrong."


def test_builtin_kinds_are_kept_for_those_who_catch_them():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(errors.DataError, ValueError)
    assert issubclass(errors.MissingDependencyError, ImportError)
    assert issubclass(errors.ParityError, errors.ExportError)
    assert issubclass(errors.OptimWarning, UserWarning)


def test_a_config_error_names_its_field():
    assert ConfigError("x", field="a.b").field == "a.b"
    assert ConfigError("x").field == ""


def test_stopping_needs_no_words():
    assert str(Cancelled()) == "Stopped as requested."


def test_what_a_file_says_is_cut_and_can_be_sent():
    error = ConfigError(f"It says {'x' * 70_000}.", hint="y" * 70_000)
    assert len(str(error)) < 2_000
    assert error.message.startswith("It says xxx")
    assert error.message.endswith("...")
    assert ConfigError("It says \ud800.").message.encode() == b"It says \\ud800."
