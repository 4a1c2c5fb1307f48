"""One training that a search asked for: of a recipe, or of a network with fresh weights.

Both leave what they trained under its key (:mod:`optim.stored`) and nothing else; the search that
asked judges it. ``spec`` of a recipe is ``{"recipe": Recipe.to_json()}``, of a network
``{"search": Asked.to_json(), "architecture": ..., "epochs": n}``. With ``"base"``, a folder, data
may be files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.runs.work import Kind, Work

if TYPE_CHECKING:
    from optim.recipe import Entry
    from optim.step import Resume
    from optim.train import Epoch

__all__ = ["NETWORK_TRAINING", "RECIPE_TRAINING"]

_STATES = "training"


def _prepare_recipe() -> None:
    import optim.runner
    import optim.train  # noqa: F401


def _prepare_network() -> None:
    import optim.search.nas.bench
    import optim.train  # noqa: F401


def _train_recipe(work: Work) -> Mapping[str, Any]:
    """Apply a recipe; what its training steps gave is stored."""
    import torch

    from optim.recipe import Recipe
    from optim.runner import apply_recipe
    from optim.subject import open_subject

    torch.set_num_threads(work.threads)
    recipe, base = Recipe.from_json(work.run.spec["recipe"]), work.run.spec.get("base")
    seconds = 0.0

    def tracker(entry: Entry) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        def record(figures: dict[str, float]) -> None:
            nonlocal seconds
            seconds += figures.get("seconds", 0.0)
            work.record(entry.id, figures)

        return work.checkpoint(entry.id), record

    apply_recipe(
        recipe,
        open_subject(recipe, base=Path(base or "."), registered_only=base is None),
        progress=work.progress,
        check=work.check,
        stored=True,
        tracker=tracker,
        trained=work.trained,
    )
    return {"keys": work.students, "seconds": seconds}


def _train_network(work: Work) -> Mapping[str, Any]:
    """Train one network of a space from fresh weights."""
    import torch

    from optim.models.zoo import architecture_from_json
    from optim.search.nas.asked import Asked
    from optim.search.nas.bench import Bench

    torch.set_num_threads(work.threads)
    spec = work.run.spec
    base, epochs = spec.get("base"), int(spec["epochs"])
    bench = Bench(
        Asked.from_json(spec["search"]), folder=Path(base or "."), registered_only=base is None
    )
    bench.warm_up(work.check)

    def on_epoch(epoch: Epoch) -> None:
        work.record(_STATES, epoch.figures())
        work.progress(epoch.number / epochs, f"epoch {epoch.number} of {epochs}")

    _, seconds = bench.train(
        architecture_from_json(spec["architecture"]),
        epochs,
        resume=work.checkpoint(_STATES),
        on_epoch=on_epoch,
        check=work.check,
        trained=work.trained,
    )
    return {"keys": work.students, "seconds": seconds}


RECIPE_TRAINING = Kind("Training for a search", _train_recipe, _prepare_recipe)
NETWORK_TRAINING = Kind("Training for a search", _train_network, _prepare_network)
