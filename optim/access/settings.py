"""What the operator has set, by environment variables; everything has a default.

==========================  =======  ===========================================================
``OPTIM_PRESENTATION``      0        1: nothing can be uploaded, trained or deleted
``OPTIM_MAX_UPLOADS``       50       models and data that an owner may have; 0 for no limit
``OPTIM_MAX_UPLOADS_MB``    2000     megabytes of them together; 0 for no limit
``OPTIM_MAX_RUNS``          10       runs of an owner that wait or run; 0 for no limit
``OPTIM_RETENTION_DAYS``    0        days after which what nobody used is removed; 0 for never
``OPTIM_WORKSHOP``          none     code of the room of the workshop that is held here
``OPTIM_WORKSHOP_URL``      none     address under which those who take part reach it
==========================  =======  ===========================================================
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from optim.errors import ConfigError

__all__ = [
    "Limits",
    "is_presentation",
    "limits",
    "retention_days",
    "workshop_code",
    "workshop_url",
]


@dataclass(frozen=True)
class Limits:
    """What one owner may have.

    Attributes:
        uploads: Models and data sets together; 0 for no limit.
        upload_bytes: Bytes of their files together; 0 for no limit.
        runs: Runs that wait or run; 0 for no limit.
    """

    uploads: int
    upload_bytes: int
    runs: int


def limits() -> Limits:
    """Return the limits of an owner.

    Raises:
        ConfigError: If a variable is no whole number from 0.
    """
    return Limits(
        uploads=_number("OPTIM_MAX_UPLOADS", 50),
        upload_bytes=_number("OPTIM_MAX_UPLOADS_MB", 2000) * 10**6,
        runs=_number("OPTIM_MAX_RUNS", 10),
    )


def is_presentation() -> bool:
    """Whether this server only shows.

    Raises:
        ConfigError: If the variable is neither 0 nor 1.
    """
    found = _number("OPTIM_PRESENTATION", 0)
    if found > 1:
        raise ConfigError(f"OPTIM_PRESENTATION must be 0 or 1: got {found}.")
    return found == 1


def retention_days() -> int:
    """Return after how many days what nobody used is removed; 0 for never.

    Raises:
        ConfigError: If the variable is no whole number from 0.
    """
    return _number("OPTIM_RETENTION_DAYS", 0)


def workshop_code() -> str:
    """Return the code of the room of the workshop that is held here; empty if none is."""
    return os.environ.get("OPTIM_WORKSHOP", "").strip().upper()


def workshop_url() -> str:
    """Return the address under which those who take part reach this server; may be empty."""
    return os.environ.get("OPTIM_WORKSHOP_URL", "").strip()


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigError(
            f"{variable} must be a whole number from 0: got {text!r}.",
            hint=f"Leave it out for {default}.",
        )
    return int(text)
