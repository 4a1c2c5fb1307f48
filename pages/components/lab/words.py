"""Words that several parts of the Lab share."""

from __future__ import annotations

__all__ = ["batch_of", "samples_of"]


def batch_of(size: int, fixed: int) -> str:
    """Return how many samples a latency is of.

    Args:
        size: Samples that were asked for.
        fixed: Samples that one inference of the file takes; 0 if it takes any number.

    Example:
        >>> batch_of(3, 0), batch_of(3, 4)
        ('batch 3', 'batch 4, which the file fixes')
        >>> batch_of(6, 4)
        'batch 8, in inferences of 4 as the file fixes'
    """
    if not fixed:
        return f"batch {size}"
    filled = -(-size // fixed) * fixed
    if filled == fixed:
        return f"batch {fixed}, which the file fixes"
    return f"batch {filled}, in inferences of {fixed} as the file fixes"


def samples_of(part: str, *, generated: bool = False) -> str:
    """Return what a reader calls the samples of a part; data without parts have only samples."""
    if generated:
        return "generated inputs"
    return "samples" if part == "all" else f"{part} samples"
