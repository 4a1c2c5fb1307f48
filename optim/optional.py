"""Packages that are imported where they are used, and may be missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from optim.errors import MissingDependencyError

__all__ = ["optional_package"]


def optional_package(name: str, needed: str, hint: str) -> ModuleType:
    """Import and return a package.

    Args:
        name: Of the package.
        needed: A sentence that says what needs it.
        hint: How it is installed.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(needed, hint=hint) from error
