"""Addresses under which others on the network reach this machine, and whether they are answered."""

from __future__ import annotations

import io
import socket
import urllib.request
from types import ModuleType
from urllib.error import URLError

from optim.errors import MissingDependencyError
from optim.optional import optional_package

__all__ = ["addresses", "is_answered", "qr_png", "qr_text"]

_WAIT_S = 2.0


def addresses() -> list[str]:
    """Return the IPv4 addresses of this machine on networks that are up, private ones first."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        part.address
        for name, parts in psutil.net_if_addrs().items()
        if name in up
        for part in parts
        if part.family is socket.AF_INET and not part.address.startswith(("127.", "169.254."))
    ]
    return sorted(dict.fromkeys(found), key=lambda a: not a.startswith(("192.168.", "10.")))


def is_answered(url: str, wait_s: float = _WAIT_S) -> bool:
    """Whether a server answers at an address, asked from this machine.

    A firewall on the way from other machines cannot be seen from here.
    """
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=wait_s) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


def qr_text(url: str) -> str:
    """Return a QR code for a terminal; empty where the package for it is not installed."""
    try:
        code = _segno().make(url, error="m")
    except MissingDependencyError:
        return ""
    out = io.StringIO()
    code.terminal(out, compact=True)
    return out.getvalue()


def qr_png(url: str, scale: int = 6) -> bytes:
    """Return a QR code as an image; empty where the package for it is not installed."""
    try:
        code = _segno().make(url, error="m")
    except MissingDependencyError:
        return b""
    out = io.BytesIO()
    code.save(out, kind="png", scale=scale, border=2)
    return out.getvalue()


def _segno() -> ModuleType:
    return optional_package("segno", "QR codes need segno.", "Install it: pip install segno")
