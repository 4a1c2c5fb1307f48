"""Turn an error into a sentence on the page. Anything unexpected is a bug: logged, and said so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from optim.errors import OptimError

__all__ = ["show_error", "shown_errors"]

_LOG = logging.getLogger(__name__)


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show an :class:`~optim.errors.OptimError` raised inside as a message with its hint."""
    try:
        yield
    except OptimError as error:
        show_error(error)


def show_error(error: OptimError) -> None:
    """Draw the message of an error and, below it, what to do."""
    _LOG.info("shown to the user: %s", error)
    st.error(f"{error.message}\n\n{error.hint}".strip(), icon=":material/error:")
