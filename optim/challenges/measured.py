"""What an entry really reaches: its recipe is run here, its file written, verified and measured.

Nothing of it comes from whoever enters: only the recipe does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optim.challenges.challenge import OF_DEVICE, SCHEMA, Challenge
from optim.export.deploy import onnx_bytes
from optim.export.verify import verify_file
from optim.measure.quality import quality
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runner import Tracker, apply_recipe, measure
from optim.search.costs import device_figures
from optim.search.goals import Goals
from optim.search.loss import loss_of
from optim.subject import open_subject

__all__ = ["measure_entry"]


def measure_entry(
    recipe: Recipe,
    challenge: Challenge,
    *,
    tracker: Tracker,
    progress: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
    trained: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """Run a recipe and return what counts for a challenge, plain data.

    Quality is that of validation samples: the test part stays for whoever wins.

    Args:
        recipe: The entry.
        challenge: What it is entered for.
        tracker: Says for each training step where its states and figures go.
        progress: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.
        trained: Called with the key of each stored result that was taken or kept.

    Raises:
        ConfigError: If the recipe is not about the challenge.
        ParityError: If the file does not do what was simulated.
    """
    challenge.check(recipe)
    progress(0.0, "opening model and data")
    subject = open_subject(recipe, registered_only=True)
    bundle, _ = apply_recipe(
        recipe,
        subject,
        progress=lambda share, what: progress(0.05 + 0.7 * share, what),
        check=check,
        stored=True,
        tracker=tracker,
        trained=trained,
    )
    samples = subject.samples()
    progress(0.75, "measuring the result")
    _, first = measure(subject.bundle, samples, check=check)
    card, second = measure(bundle, samples, check=check)
    judged = quality(second, first, bundle.task)
    progress(0.9, "verifying the file")
    file = onnx_bytes(bundle, recipe.to_link())
    more = subject.data.part("train") if subject.data.is_split else None
    verification = verify_file(file, bundle, samples, more=more, check=check)
    verification.require()
    figures = {
        "loss": loss_of(judged),
        "bytes": verification.size,
        "macs": card.macs,
        "params": card.params,
    }
    main = judged.main
    if main is not None and main.unit == "fraction":
        wrong = (100 * (1 - end) for end in (main.value, main.high, main.low))
        value, low, high = wrong
        figures["error"] = Quantity(value, "points", low, high, main.n, main.how)
    if challenge.device:
        goals = Goals(
            ("error", "latency", *sorted(OF_DEVICE - {"latency"})), device=challenge.device
        )
        one = subject.bundle.spec.normalise(samples.inputs[:1]).numpy()
        figures |= device_figures(bundle, goals, file, one)
    progress(1.0, "done")
    misses = challenge.misses(figures)
    return {
        "schema": SCHEMA,
        "challenge": challenge.to_json(),
        "part": subject.part,
        "samples": len(samples),
        "accuracy": main.to_json() if main is not None else None,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "kept": not misses,
        "misses": [miss.text for miss in misses],
    }
