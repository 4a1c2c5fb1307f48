"""Devices that somebody probed: kept for whom they are, and this machine for all.

A probe is kept as the file it came as, under the hash of its content. That of this machine can be
made again at any time and lies in the cache.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from optim.devices.calibration import Calibration, Probe, read_probe
from optim.errors import ConfigError
from optim.storage import cache_home, checked_name, store_home, write_atomic

__all__ = [
    "HERE",
    "OWN",
    "calibration_of",
    "keep_check",
    "keep_here",
    "keep_probe",
    "owners_of_probes",
    "probe_files_of",
    "probe_here",
    "probes_of",
    "read_check",
    "remove_probe",
]

HERE = "here"
"""Name of this machine among the devices."""
OWN = "own:"
"""What names of devices that somebody probed begin with; their id follows."""

_LOG = logging.getLogger(__name__)
_NOBODY = "nobody"
_MOST = 50


def keep_probe(data: bytes, owner: str = "") -> Probe:
    """Keep what a probe wrote, and return it; the same content is kept once.

    Args:
        data: The file.
        owner: Id of who uploaded it.

    Raises:
        ConfigError: If it is no probe, says too little to calibrate a device with, or the owner
            has too many.
    """
    probe = read_probe(data)
    Calibration(probe)
    path = _folder(owner) / f"{probe.id}.json"
    if not path.is_file() and len(probe_files_of(owner)) >= _MOST:
        raise ConfigError(
            f"{_MOST} probed devices are kept for each user.", hint="Remove one of them first."
        )
    write_atomic(path, data)
    return probe


def probes_of(owner: str = "") -> list[Probe]:
    """Return the devices somebody probed, by name."""
    found = [probe for path in probe_files_of(owner) if (probe := _read(path)) is not None]
    return sorted(found, key=lambda probe: (probe.device.name, probe.id))


def probe_files_of(owner: str) -> list[Path]:
    """Return the files of the devices somebody probed."""
    return sorted(_folder(owner).glob("*.json"))


def owners_of_probes() -> list[str]:
    """Return the ids of all who probed a device."""
    names = {path.parent.name for path in _home().glob("*/*.json")}
    return sorted(names - {_NOBODY})


def remove_probe(probe_id: str, owner: str = "") -> None:
    """Forget a probed device; one that is not there is forgotten already."""
    (_folder(owner) / f"{checked_name(probe_id)}.json").unlink(missing_ok=True)


def keep_here(data: bytes) -> Probe:
    """Keep the probe of this machine.

    Raises:
        ConfigError: If it is no probe.
    """
    probe = read_probe(data)
    Calibration(probe)
    write_atomic(_here(), data)
    return probe


def keep_check(data: bytes) -> None:
    """Keep what networks take on this machine, beside its probe."""
    write_atomic(_here().with_name("this-machine-check.json"), data)


def read_check() -> dict[str, Any]:
    """Return what :func:`keep_check` kept; nothing if there is none."""
    path = _here().with_name("this-machine-check.json")
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content


def probe_here() -> Probe | None:
    """Return the probe of this machine; None before it was probed."""
    return _read(_here()) if _here().is_file() else None


def calibration_of(probe_id: str, owner: str = "") -> Calibration:
    """Return the laws of a device that somebody probed, or of this machine.

    Args:
        probe_id: Identity of the probe.
        owner: Whose it is.

    Raises:
        ConfigError: If there is none.
    """
    path = _folder(owner) / f"{checked_name(probe_id)}.json"
    if not path.is_file():
        here = probe_here()
        if here is None or here.id != probe_id:
            raise ConfigError(
                "This device was removed, or belongs to somebody else.", field="device"
            )
        path = _here()
    return _calibrated(path, probe_id)


@lru_cache(maxsize=16)
def _calibrated(path: Path, probe_id: str) -> Calibration:
    """Return the laws of what a file holds; its id changes with its content."""
    return Calibration(read_probe(path.read_bytes()))


def _read(path: Path) -> Probe | None:
    try:
        return read_probe(path.read_bytes())
    except (ConfigError, OSError) as error:
        _LOG.warning("a probe is left out: %s", error)
        return None


def _home() -> Path:
    return store_home() / "devices"


def _folder(owner: str) -> Path:
    return _home() / checked_name(owner or _NOBODY)


def _here() -> Path:
    return cache_home() / "devices" / "this-machine.json"
