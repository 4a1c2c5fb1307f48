"""The cheapest change with which a model fits a device, found by trying.

Changes are tried in the order of what they cost in accuracy: no quantization, which a runtime
without integer kernels needs; 8 bits; then 8 bits with ever more channels removed. Each is applied
to the real model; the first that fits is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from optim.devices.profile import DeviceProfile
from optim.ladder.footprint import Footprint
from optim.ladder.rungs import fit_of
from optim.recipe import Recipe
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize

__all__ = ["Change", "changes", "cheapest_change", "reduced_range"]

_RATIOS = tuple(tenth / 10 for tenth in range(1, 10))


@dataclass(frozen=True)
class Change:
    """A recipe that asks less of a device.

    Attributes:
        text: What is different, in words.
        recipe: The changed recipe.
    """

    text: str
    recipe: Recipe


def changes(recipe: Recipe, lane: str) -> Iterator[Change]:
    """Yield changes of a recipe, the mildest first.

    Args:
        recipe: What is done to the model now.
        lane: Kind of the model, see ``ModelBundle.lane``.
    """
    quantize = next((e for e in recipe.active if isinstance(e.step, Quantize)), None)
    prune = next((e for e in recipe.active if isinstance(e.step, PruneChannels)), None)
    whole = recipe
    step = quantize.step if quantize else None
    if quantize:
        floats = recipe
        for entry in recipe.active:
            if entry.id == quantize.id or "quantized" in entry.step.requires | entry.step.ensures:
                floats = floats.with_enabled(entry.id, False)
        yield Change("Weights and activations left in floating point", floats)
    is_integer = isinstance(step, Quantize) and _is_integer(step)
    if not is_integer:
        whole = (
            recipe.with_fields(quantize.id, weight_bits=8, activation_bits=8)
            if quantize
            else recipe.with_step(Quantize(weight_bits=8, activation_bits=8))
        )
        yield Change("8-bit weights and activations", whole)
    if lane != "torch":
        return
    now = prune.step.pruning_ratio if prune and isinstance(prune.step, PruneChannels) else 0.0
    words = "" if is_integer else "8 bits and "
    for ratio in _RATIOS:
        if ratio > now:
            pruned = (
                whole.with_fields(prune.id, pruning_ratio=ratio)
                if prune
                else whole.with_step(PruneChannels(pruning_ratio=ratio), position=0)
            )
            yield Change(f"{words}{100 * ratio:.0f} % of the channels removed", pruned)


def cheapest_change(
    recipe: Recipe,
    lane: str,
    profile: DeviceProfile,
    footprint: Callable[[Recipe], Footprint | None],
) -> Change | None:
    """Return the mildest change with which a model fits a device; None if none of them does.

    Args:
        recipe: What is done to the model now.
        lane: Kind of the model.
        profile: The device.
        footprint: Applies a recipe and says what the model asks for; None where it cannot be
            applied.
    """
    for change in changes(recipe, lane):
        found = footprint(change.recipe)
        if found is not None and fit_of(found, profile).fits:
            return change
    return None


def reduced_range(recipe: Recipe) -> Change | None:
    """Return the change with which no sum of 16 bits saturates; None if there is nothing to change.

    Nothing has to be changed unless weights and activations both have 8 bits: with 7 on either
    side two products fit.
    """
    for entry in recipe.active:
        step = entry.step
        if not isinstance(step, Quantize) or step.reduce_range or step.activation_bits != 8:
            continue
        if 8 in (step.weight_bits, *step.layers.values()):
            reduced = recipe.with_fields(entry.id, reduce_range=True)
            return Change("8-bit weights of reduced range, -64 to 63", reduced)
    return None


def _is_integer(step: Quantize) -> bool:
    """Return whether both sides are whole numbers of 8 bits at most."""
    return step.weight_bits not in ("float", 16) and step.activation_bits not in ("float", 16)
