"""What the address of Present names. With something to show, the page stands without a frame."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["AT", "DECK", "is_alone"]

DECK, AT = "snapshots", "at"
"""Query parameters: what is shown in its order, and which of it is shown now, from 1.

A slide is a snapshot by its id, or anything that can be compared by its short name.
"""


def is_alone(page: str, parameters: Collection[str]) -> bool:
    """Return whether a page stands without a frame, by its address and its query parameters."""
    return page == "present" and DECK in parameters
