"""The command itself and what stands before any verb."""

from __future__ import annotations

from typing import Annotated

import typer

from optim import __version__

__all__ = ["cli"]

cli = typer.Typer(
    name="optim",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Make neural networks smaller and faster, and measure what it costs.

    Exit codes: 0 done, 1 a result that was refused, 2 unusable input, 70 a defect of this program,
    130 interrupted. Progress and errors go to standard error; with --json standard output is JSON
    and nothing else.
    """
