"""Which device a search is for, by whatever it is called, and what it has. Light: pages read it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

from optim.devices.profile import DeviceProfile, catalogue
from optim.errors import ConfigError
from optim.search.goals import Limit

__all__ = [
    "HERE",
    "HERE_TITLE",
    "device_named",
    "memory_limits",
    "taken_text",
    "title_of",
    "told_of",
]

HERE = "here"
"""The computer that searches: its latency is measured, nothing else of it is told."""
HERE_TITLE = "This computer, measured"
_MOST_LISTED = 12


def title_of(name: str) -> str:
    """Return what a device is called, for a reader.

    Raises:
        ConfigError: If there is none of that name.
    """
    return HERE_TITLE if name == HERE else device_named(name).title


def device_named(name: str) -> DeviceProfile:
    """Return a device of the catalogue by its name, or by a word of its name, title or chip.

    A kind of core stands for the first device that has it; any other word for one device alone. A
    number is not cut: cortex-m3 is no Cortex-M33.

    Raises:
        ConfigError: If there is none, or several of different kinds; it names those, or similar
            ones.

    Example:
        >>> device_named("cortex-m7").title
        'DISCO-F746NG (Cortex-M7, 216 MHz)'
    """
    known = catalogue()
    if name in known:
        return known[name]
    found = _with_word(name)
    if not found:
        raise ConfigError(
            f"device must be one of the catalogue, or a word of its title: got {name!r}.",
            hint=f"{_similar_to(name)}optim devices list shows all.",
            field="device",
        )
    if len(found) > 1 and not _is_core(name, found):
        several = ", ".join(profile.name for profile in found[:_MOST_LISTED])
        more = len(found) - _MOST_LISTED
        raise ConfigError(
            f"device={name!r} may be {several}{f' and {more} more' if more > 0 else ''}.",
            hint="Name one of them; optim devices list shows what they are.",
            field="device",
        )
    return found[0]


def taken_text(name: str) -> str:
    """Return which device is taken, as a clause that says so where others have the same word.

    Example:
        >>> taken_text("rp2040"), taken_text("cortex-m7")  # doctest: +NORMALIZE_WHITESPACE
        ('Raspberry Pi Pico (RP2040)',
         "DISCO-F746NG (Cortex-M7, 216 MHz), the first with 'cortex-m7'; also: nucleo-h7a3zi")
    """
    taken = device_named(name)
    others = [profile.name for profile in _with_word(name) if profile.name != taken.name]
    if name == taken.name or not others:
        return taken.title
    return f"{taken.title}, the first with {name!r}; also: {', '.join(others)}"


def told_of(name: str) -> frozenset[str]:
    """Return the figures of a device that are told of any network at all.

    What a certain network has is another question: it may need kernels that are not there.

    Args:
        name: Of the device, or :data:`HERE`.

    Example:
        >>> sorted(told_of("h100")), sorted(told_of("here"))
        (['energy', 'flash', 'latency'], ['latency'])
    """
    if name == HERE:
        return frozenset({"latency"})
    from optim.devices.memory import tells_peak

    profile = device_named(name)
    found = {"latency", "flash"}
    if profile.process_nm is not None:
        found.add("energy")
    if tells_peak(profile):
        found.add("ram")
    return frozenset(found)


def _with_word(word: str) -> list[DeviceProfile]:
    """Return the devices with a word in name, title or chip, in the order of the catalogue."""
    wanted = word.strip().lower()
    if not wanted:
        return []
    before = r"(?<!\d)" if wanted[0].isdigit() else ""
    after = r"(?!\d)" if wanted[-1].isdigit() else ""
    pattern = re.compile(f"{before}{re.escape(wanted)}{after}")
    return [
        profile
        for profile in catalogue().values()
        if pattern.search(f"{profile.name} {profile.title} {profile.chip}".lower())
    ]


def _is_core(word: str, found: Sequence[DeviceProfile]) -> bool:
    """Whether a word names a kind of core, and all devices are of one class and have that core."""
    kinds = {(profile.device_class, _core(profile)) for profile in found}
    return len(kinds) == 1 and word.strip().lower() in _core(found[0])


def _core(profile: DeviceProfile) -> str:
    """Return what computes in a chip: ``cortex-m0+`` of ``RP2040 (2 x Cortex-M0+)``."""
    _, _, inside = profile.chip.lower().rpartition("(")
    return re.sub(r"^\d+ x ", "", inside.rstrip(")"))


def _similar_to(name: str) -> str:
    words: dict[str, None] = {}
    for profile in catalogue().values():
        words |= dict.fromkeys((profile.name, _core(profile)))
    near = difflib.get_close_matches(name.strip().lower(), words, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}? " if near else ""


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
