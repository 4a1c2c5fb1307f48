"""Under which licences everything stands that the program needs, ships or makes its data from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["SHIPPED", "Licensed", "packages"]

_OWN = "optim-studio"
_SHORT = 60
"""Characters of a licence's name; longer ones are whole texts that somebody put into that field."""
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Licensed:
    """One thing and its licence.

    Attributes:
        name: Of a package, data set or file.
        version: Of a package as installed; empty for anything else.
        licence: As its authors state it; ``"not stated"`` if they do not.
        about: What it is for, or where it comes from.
    """

    name: str
    version: str
    licence: str
    about: str = ""


SHIPPED = (
    Licensed(
        "digits",
        "",
        "CC BY 4.0",
        "Alpaydin and Kaynak, Handwritten Digits, UCI, 1998; in scikit-learn",
    ),
    Licensed("wine", "", "CC BY 4.0", "Aeberhard and Forina, Wine, UCI, 1992; in scikit-learn"),
    Licensed(
        "breast-cancer",
        "",
        "CC BY 4.0",
        "Wolberg, Mangasarian, Street and Street, UCI, 1993; in scikit-learn",
    ),
    Licensed("cluttered-digits", "", "CC BY 4.0", "generated here from digits"),
    Licensed("digit-scenes", "", "CC BY 4.0", "generated here from digits"),
    Licensed("bearing", "", "Apache-2.0", "generated here"),
    Licensed("weights of the zoo", "", "Apache-2.0", "trained here on the data above"),
    Licensed("constants for devices", "", "Apache-2.0", "fitted here to published figures"),
)
"""Data and weights that come with the program."""


def packages() -> tuple[Licensed, ...]:
    """Return every installed package that the program needs, with those that they need, by name.

    The program's own needs are those of its installed package or, in a source tree, those of
    ``requirements.txt``.
    """
    found: dict[str, Licensed] = {}
    waiting = list(_needs())
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # for another system, or an extra that is not installed
        found[name] = Licensed(
            str(about["Name"]), str(about["Version"]), _licence(about), about["Summary"] or ""
        )
        waiting += [
            _plain(line) for line in metadata.requires(name) or () if "extra ==" not in line
        ]
    return tuple(sorted(found.values(), key=lambda each: each.name.lower()))


def _needs() -> list[str]:
    listed = Path(__file__).resolve().parents[1] / "requirements.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8").splitlines()
        return [_plain(line) for line in lines if _NAME.match(line)]
    return [_plain(line) for line in metadata.requires(_OWN) or ()]


def _plain(requirement: str) -> str:
    """Return the name of what is required, as the index spells it.

    Example:
        >>> _plain("SQLAlchemy==2.1.9  # the store")
        'sqlalchemy'
    """
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match.group() if match else requirement).lower()


def _licence(about: metadata.PackageMetadata) -> str:
    """Return what a package says of its licence: an expression, its words, or its classifiers."""
    if "License-Expression" in about:
        return str(about["License-Expression"])
    words = about["License"].strip() if "License" in about else ""
    if words and len(words) <= _SHORT and "\n" not in words:
        return words
    classified = (line for line in about.get_all("Classifier") or () if line.startswith("License"))
    return ", ".join(line.rpartition(" :: ")[2] for line in classified) or "not stated"
