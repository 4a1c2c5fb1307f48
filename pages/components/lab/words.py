"""Words that several parts of the Lab share."""

from __future__ import annotations

__all__ = ["samples_of"]


def samples_of(part: str) -> str:
    """Return what a reader calls the samples of a part; data without parts have only samples."""
    return "samples" if part == "all" else f"{part} samples"
