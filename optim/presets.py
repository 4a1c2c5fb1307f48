"""Starting points: recipes for a purpose, for any model, all with the same sliders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optim.errors import UnsupportedModelError
from optim.models.cards import ModelCard, model_cards
from optim.recipe import Entry, Recipe
from optim.step import refusal
from optim.techniques import TECHNIQUES

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "Preset",
    "applicable",
    "default_recipe",
    "preset_recipe",
    "preset_recipes",
]


@dataclass(frozen=True)
class Preset:
    """A recipe for a purpose.

    Attributes:
        title: Name for a reader.
        about: What it is for, in one sentence.
        fields: ``{technique: fields}`` in the order the steps are applied.
    """

    title: str
    about: str
    fields: dict[str, dict[str, Any]]


def _preset(title: str, about: str, ratio: float, weight_bits: int, **channels: Any) -> Preset:
    return Preset(
        title,
        about,
        {
            "prune_channels": {"pruning_ratio": ratio, **channels},
            "prune_weights": {"sparsity": 0.0},
            "reestimate_batchnorm": {},
            "distill": {"epochs": 12 if ratio else 0},
            "quantize": {"weight_bits": weight_bits, "activation_bits": 8},
            "correct_bias": {},
        },
    )


PRESETS: dict[str, Preset] = {
    "gentle": _preset("Gentle", "Eight bits and nothing else: no loss to speak of.", 0.0, 8),
    "balanced": _preset("Balanced", "Half the channels, eight bits: small and fast.", 0.5, 8),
    "tiny": _preset("Tiny", "Few channels, four-bit weights: the smallest file.", 0.6, 4),
    "microcontroller": _preset(
        "Microcontroller", "A quarter of the channels, eight bits: integer kernels only.", 0.75, 8
    ),
}
"""Presets by name, mildest first."""

DEFAULT_PRESET = "balanced"
DEFAULT_MODEL = "clutter-resnet8"


def preset_recipe(name: str, model: str, data: str, seed: int = 0) -> Recipe:
    """Return a preset for a model and its data; what cannot change the model is off.

    For a model that came from outside no student was trained ahead, so that the weights which
    pruning leaves are refitted.
    """
    return preset_recipes(model, data, seed)[name]


def preset_recipes(model: str, data: str, seed: int = 0) -> dict[str, Recipe]:
    """Return all presets for a model and its data by name; see :func:`preset_recipe`."""
    card = model_cards().get(model)
    found = {}
    for name, preset in PRESETS.items():
        steps = preset.fields.items()
        entries = tuple(Entry(key, TECHNIQUES[key](**fields)) for key, fields in steps)
        recipe = Recipe(model, data, entries, seed)
        if _is_from_outside(card):
            recipe = recipe.with_fields("prune_channels", reconstruct=True)
        found[name] = _applicable(recipe, card)
    return found


def applicable(recipe: Recipe) -> Recipe:
    """Return a recipe in which the steps are off that cannot change its registered model."""
    return _applicable(recipe, model_cards().get(recipe.model))


def _applicable(recipe: Recipe, card: ModelCard | None) -> Recipe:
    for entry in recipe.entries:
        if card is not None and refusal(entry.step, card.lane, "", card.kind):
            recipe = recipe.with_enabled(entry.id, False)
    return recipe


def default_recipe(model: str = DEFAULT_MODEL) -> Recipe:
    """Return the default preset for a registered model; for another one if it is not there.

    For a model that came from outside that is the mildest: nobody trained it to be halved.

    Raises:
        UnsupportedModelError: If there is no model at all.
    """
    cards = model_cards()
    card = cards.get(model) or next(iter(cards.values()), None)
    if card is None:
        raise UnsupportedModelError(
            "There is no trained model on this machine.",
            hint="Train those that ship: python -m optim pretrain",
        )
    preset = next(iter(PRESETS)) if _is_from_outside(card) else DEFAULT_PRESET
    return preset_recipe(preset, card.name, card.data)


def _is_from_outside(card: ModelCard | None) -> bool:
    return card is not None and not card.command
