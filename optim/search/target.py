"""Which device a search is for, by whatever it is called, and what it has. Light: pages read it."""

from __future__ import annotations

from collections.abc import Collection

from optim.devices.profile import DeviceProfile, catalogue, device
from optim.search.goals import Limit

__all__ = ["HERE", "HERE_TITLE", "device_named", "memory_limits", "title_of"]

HERE = "here"
"""The computer that searches: its latency is measured, nothing else of it is told."""
HERE_TITLE = "This computer, measured"


def title_of(name: str) -> str:
    """Return what a device is called, for a reader.

    Raises:
        ConfigError: If there is none of that name.
    """
    return HERE_TITLE if name == HERE else device_named(name).title


def device_named(name: str) -> DeviceProfile:
    """Return a device of the catalogue by its name, or by a word of its title.

    Of several with that word, such as a kind of core, the first of the catalogue is taken.

    Raises:
        ConfigError: If there is none.

    Example:
        >>> device_named("cortex-m7").title
        'DISCO-F746NG (Cortex-M7, 216 MHz)'
    """
    known = catalogue()
    if name in known or not name.strip():
        return device(name)
    wanted = name.strip().lower()
    for profile in known.values():
        if wanted in f"{profile.title} {profile.chip}".lower():
            return profile
    return device(name)


def memory_limits(name: str, known: Collection[str]) -> tuple[Limit, ...]:
    """Return the flash and RAM of a microcontroller as limits: what needs more does not run there.

    Args:
        name: Of the device; other kinds of device give none.
        known: Figures that have a limit already, or cannot be told.
    """
    if name == HERE:
        return ()
    profile = device_named(name)
    if not profile.device_class.startswith("mcu"):
        return ()
    has = {"flash": profile.flash_bytes, "ram": profile.ram_bytes}
    return tuple(
        Limit(figure, float(most), is_asked=False)
        for figure, most in has.items()
        if most and figure not in known
    )
