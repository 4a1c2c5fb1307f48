"""A challenge: one figure of one model to be made as small as can be, within limits.

Only figures count that come out the same whenever they are measured: accuracy on fixed samples,
bytes, MACs, and what is estimated of a device. A latency that was measured while thirty people
train says nothing about a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from optim.data.task import Detection
from optim.devices.profile import catalogue, device
from optim.errors import ConfigError
from optim.measure.quality import METRICS
from optim.models.cards import model_cards
from optim.presets import default_recipe
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.figures import FIGURES
from optim.search.goals import Limit, Miss

__all__ = ["COUNTED", "OF_DEVICE", "SCHEMA", "Challenge", "first_challenges"]

SCHEMA = "optim.submission/1"
"""Of what measuring an entry gives."""
COUNTED = ("error", "loss", "bytes", "macs", "params", "latency", "ram", "flash", "energy")
"""Figures a challenge may be about."""
OF_DEVICE = frozenset({"latency", "ram", "flash", "energy"})
_GIVEN = ("model", "data", "seed", "split")
"""What of a recipe is not the player's."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Challenge:
    """One challenge.

    Attributes:
        name: Tells it from others of its room: small letters, digits and ``-``.
        title: For a reader.
        model: A registered model; entries start from it.
        data: Its data.
        objective: Key of ``FIGURES``; the smallest wins.
        limits: What must be kept, one a figure.
        device: Name in the catalogue; empty if no figure is of a device.
        budget_s: Longest time of work on one entry, in seconds.

    Raises:
        ConfigError: Naming what is wrong.
    """

    name: str
    title: str
    model: str
    data: str
    objective: str
    limits: tuple[Limit, ...] = ()
    device: str = ""
    budget_s: float = 300.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name must be small letters, digits and '-': got {self.name!r}.", field="name"
            )
        if not 0 < len(self.title) <= 120:
            raise ConfigError("title must be a text of 1 to 120 characters.", field="title")
        used = (self.objective, *(limit.figure for limit in self.limits))
        for figure in used:
            if figure not in COUNTED:
                raise ConfigError(
                    f"A challenge may be about {', '.join(COUNTED)}: got {figure!r}.",
                    field="objective",
                )
        if len(set(used)) < len(used):
            raise ConfigError(f"Each figure counts once: got {', '.join(used)}.", field="limits")
        if self.device:
            device(self.device)
        elif OF_DEVICE.intersection(used):
            raise ConfigError(
                "Latency, RAM, flash and energy are those of a device, and none is named.",
                field="device",
            )
        if not 10 <= self.budget_s <= 3600:
            raise ConfigError(
                f"budget_s must be from 10 to 3600: got {self.budget_s!r}.", field="budget_s"
            )

    @property
    def figures(self) -> tuple[str, ...]:
        """Every figure that is asked for, the objective first."""
        return (self.objective, *(limit.figure for limit in self.limits))

    @property
    def quality(self) -> str:
        """What its quality is called within a sentence: accuracy, or mAP of what finds objects."""
        card = model_cards().get(self.model)
        if card is not None and card.kind == Detection.kind:
            return METRICS[Detection.primary_metric].title
        return METRICS["accuracy"].title.lower()

    @property
    def rule(self) -> str:
        """What wins, in one sentence."""
        wins = FIGURES[self.objective].title.lower()
        wins = (
            f"highest {self.quality} wins" if self.objective == "error" else f"lowest {wins} wins"
        )
        kept = "; ".join(limit.text for limit in self.limits)
        where = f", on {device(self.device).title}" if self.device else ""
        return f"The {wins}{where}. {kept}." if kept else f"The {wins}{where}."

    def start(self) -> Recipe:
        """Return the recipe an entry may start from: the preset of its model, on its data."""
        return replace(default_recipe(self.model), model=self.model, data=self.data)

    def brought_in(self, recipe: Recipe) -> Recipe:
        """Return a recipe that :meth:`check` takes: with the steps of another about its model.

        Steps made for another model may not suit this one: then it is the start.
        """
        start = self.start()
        return replace(start, entries=recipe.entries) if recipe.model == self.model else start

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that is not about this challenge.

        Raises:
            ConfigError: If its model, data, seed or split is another.
        """
        asked = self.start()
        for what in _GIVEN:
            wanted, found = getattr(asked, what), getattr(recipe, what)
            if found != wanted:
                raise ConfigError(
                    f"This challenge is about {what} {wanted!r}: the recipe has {found!r}.",
                    hint="Press Open in the Lab at the challenge, and change its steps only.",
                    field=what,
                )

    def misses(self, figures: Mapping[str, Quantity]) -> list[Miss]:
        """Return the limits that figures do not keep."""
        found = []
        for limit in self.limits:
            value = figures.get(limit.figure)
            if value is None or limit.over(value.value) > 0:
                found.append(Miss(limit, value))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {
            "name": self.name,
            "title": self.title,
            "model": self.model,
            "data": self.data,
            "objective": self.objective,
            "limits": {limit.figure: limit.most for limit in self.limits},
            "device": self.device,
            "budget_s": self.budget_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read plain data, which may come from anybody.

        Raises:
            ConfigError: Naming what is wrong.
        """
        try:
            limits = tuple(Limit(str(k), float(v)) for k, v in data.get("limits", {}).items())
            name, title, model, source, objective = (
                str(data[key]) for key in ("name", "title", "model", "data", "objective")
            )
            device_name, budget_s = str(data.get("device", "")), float(data.get("budget_s", 300.0))
        except (AttributeError, LookupError, TypeError) as error:
            raise ConfigError(
                f"A challenge is {{name, title, model, data, objective, limits}}: got {data!r}."
            ) from error
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"A limit must be a number: {error}.", field="limits") from error
        return cls(name, title, model, source, objective, limits, device_name, budget_s)


def first_challenges() -> tuple[Challenge, ...]:
    """Return the challenges a new room begins with, on the model that ships."""
    start = default_recipe()
    board = next(name for name, p in catalogue().items() if "Cortex-M4" in p.chip and p.measured_as)
    return (
        Challenge(
            "fit-50-kb",
            "Most accurate within 50 kB, for a Cortex-M4",
            start.model,
            start.data,
            "error",
            (Limit("bytes", 50e3),),
            board,
        ),
        Challenge(
            "two-points",
            "Smallest file that loses at most 2 points",
            start.model,
            start.data,
            "bytes",
            (Limit("loss", 2.0),),
        ),
        Challenge(
            "quick-answer",
            "Quickest answer on a Cortex-M4 for at most 3 points",
            start.model,
            start.data,
            "latency",
            (Limit("loss", 3.0),),
            board,
        ),
    )
