"""The model card of a file: what it is and what was measured, each figure with its origin.

Its first lines are those that the Hugging Face Hub reads from a card.
"""

from __future__ import annotations

import json

from optim.data.task import Classification
from optim.errors import UnsupportedModelError
from optim.export.verify import Verification
from optim.measure.costs import static_costs
from optim.measure.memory import activation_memory
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.recipe import Recipe

__all__ = ["model_card"]


def model_card(bundle: ModelBundle, recipe: Recipe, verification: Verification) -> str:
    """Return the card as Markdown.

    Args:
        bundle: The model that the file holds.
        recipe: How it was made.
        verification: What the file does in its runtime.
    """
    shape = " x ".join(map(str, bundle.spec.shape))
    classes = bundle.task.class_names if isinstance(bundle.task, Classification) else ()
    steps = [entry.step.title for entry in recipe.active]
    tags = json.dumps(["model-compression", *dict.fromkeys(_plain(title) for title in steps)])
    return f"""---
library_name: onnx
tags: {tags}
---

# {_plain(bundle.name)}

| | |
|:--|:--|
| input | {shape}, normalised as `model.json` says |
| output | {_outputs(classes)} |
| made from | `{_plain(recipe.model)}` on `{_plain(recipe.data)}`, seed {recipe.seed} |
| steps | {_plain(", ".join(steps)) or "none"} |
| verified in | {verification.runtime} |

## Figures

| figure | value | interval (95 %) | from | how |
|:--|:--|:--|:--|:--|
{_figures(bundle, verification)}

In its runtime: {verification.found}.

*Measured* is what was observed on samples, bytes or a clock; *estimated* what was computed from the
graph. Latency is that of one sample on one thread of the machine that verified the file, and says
little about others.

## Limits

Figures hold for data like those they were measured on. Samples of another source, sensor or
preparation may be judged worse; `test_bundle.py` says whether a machine computes the same, not
whether the model suits a task.
"""


def _outputs(classes: tuple[str, ...]) -> str:
    if not classes:
        return "numbers"
    shown = ", ".join(map(_plain, classes[:20]))
    return f"{len(classes)} classes: {shown}{', …' if len(classes) > 20 else ''}"


def _figures(bundle: ModelBundle, verification: Verification) -> str:
    params, macs, sparsity = static_costs(bundle)
    change = verification.change
    rows: dict[str, Quantity | None] = {
        "accuracy": verification.accuracy,
        "mAP@0.5:0.95": verification.precision,
        "same class as simulated": verification.agreement,
        "SQNR to the simulation": verification.sqnr,
        "change against the simulation": change.difference if change else None,
        "latency": verification.latency,
        "file": verification.size,
        "parameters": params,
        "multiply-accumulates": macs,
        "zero weights": sparsity,
        **_memory(bundle),
    }
    return "\n".join(_row(name, value) for name, value in rows.items() if value is not None)


def _memory(bundle: ModelBundle) -> dict[str, Quantity]:
    try:
        memory = activation_memory(bundle)
    except UnsupportedModelError:
        # A graph whose sizes depend on what it is given has no schedule.
        return {}
    return {"activations at the peak": memory.peak, "activations in a static arena": memory.arena}


def _row(name: str, value: Quantity) -> str:
    exact = value.is_exact
    low, high = (Quantity.exact(end, value.unit) for end in (value.low, value.high))
    interval = "exact" if exact else f"{low} to {high}"
    count = "" if value.n is None else f"{value.n:,}"
    return f"| {name} | {value} | {interval} | {count} | {value.how} |"


def _plain(text: str) -> str:
    """Return a name that may come from anybody as one line without Markdown's signs."""
    return "".join(" " if c in "|`<>[]*\r\n" else c for c in text)[:200]
