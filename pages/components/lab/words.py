"""Words that several parts of the Lab share."""

from __future__ import annotations

__all__ = ["samples_of"]


def samples_of(part: str, *, generated: bool = False) -> str:
    """Return what a reader calls the samples of a part; data without parts have only samples."""
    if generated:
        return "generated inputs"
    return "samples" if part == "all" else f"{part} samples"
