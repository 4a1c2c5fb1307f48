"""Options that several commands share."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from optim.errors import ConfigError

__all__ = [
    "Batch",
    "Data",
    "Json",
    "Mean",
    "Model",
    "Original",
    "Part",
    "Seed",
    "Std",
    "Threads",
    "Trust",
    "normalisation_of",
]

Model = Annotated[
    str,
    typer.Argument(
        help="A name, zoo-name:weights-file, or a file (.onnx, .safetensors, .pt); with --trust "
        "also TorchScript, .pt2 or package.module:factory."
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="A built-in name, or a zip, a folder or a file of any format, with options behind a "
        "question mark: samples.npz?layout=NHWC. Without any, inputs are made for the model: "
        "generated?samples=512.",
    ),
]
Original = Annotated[
    str | None,
    typer.Option(
        help="A model to compare with, as MODEL: how closely the outputs follow its own, labels or "
        "not."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Seed = Annotated[int, typer.Option(help="Decides how data without a validation part are split.")]
Part = Annotated[
    str | None, typer.Option(help="validation (default), test, train; all of data without parts.")
]
Batch = Annotated[int, typer.Option(min=1, max=4096, help="Samples in one timed inference.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of one timed inference.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run the model's own code to open it, in a process of its own."),
]
Mean = Annotated[
    str | None, typer.Option(help="Mean of each channel, as in 0.5,0.5,0.5; with --std.")
]
Std = Annotated[str | None, typer.Option(help="Standard deviation of each channel; with --mean.")]


def normalisation_of(
    mean: str | None, std: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        missing = "--std" if std is None else "--mean"
        raise ConfigError(f"--mean and --std belong together: {missing} is missing.")
    return _numbers("--mean", mean), _numbers("--std", std)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
        if not all(map(math.isfinite, values)):
            raise ValueError(text)
        return values
    except ValueError as error:
        raise ConfigError(
            f"{option} must be numbers with commas between, as in 0.5,0.5,0.5: got {text!r}."
        ) from error
