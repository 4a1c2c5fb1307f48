"""Data that was added on this machine, by name; what is built in stands beside it.

A damaged card is left out of the lists, and the log says so: the others are still there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from pydantic import TypeAdapter

from optim.data.dataset import Dataset
from optim.data.generated import GENERATED, Generated
from optim.data.open import DATASETS, ending_of, open_builtin, open_data
from optim.data.options import DataOptions
from optim.errors import ConfigError, DataError
from optim.hashing import digest
from optim.storage import checked_name, store_home, write_atomic

__all__ = [
    "DataCard",
    "add_data",
    "data_cards",
    "open_registered_data",
    "options_of",
    "set_data_options",
    "vary_data",
]

_LOG = logging.getLogger(__name__)
_LONG_WORDS = 60


@dataclass(frozen=True)
class DataCard:
    """What a reader should know before opening data.

    Attributes:
        name: How to ask for it.
        title: Name for a reader.
        input_shape: Shape of one sample; empty for what is made for any model.
        n_classes: Number of classes; 0 if the data have no labels.
        path: Where it lies; empty for what is built in. Never shown on a page.
        listed: Whether everybody sees it in lists.
        options: How the files are read: those of :class:`~optim.data.DataOptions` that differ from
            their defaults.
        owner: Id of who uploaded it; empty for what is built in or came by the command line.
    """

    name: str
    title: str
    input_shape: tuple[int, ...]
    n_classes: int
    path: str = ""
    listed: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    owner: str = ""


_CARD = TypeAdapter(DataCard)


def data_cards() -> dict[str, DataCard]:
    """Return the data sets that are built in or were added, by name."""
    cards = {card.name: card for card in _builtin_cards()}
    for path in sorted(_folder().glob("*.json")):
        try:
            card = _CARD.validate_json(path.read_bytes(), strict=True)
            if card.name != path.stem or not card.path or card.name in (GENERATED, *DATASETS):
                raise ValueError(f"it is about {card.name!r}")
        except (OSError, ValueError) as error:
            _LOG.warning("The card %r of data is damaged and left out: %s", path.name, error)
        else:
            cards[card.name] = card
    return cards


def open_registered_data(ref: str) -> Dataset:
    """Open data by name, and nothing else: what a link from anybody may ask for.

    Raises:
        DataError: If there is no such data.
    """
    if ref.partition("?")[0] in (GENERATED, *DATASETS):
        return open_builtin(ref)
    card = data_cards().get(ref)
    if card is None:
        raise DataError(
            f"There is no registered data {ref!r}.", hint="Choose one from the list, or add it."
        )
    data = open_data(Path(card.path), options=DataOptions(**card.options))
    return replace(data, ref=ref, title=card.title)


def add_data(
    path: Path,
    *,
    title: str = "",
    name: str = "",
    copy: bool = False,
    listed: bool = True,
    options: DataOptions | None = None,
    owner: str = "",
) -> DataCard:
    """Add a file or a folder to the data that pages can use.

    Args:
        path: What :func:`optim.data.open_data` accepts.
        title: Name for a reader; the file's name if empty.
        name: How to ask for it; made from the content and the options if empty.
        copy: Whether the file is copied into the store, or only remembered where it is.
        listed: Whether everybody sees it in lists.
        options: How the files are read.
        owner: Id of who uploaded it.

    Raises:
        ConfigError: If the name is not a plain one, or that of built-in data.
        DataError: If it cannot be used.
    """
    path, options = path.resolve(), options or DataOptions()
    data = open_data(path, options=options)
    name = checked_name(name or f"my-{digest(data.hash, options.changed())[:16]}")
    if name in (GENERATED, *DATASETS):
        raise ConfigError(
            f"name={name!r} is already that of built-in data.",
            hint="Choose another name.",
            field="name",
        )
    before = data_cards().get(name)
    if copy:
        kept = _folder() / f"{name}{ending_of(path.name)}"
        _keep(path, kept)
        path = kept
    card = DataCard(
        name,
        title or path.stem,
        data.input_shape,
        data.task.n_classes,
        str(path),
        listed,
        options.changed(),
        owner,
    )
    _written(card)
    if before and before.path != card.path and Path(before.path).parent == _folder():
        Path(before.path).unlink(missing_ok=True)  # a copy that nothing leads to any more
    return card


def vary_data(name: str, options: DataOptions, *, as_name: str = "", owner: str = "") -> DataCard:
    """Add added data once more, read otherwise: links to what was there keep their meaning.

    Args:
        name: The data's name.
        options: All options; those left out have their defaults.
        as_name: How to ask for them as they are read now; made from content and options if empty.
        owner: Id of who varies them; only its owner sees it in lists.

    Raises:
        DataError: If there is no such data that was added, or the options do not fit it.
    """
    card = _added(name)
    path = Path(card.path)
    return add_data(
        path,
        title=card.title.removesuffix(_words(card.options)) + _words(options.changed()),
        name=as_name,
        copy=path.parent == _folder(),
        listed=card.listed and not owner,
        options=options,
        owner=owner,
    )


def set_data_options(name: str, options: DataOptions) -> DataCard:
    """Change how added data are read.

    Args:
        name: The data's name.
        options: All options; those left out have their defaults.

    Raises:
        DataError: If there is no such data that was added, or the options do not fit it; the card
            is then unchanged.
    """
    card = _added(name)
    data = open_data(Path(card.path), options=options)
    return _written(
        replace(
            card,
            input_shape=data.input_shape,
            n_classes=data.task.n_classes,
            options=options.changed(),
        )
    )


def options_of(name: str) -> dict[str, Any]:
    """Return the options in the card of added data; empty for all others.

    Who keeps what was made from data of a name has to keep it by these as well.
    """
    try:
        text = (_folder() / f"{checked_name(name)}.json").read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError, RecursionError):  # also a name that cannot be one
        return {}
    options = found.get("options") if isinstance(found, dict) else None
    return options if isinstance(options, dict) else {}


def _words(options: Mapping[str, Any]) -> str:
    """Return what tells data from the same ones read otherwise, behind their title."""
    said = ", ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in options.items()
    )
    return f" ({shorten(said, _LONG_WORDS, placeholder='…')})" if said else ""


def _added(name: str) -> DataCard:
    card = data_cards().get(name)
    if card is None or not card.path:
        raise DataError(
            f"There is no added data {name!r}.", hint="Built-in data are varied by their fields."
        )
    return card


def _keep(path: Path, kept: Path) -> None:
    """Have a file in the store; what lies there already takes no further room."""
    if path == kept:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    if path.parent == kept.parent:
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    else:
        shutil.copyfile(path, kept)


def _written(card: DataCard) -> DataCard:
    write_atomic(_folder() / f"{card.name}.json", json.dumps(asdict(card), indent=1).encode())
    return card


def _folder() -> Path:
    return store_home() / "data"


def _builtin_cards() -> Iterator[DataCard]:
    for name, config in DATASETS.items():
        data = config().open(name)
        yield DataCard(name, config.title, data.input_shape, data.task.n_classes)
    yield DataCard(GENERATED, Generated.title, (), 0)
