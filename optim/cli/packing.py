"""Commands for packed files: pack a model, give the ONNX file back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optim.cli._app import cli
from optim.cli._options import Model, Trust
from optim.cli._output import print_table, progress_bar
from optim.cli._written import check_written, files_of, files_of_recipe
from optim.codecs.opack import MAX_BYTES, SUFFIX, sizes_of
from optim.codecs.opack import unpack as unpacked
from optim.errors import ConfigError
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.storage import write_atomic

__all__ = ["pack", "unpack"]


@cli.command()
def pack(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help=f"The file that is written ({SUFFIX}).")],
    trust: Trust = False,
) -> None:
    """Pack a model, or the result of a recipe.

    An ONNX file comes back byte by byte with `unpack`. Other models are written as ONNX first; the
    result of a recipe (.yaml) is verified in ONNX Runtime, like any other kind of file.
    """
    if out.suffix != SUFFIX:
        raise ConfigError(f"A packed file ends in {SUFFIX}: got {out.name!r}.")
    check_written([out], _read_for(model))
    data, before = _packed(model, trust)
    write_atomic(out, data)
    sizes = sizes_of(data)
    rows = [
        ["weights", sizes.weights],
        ["biases, scales and other constants", sizes.constants],
        ["graph", sizes.graph],
        ["header", sizes.rest],
    ]
    print_table("", ["holds", "bytes"], [[name, f"{size:,}"] for name, size in rows])
    whole = f", {before / len(data):.1f} times smaller than the ONNX file" if before else ""
    typer.echo(f"{out}, {Quantity.exact(len(data), 'bytes')}{whole}.")


@cli.command()
def unpack(
    file: Annotated[Path, typer.Argument(help=f"A packed file ({SUFFIX}).")],
    out: Annotated[Path, typer.Option("--out", help="The ONNX file that is written.")],
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Largest acceptable ONNX file, in bytes.")
    ] = MAX_BYTES,
) -> None:
    """Give back the ONNX file that was packed, byte by byte."""
    if out.suffix != ".onnx":
        raise ConfigError(f"What is unpacked is an ONNX file and ends in .onnx: got {out.name!r}.")
    if not file.is_file():
        raise ConfigError(f"There is no file {str(file)!r}.")
    check_written([out], [file])
    data = unpacked(file.read_bytes(), max_bytes)
    write_atomic(out, data)
    typer.echo(f"{out}, {Quantity.exact(len(data), 'bytes')}.")


def _read_for(model: str) -> list[Path]:
    """Return the files that are read to pack a model."""
    path = Path(model).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return files_of_recipe(Recipe.load(path), path)
    return files_of(model)


def _packed(model: str, trust: bool) -> tuple[bytes, int]:
    """Return the packed file and the bytes of the ONNX file; 0 where there was none before."""
    path = Path(model).expanduser()
    if path.suffix in (".yaml", ".yml"):
        from optim.runner import export_recipe

        with progress_bar() as progress:
            made = export_recipe(Recipe.load(path), "packed", base=path.parent, progress=progress)
        typer.echo(f"In {made.verification.runtime}: {made.verification.found}.")
        return made.data, 0
    from optim.graph.packed import pack_onnx

    if path.suffix == ".onnx" and path.is_file():
        file = path.read_bytes()
    else:
        from optim.export.deploy import onnx_bytes
        from optim.models.open import open_model

        file = onnx_bytes(open_model(model, trust=trust))
    return pack_onnx(file), len(file)
