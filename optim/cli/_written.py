"""What commands look at before the work, so that nothing is lost after it.

A file that is written must not be one that the command reads, and must be one that can be written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from optim.data.added import data_cards
from optim.errors import ConfigError
from optim.models.cards import model_cards
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from optim.storage import card_file, check_writable

__all__ = ["check_free", "check_written", "files_of", "files_of_recipe"]


def check_written(outputs: Iterable[Path], inputs: Iterable[Path], option: str = "--out") -> None:
    """Refuse to write over what a command reads, or where nothing can be written.

    Args:
        outputs: The files that are going to be written.
        inputs: Files and folders that are read.
        option: What says where the files go.

    Raises:
        ConfigError: If an output is an input, or lies in one and is there already.
        OSError: If one cannot be written.
    """
    read = [path.resolve() for path in inputs]
    for path in outputs:
        place = path.resolve()
        if path.exists() and any(one == place or one in place.parents for one in read):
            raise ConfigError(
                f"{str(path)!r} is read by this command and would be replaced.",
                hint=f"Let {option} lead elsewhere.",
            )
        check_writable(path)


def files_of(*refs: str | None, base: Path = Path()) -> list[Path]:
    """Return the files and folders that names of models and data lead to, if they lead to any.

    Args:
        refs: As in a recipe; None is nothing.
        base: Folder that relative files are looked up in.
    """
    found = []
    named = {*ZOO, *model_cards(), *data_cards()}
    for ref in filter(None, refs):
        name = ref.partition("?")[0]
        if name in named:
            continue  # whatever lies here under that name is not read
        # resnet20:weights/resnet20.th; a file may have a colon or a question mark in its name.
        found += [base / Path(one).expanduser() for one in (ref, name, name.partition(":")[2])]
    return [path for path in found if path != base and path.exists()]


def files_of_recipe(recipe: Recipe, path: Path) -> list[Path]:
    """Return the file of a recipe, and those of its model and data."""
    return [path, *files_of(recipe.model, recipe.data, base=path.parent)]


def check_free(kind: str, name: str, replace: bool) -> None:
    """Refuse to register something under a name that something else has.

    Args:
        kind: ``models`` or ``data``.
        name: How it shall be asked for; empty where it is made from the content.
        replace: Whether what has that name shall be replaced.

    Raises:
        ConfigError: If the name is taken.
    """
    if name and not replace and card_file(kind, name).is_file():
        raise ConfigError(
            f"name={name!r} is already taken.",
            hint="Choose another name, or replace what has it with --replace.",
            field="name",
        )
