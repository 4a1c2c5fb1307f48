"""Recipes and figures as a reader sees them."""

from __future__ import annotations

from collections.abc import Mapping

from optim.fields import Choice, Range, controls
from optim.quantity import Quantity, format_value
from optim.recipe import Entry, Recipe
from optim.search.figures import FIGURES
from optim.search.goals import Goals
from optim.sensitivity.trials import layers_field, overridden

__all__ = ["costs_text", "short_title"]


def short_title(recipe: Recipe) -> str:
    """Return what a recipe does, in a few words.

    Example:
        >>> from optim.techniques.quantize import Quantize
        >>> short_title(Recipe("digits-mlp", "digits").with_step(Quantize(weight_bits=4)))
        'weight bits 4'
    """
    words = [text for entry in recipe.active if (text := _entry(entry))]
    return ", ".join(words) or "the original"


def _entry(entry: Entry) -> str:
    step = entry.step
    if step.cost == "training":
        epochs = int(getattr(step, "epochs", 0))
        label = next(c.kind.label for c in controls(type(step)) if c.name == "epochs")
        what = step.title if label == "Epochs" else label
        return f"{epochs} epoch{'s' if epochs != 1 else ''} of {what.lower()}"
    field = layers_field(step)
    if field is None:
        return ""
    control = overridden(step)
    kind = control.kind
    own = getattr(step, field[0])
    if own:
        return f"{kind.label.lower()} by layer"
    value = getattr(step, control.name)
    if isinstance(kind, Choice):
        return f"{kind.label.lower()} {kind.options[value]}"
    if isinstance(kind, Range) and kind.scale == "percent":
        return f"{kind.label.lower()} {100 * float(value):.0f} %"
    return f"{kind.label.lower()} {value}"


def costs_text(figures: Mapping[str, Quantity], goals: Goals) -> str:
    """Return loss and costs of a candidate in one line.

    Example:
        >>> figures = {"loss": Quantity.exact(0.5, "points"), "bytes": Quantity.exact(4e4, "bytes")}
        >>> costs_text(figures, Goals())
        'loses 0.500 points at 40.0 kB'
    """
    loss = figures.get(goals.quality)
    cost = figures.get(goals.costs[0])
    words = []
    if loss is not None:
        gains = loss.value < 0
        value = format_value(abs(loss.value), loss.unit, None if loss.is_exact else loss.half_width)
        words.append(f"{'gains' if gains else FIGURES[goals.quality].verb} {value}")
    if cost is not None:
        words.append(f"at {cost}" if words else str(cost))
    return " ".join(words)
