"""Which device a search is for, by whatever it is called. Light: a page reads it."""

from __future__ import annotations

from optim.devices.profile import DeviceProfile, catalogue, device

__all__ = ["device_named"]


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
