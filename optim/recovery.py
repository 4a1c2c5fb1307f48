"""The training that wins back what compression cost, put into a recipe where it belongs.

What removes weights or channels is followed by batch norm statistics taken anew and by
distillation; what rounds to few bits is followed by fine-tuning with the rounding in the loop::

    prune -> re-estimate batch norm -> distil -> quantize -> fine-tune quantized

Channels that stay are not refitted before a training. That makes a better network at once and a
worse one in the end: by 0.6 to 1.6 points after one epoch (``bench/structured.py``).
"""

from __future__ import annotations

from dataclasses import replace

from optim.errors import ConfigError
from optim.recipe import Entry, Recipe
from optim.step import Step
from optim.techniques import TECHNIQUES

__all__ = ["distilled", "norms_measured", "recovery"]

_NORMS, _SOFT, _ROUNDED = "reestimate_batchnorm", "distill", "finetune_quantized"
_CHANNELS, _REFIT = "prune_channels", "reconstruct"
_REPAIRS = frozenset({_NORMS, "correct_bias"})
"""Steps that put right what others did, without training."""


def recovery(recipe: Recipe) -> Recipe:
    """Return a recipe with the steps that recover accuracy.

    Steps that are on keep their settings and their place; those that are there but off are switched
    on. Other training after the last removal is taken in place of distillation. A recipe that
    recovers already is returned as it is, but for the refitting of channels.

    Raises:
        ConfigError: If no step costs accuracy that training could win back.

    Example:
        >>> pruned = Recipe("digits-mlp", "digits").with_step(TECHNIQUES["prune_channels"]())
        >>> [entry.name for entry in recovery(pruned).active]
        ['prune_channels', 'reestimate_batchnorm', 'distill']
    """
    removes = _removals(recipe)
    rounds = _ROUNDED in TECHNIQUES and any(_quantizes(entry) for entry in recipe.active)
    if not removes and not rounds:
        raise ConfigError(
            "There is nothing to recover: no step of this recipe removes weights or channels.",
            hint="Prune something first, or choose a stronger preset.",
        )
    found = recipe
    if removes:
        after = removes[-1] + 1
        found = _with(found, _NORMS, after, after)
        if not any(_trains(entry) for entry in found.entries[after:]):
            found = _with(found, _SOFT, after, _end_of_float(found))
        found = _not_refitted(found)
    if rounds:
        found = _with(found, _ROUNDED, 0, len(found.entries))
    return found


def norms_measured(recipe: Recipe) -> Recipe:
    """Return a recipe in which batch norm is measured anew behind what makes the model smaller."""
    removes = _removals(recipe)
    return _with(recipe, _NORMS, removes[-1] + 1, removes[-1] + 1) if removes else recipe


def distilled(recipe: Recipe, step: Step) -> Recipe:
    """Return a recipe that distils as a step says, and before it quantizes.

    Of the distillations that are there the last one is replaced.
    """
    own = [entry for entry in recipe.entries if entry.name == _SOFT]
    if not own:
        return recipe.with_step(step, _end_of_float(recipe))
    last = own[-1]
    others = [entry for entry in recipe.entries if entry is not last]
    position = recipe.entries.index(last)
    if not last.is_active:  # what was removed since it was switched off has to be won back as well
        position = _end_of_float(replace(recipe, entries=tuple(others)))
    others.insert(position, replace(last, step=step, enabled=True))
    return replace(recipe, entries=tuple(others))


def _quantizes(entry: Entry) -> bool:
    return entry.is_active and "quantized" in entry.step.ensures


def _removes(entry: Entry) -> bool:
    """Whether a step makes the floating-point model smaller."""
    if not entry.is_active or entry.name in _REPAIRS or _quantizes(entry):
        return False
    # Training makes nothing smaller, unless it prunes on the way.
    return entry.step.cost != "training" or "sparsity" in type(entry.step).model_fields


def _not_refitted(recipe: Recipe) -> Recipe:
    """Return a recipe in which no channels are refitted before the last training in float."""
    last = max(i for i, entry in enumerate(recipe.entries) if _trains(entry))
    for entry in recipe.entries[:last]:
        if entry.is_active and entry.name == _CHANNELS and getattr(entry.step, _REFIT):
            recipe = recipe.with_fields(entry.id, **{_REFIT: False})
    return recipe


def _trains(entry: Entry) -> bool:
    """Whether a step trains the floating-point model."""
    return entry.is_active and entry.step.cost == "training" and "float" in entry.step.requires


def _removals(recipe: Recipe) -> list[int]:
    """Return the positions of the steps that make the floating-point model smaller."""
    return [i for i, entry in enumerate(recipe.entries) if _removes(entry)]


def _end_of_float(recipe: Recipe) -> int:
    """Return the position before the first step that quantizes, or the end.

    Of those that are off only what stands after all removals counts: it would come last as well.
    """
    last = max(_removals(recipe), default=-1)
    quantizers = [
        i
        for i, e in enumerate(recipe.entries)
        if "quantized" in e.step.ensures and (e.is_active or i > last)
    ]
    return max(last + 1, min(quantizers, default=len(recipe.entries)))


def _with(recipe: Recipe, name: str, after: int, position: int) -> Recipe:
    """Return a recipe in which a technique is on.

    Args:
        recipe: Where it may be on already.
        name: The technique.
        after: One that is on counts from this position.
        position: Where it is put if it has to be switched on.
    """
    own = [(i, entry) for i, entry in enumerate(recipe.entries) if entry.name == name]
    if any(entry.is_active for i, entry in own if i >= after):
        return recipe
    resting = [(i, entry) for i, entry in own if not entry.is_active]
    if not resting:
        return recipe.with_step(TECHNIQUES[name](), position)
    i, entry = resting[-1]
    step = TECHNIQUES[name]() if entry.step.is_neutral else entry.step
    others = [e for e in recipe.entries if e is not entry]
    others.insert(position - (i < position), replace(entry, step=step, enabled=True))
    return replace(recipe, entries=tuple(others))
