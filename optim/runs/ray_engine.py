"""Runs on a Ray cluster: ``OPTIM_ENGINE=ray``, for those who outgrow one machine."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from optim.errors import ConfigError, RunError
from optim.runs.engine import is_attended, start_apart
from optim.runs.files import files_url, open_files
from optim.runs.ray_cluster import needs_of_environment, require_ray
from optim.runs.store import files_of, store_url

__all__ = ["RayEngine"]

KNOCK_S = 1.0
"""How long the head may take to answer."""


class RayEngine:
    """Tasks of the cluster that ``RAY_ADDRESS`` names, looked after by one driver a store.

    The driver is detached, as the local supervisor is. Without ``RAY_ADDRESS`` it joins the cluster
    that this machine is part of, or starts one.

    Args:
        url: Of the store; that of :func:`~optim.runs.store.store_url` by default.
        options: Passed on to ``python -m optim.runs.ray_driver``.
    """

    def __init__(self, url: str | None = None, options: tuple[str, ...] = ()) -> None:
        self.url = url or store_url()
        self.options = options

    def ensure(self) -> None:
        """Start the driver if none runs.

        Raises:
            ConfigError: If a setting is illegal.
            MissingDependencyError: If a package is missing.
            RunError: If the cluster does not answer, or the driver cannot be started.
        """
        if is_attended(self.url):
            return
        require_ray()
        needs_of_environment()
        open_files(files_url(), files_of(self.url))
        _knock(os.environ.get("RAY_ADDRESS", "").strip())
        try:
            start_apart("optim.runs.ray_driver", self.url, self.options)
        except OSError as error:
            raise RunError(
                f"The driver of the Ray cluster cannot be started: {error.strerror}.",
                hint="Runs wait until it can.",
            ) from error


def _knock(address: str) -> None:
    """Make sure that somebody answers at an address; that it is a cluster, the driver finds out."""
    if address in ("", "auto", "local"):
        return
    if "://" in address:
        raise ConfigError(
            f"RAY_ADDRESS must be host:port, auto or local: got {address!r}.",
            hint="Name the head's own port, 6379 by default; this machine must be a node.",
        )
    place = urlsplit(f"//{address}")
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise ConfigError(
            f"RAY_ADDRESS must be host:port, auto or local: got {address!r}.",
            hint="For example 10.0.0.1:6379.",
        )
    try:
        socket.create_connection((host, port), KNOCK_S).close()
    except OSError as error:
        raise RunError(
            f"The Ray cluster at {address!r} does not answer: {error.strerror or error}.",
            hint="Start its head (ray start --head), or correct RAY_ADDRESS; runs wait meanwhile.",
        ) from error
