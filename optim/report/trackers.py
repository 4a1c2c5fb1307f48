"""Runs handed to the trackers that teams already have: TensorBoard and MLflow.

Each package is used where it is installed, and asked nothing before. What goes there is what the
run stored: nothing is measured anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optim.errors import RunError
from optim.optional import optional_package
from optim.quantity import Quantity
from optim.report.facts import flattened
from optim.runs.figures import figures_of, verdict_of
from optim.runs.run import EpochRow, Run

__all__ = ["Curve", "curves_of", "to_mlflow", "to_tensorboard"]

_MOST_PARAMETER = 500
"""Characters of a parameter, as MLflow's oldest servers take them."""


@dataclass(frozen=True)
class Curve:
    """One figure over the epochs of a run.

    Attributes:
        name: Step and figure, such as ``distill/loss``.
        points: ``(epoch from 1, value, seconds since 1970)``.
    """

    name: str
    points: tuple[tuple[int, float, float], ...]


def curves_of(epochs: Sequence[EpochRow]) -> tuple[Curve, ...]:
    """Return every figure of every step, in the order they were recorded.

    Example:
        >>> row = EpochRow("distill", 1, {"loss": 0.5}, at=0.0)
        >>> curves_of([row])
        (Curve(name='distill/loss', points=((1, 0.5, 0.0),)),)
    """
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in epochs:
        for figure, value in row.figures.items():
            found.setdefault(f"{row.step}/{figure}", []).append((row.epoch, value, row.at))
    return tuple(Curve(name, tuple(points)) for name, points in found.items())


def to_tensorboard(run: Run, epochs: Sequence[EpochRow], folder: Path) -> Path:
    """Write curves and final figures for TensorBoard.

    Args:
        run: With anything to show: curves, or a result.
        epochs: Its epochs.
        folder: Gets a folder named by the run's id.

    Returns:
        The run's folder.

    Raises:
        RunError: If there is nothing to show, or an earlier export is in the way.
        MissingDependencyError: If tensorboardX is not installed.
    """
    curves, figures = curves_of(epochs), _final(run)
    if not curves and not figures:
        raise RunError(
            f"Run {run.id} has no curves and no result.",
            hint="Wait for its first epoch, or choose another run.",
        )
    writers = optional_package(
        "tensorboardX",
        "Curves for TensorBoard are written by tensorboardX, which is not installed.",
        "pip install tensorboardX.",
    )
    own = folder / run.id
    if own.exists():
        raise RunError(
            f"{own} is there already: TensorBoard would show its curves twice.",
            hint="Remove it, or name another folder.",
        )
    with writers.SummaryWriter(str(own)) as writer:
        writer.add_text("run", f"{run.title}\n\n{verdict_of(run)}".strip(), 0)
        for curve in curves:
            for epoch, value, at in curve.points:
                writer.add_scalar(curve.name, value, epoch, walltime=at)
        for name, figure in figures.items():
            writer.add_scalar(f"result/{name}", figure.value, 0, walltime=run.finished_at)
    return own


def to_mlflow(
    run: Run,
    epochs: Sequence[EpochRow],
    files: Mapping[str, bytes],
    experiment: str = "Optim Studio",
    uri: str | None = None,
) -> str:
    """Log a run to an MLflow server: settings, curves, figures, files, and the model as a flavour.

    Args:
        run: Finished, of a recipe.
        epochs: Its epochs.
        files: ``{name: content}``; an ONNX file is also logged as a model of its ONNX flavour.
        experiment: Its name there; made if it is missing.
        uri: Of the server or folder; None takes MLflow's own setting (``MLFLOW_TRACKING_URI``).

    Returns:
        The id of the run there.

    Raises:
        RunError: If the run has no result.
        MissingDependencyError: If MLflow is not installed.
    """
    figures = _final(run)
    if not figures or run.recipe is None:
        raise RunError(
            f"Run {run.id} has no result to hand on.",
            hint="Wait until it is finished, or choose another run.",
        )
    mlflow = optional_package(
        "mlflow",
        "MLflow is not installed here.",
        "pip install mlflow-skinny, in which everything is that this needs.",
    )
    if uri is not None:
        mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    tags = {"optim.run": run.id, "mlflow.note.content": verdict_of(run)}
    with mlflow.start_run(run_name=run.title, tags=tags) as there:
        mlflow.log_params(_parameters(run))
        for curve in curves_of(epochs):
            for epoch, value, _ in curve.points:
                mlflow.log_metric(curve.name, value, step=epoch)
        for name, figure in figures.items():
            mlflow.log_metric(name, figure.value)
            if figure.low is not None and figure.high is not None and figure.low < figure.high:
                mlflow.log_metrics({f"{name}_low": figure.low, f"{name}_high": figure.high})
        mlflow.log_text(run.recipe.to_yaml(), "recipe.yaml")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / Path(name).name
                path.write_bytes(content)
                mlflow.log_artifact(str(path), artifact_path="files")
        _log_model(mlflow, files)
    return str(there.info.run_id)


def _log_model(mlflow: Any, files: Mapping[str, bytes]) -> None:
    """Log the first ONNX file as a model, which MLflow can then serve."""
    content = next((files[name] for name in files if name.endswith(".onnx")), None)
    if content is None:
        return
    import onnx

    mlflow.onnx.log_model(onnx.load_from_string(content), name="model")


def _final(run: Run) -> dict[str, Quantity]:
    """Return the figures of the result, and those of the original, by name and unit."""
    return {
        f"{prefix}{_with_unit(figure.name, value)}": value
        for figure in figures_of(run)
        for prefix, value in (("", figure.after), ("original_", figure.before))
        if value is not None
    }


def _with_unit(name: str, figure: Quantity) -> str:
    """Return the name of a figure with what it is counted in, where the name does not say it."""
    told = figure.unit == "fraction" or figure.unit == name.lower()
    return _plain(name if told else f"{name} {figure.unit}").lower().replace(" ", "_")


def _parameters(run: Run) -> Mapping[str, str]:
    """Return the recipe as MLflow takes parameters: text by name."""
    assert run.recipe is not None
    recipe = run.recipe.to_json()
    steps = {
        f"{number} {name}": settings or {"": "defaults"}
        for number, step in enumerate(recipe.pop("steps"), 1)
        for name, settings in step.items()
    }
    return {_plain(k): v[:_MOST_PARAMETER] for k, v in flattened({**recipe, **steps}).items()}


def _plain(name: str) -> str:
    """Return a name of the characters that MLflow allows."""
    kept = "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
    return kept.strip()
