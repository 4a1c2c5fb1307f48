"""Optim Studio: make neural networks smaller and faster, and measure what it costs.

>>> import optim
>>> recipe = optim.Recipe("wine-mlp", "wine").with_step(optim.TECHNIQUES["quantize"]())
>>> [entry.name for entry in recipe.entries]
['quantize']

The names below are loaded when they are first used: ``import optim`` costs milliseconds, torch
comes with the first model.

==================  ========================================================================
``Recipe``          model, data, seed and steps; YAML, JSON and links
``run``             apply a recipe, export, measure and verify the result
``measure_model``   measure one model by name or file
``TECHNIQUES``      the steps by name
``open_model``      a model by name or file
``open_data``       data by name, file or folder
``Quantity``        a number with unit, interval and origin
``OptimError``      what every error of this package is
==================  ========================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.data.open import open_data as open_data
    from optim.errors import OptimError as OptimError
    from optim.models.open import open_model as open_model
    from optim.quantity import Quantity as Quantity
    from optim.recipe import Recipe as Recipe
    from optim.runner import measure_model as measure_model
    from optim.runner import run as run
    from optim.techniques import TECHNIQUES as TECHNIQUES

__version__ = "0.1.0"

_PLACES = {
    "OptimError": "optim.errors",
    "Quantity": "optim.quantity",
    "Recipe": "optim.recipe",
    "TECHNIQUES": "optim.techniques",
    "measure_model": "optim.runner",
    "open_data": "optim.data.open",
    "open_model": "optim.models.open",
    "run": "optim.runner",
}

__all__ = [
    "TECHNIQUES",
    "OptimError",
    "Quantity",
    "Recipe",
    "__version__",
    "measure_model",
    "open_data",
    "open_model",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'optim' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
