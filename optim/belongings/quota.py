"""Whether an owner may have more. What is refused says how much there is and what to do."""

from __future__ import annotations

from optim.access.settings import limits
from optim.belongings.found import belongings
from optim.errors import AccessError
from optim.runs.run import ACTIVE
from optim.runs.store import RunStore

__all__ = ["check_run", "check_size", "check_upload"]


def check_upload(owner: str, store: RunStore, *sizes: int) -> None:
    """Refuse files that are too many or too large together with what is here.

    Args:
        owner: Id of who uploads.
        store: Where runs are kept.
        sizes: Bytes of each file.

    Raises:
        AccessError: If a limit would be passed.
        ConfigError: If a limit is not a legal value.
    """
    most, mine = limits(), belongings(owner, store)
    hint = "Delete what you no longer need under My data."
    if most.uploads and mine.uploads + len(sizes) > most.uploads:
        raise AccessError(
            f"You have {mine.uploads} models and data sets here, and {most.uploads} is the most.",
            hint=hint,
        )
    together = mine.upload_bytes + sum(sizes)
    if most.upload_bytes and together > most.upload_bytes:
        raise AccessError(
            f"With this upload yours would take {together / 10**6:,.1f} MB, and "
            f"{most.upload_bytes / 10**6:,.0f} MB is the most.",
            hint=hint,
        )


def check_size(size: int, most: int) -> None:
    """Refuse a file that is too large.

    Args:
        size: Its bytes.
        most: Bytes that it may have.

    Raises:
        AccessError: If it has more.
    """
    if size > most:
        raise AccessError(
            f"The file has {size / 2**20:,.1f} MB, and {most / 2**20:,.0f} MB is the most.",
            hint="Who runs this server can raise server.maxUploadSize, or add it by command line.",
        )


def check_run(owner: str, store: RunStore) -> None:
    """Refuse a run if as many as allowed wait or run already.

    Raises:
        AccessError: If the limit is reached.
        ConfigError: If the limit is not a legal value.
    """
    most = limits().runs
    active = len(store.runs(states=ACTIVE, owner=owner))
    if most and active >= most:
        raise AccessError(
            f"{active} of your runs wait or run, and {most} is the most.",
            hint="Wait until one has finished, or cancel one.",
        )
