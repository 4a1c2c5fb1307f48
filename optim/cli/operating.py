"""Commands that add or make: models, data, shipped checkpoints, the running app."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optim.cli._app import cli
from optim.cli._options import Trust
from optim.cli._output import print_table, progress_bar
from optim.cli._written import check_free
from optim.data.generated import GENERATED
from optim.errors import ConfigError, MissingDependencyError
from optim.storage import ASSETS

if TYPE_CHECKING:
    from optim.data.download import Download
    from optim.train import Epoch

__all__ = [
    "APP",
    "add_data",
    "add_model",
    "app",
    "download",
    "lessons",
    "pages_command",
    "prepare",
    "pretrain",
]

Replace = Annotated[bool, typer.Option("--replace", help="Replace what has that --name.")]
APP = Path(__file__).resolve().parents[2] / "app.py"


@cli.command("add-model")
def add_model(
    file: Annotated[
        str, typer.Argument(help="Weights, a checkpoint or an ONNX file, or its hf:// address.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data", help="Registered data the model belongs to; without any, inputs are made."
        ),
    ] = GENERATED,
    architecture: Annotated[str, typer.Option(help="Name in the zoo; guessed if empty.")] = "",
    title: Annotated[str, typer.Option(help="Name for a reader.")] = "",
    name: Annotated[str, typer.Option(help="How to ask for it.")] = "",
    task: Annotated[
        str, typer.Option(help="What outputs mean: classification, regression, outputs.")
    ] = "",
    replace: Replace = False,
    trust: Trust = False,
) -> None:
    """Add a model to those that the pages list."""
    from optim import library
    from optim.models.hub import located

    check_free("models", name, replace)
    made = library.add_model(
        located(file),
        data=data,
        architecture=architecture,
        title=title,
        name=name,
        task=task,
        trust=trust,
    )
    typer.echo(made)


@cli.command("add-data")
def add_data(
    path: Annotated[str, typer.Argument(help="What --data takes, with options if wanted.")],
    title: Annotated[str, typer.Option(help="Name for a reader.")] = "",
    name: Annotated[str, typer.Option(help="How to ask for it.")] = "",
    copy: Annotated[bool, typer.Option("--copy", help="Copy the file into the store.")] = False,
    replace: Replace = False,
) -> None:
    """Add files to the data that the pages list."""
    from optim.data import added
    from optim.data.open import path_and_options

    check_free("data", name, replace)
    file, options = path_and_options(path)
    if copy and file.is_dir():
        raise ConfigError(
            f"--copy takes a file, and {file.resolve().name!r} is a folder.",
            hint="Leave --copy out, or zip it.",
        )
    card = added.add_data(file, title=title, name=name, copy=copy, options=options)
    typer.echo(card.name)


@cli.command()
def download(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data to fetch; they are listed if none is named.")
    ] = None,
) -> None:
    """Fetch well-known data: MNIST, Fashion-MNIST, CIFAR-10 and -100, spoken words.

    Resumed where it stopped, checked by SHA-256, and then known by name: --data mnist.
    """
    from optim.data.download import DOWNLOADS
    from optim.data.download import download as fetch

    if not names:
        rows = [(name, of.title, _mebibytes(of), of.about) for name, of in DOWNLOADS.items()]
        print_table("Data to fetch", ("name", "title", "size", "about"), rows)
        return
    for name in names:
        with progress_bar() as progress:
            card = fetch(name, progress=progress)
        typer.echo(card.name)


def _mebibytes(of: Download) -> str:
    return f"{sum(file.size for file in of.files) / 2**20:.0f} MiB"


@cli.command()
def pretrain(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Shipped models; all if none, with --students the default one."),
    ] = None,
    students: Annotated[
        bool, typer.Option("--students", help="Distil the students of the models instead.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option(help="Folder; models/ and students/ go into it.", show_default="assets"),
    ] = ASSETS,
) -> None:
    """Train the checkpoints that ship. Seeded; what was reached is written beside each."""
    from optim import pretrain as shipped

    if students:
        from optim.presets import default_recipe

        for name in names or [default_recipe().model]:
            shipped.pretrain_students(
                name,
                out / "students",
                on_student=lambda what, accuracy: typer.echo(f"{what}: {accuracy}"),
            )
        return
    for name in names or shipped.PLANS:
        with progress_bar() as progress:
            card = shipped.pretrain(name, out / "models", on_epoch=_epochs(name, progress))
        typer.echo(f"{card}: {_reached(card)}")


@cli.command()
def prepare() -> None:
    """Generate the default data, and compute the tour of the first page, once; both are kept."""
    from optim.data import open_data
    from optim.lessons.kept import TOUR_NAME, compute
    from optim.presets import default_recipe

    samples = open_data(default_recipe().data)
    with progress_bar() as progress:
        for i, part in enumerate(samples.parts):
            progress(i / len(samples.parts), f"{samples.title}: {part}")
            samples.part(part)
        compute([TOUR_NAME], progress)


@cli.command()
def lessons() -> None:
    """Compute all lessons that were not opened yet, so that nobody has to wait for them."""
    from optim.lessons import LESSONS
    from optim.lessons.kept import TOUR_NAME, compute

    with progress_bar() as progress:
        compute([TOUR_NAME, *LESSONS], progress)


@cli.command()
def app(port: Annotated[int, typer.Option(min=1, max=65535)] = 8501) -> None:
    """Start the pages. Needs a source tree and the app's requirements."""
    command = pages_command(port)
    raise typer.Exit(subprocess.run(command, cwd=APP.parent, check=False).returncode)


def pages_command(port: int) -> list[str]:
    """Return the command that starts the pages, in the folder of ``APP``.

    Raises:
        ConfigError: If they are not here.
        MissingDependencyError: If what they need is not installed.
    """
    if not APP.is_file():
        raise ConfigError(
            "The pages are not part of the installed library.",
            hint="Get the source tree, and run: make app",
        )
    if find_spec("streamlit") is None:
        raise MissingDependencyError(
            "The pages need streamlit, which is not installed.",
            hint="Install it: pip install 'optim-studio[app]'",
        )
    return [sys.executable, "-m", "streamlit", "run", APP.name, "--server.port", str(port)]


def _epochs(name: str, progress: Callable[[float, str], None]) -> Callable[[Epoch, int], None]:
    return lambda epoch, epochs: progress(epoch.number / epochs, f"{name}: loss {epoch.loss:.3f}")


def _reached(card: Path) -> str:
    from optim.models.cards import ModelCard

    reached = ModelCard.read(card).reached
    return ", ".join(f"{part} {value}" for part, value in reached.items())
