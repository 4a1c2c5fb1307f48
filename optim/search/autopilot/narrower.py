"""What compression has to beat: a narrower network of the same family, trained from the start.

Nothing of the original goes into it but the data. It is the widest that costs no more than what it
is compared with, in 8 bits; how long it is trained is for the caller to say, and is said with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property

from optim.data.task import Classification
from optim.errors import OptimError
from optim.fields import Range, controls
from optim.measure.evaluate import predict
from optim.measure.quality import quality
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, TorchModel
from optim.models.zoo import architecture_to_json
from optim.quantity import Quantity
from optim.search.autopilot.bench import Bench
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.search.loss import loss_of
from optim.search.nas.asked import Asked
from optim.search.nas.bench import Bench as Networks
from optim.search.nas.families import FAMILIES

__all__ = ["Narrower"]

_MOST_EPOCHS = 60
_SURE = 1.3
"""How much longer than a few steps say an epoch may take."""
_STAGE = "baseline"


class Narrower:
    """Networks of the original's family with another width and fresh weights.

    Args:
        bench: Measures recipes of the original.
        goals: What is asked for.
    """

    def __init__(self, bench: Bench, goals: Goals) -> None:
        self._bench = bench
        self._goals = goals
        content = bench.subject.bundle.content
        self._own = content.architecture if isinstance(content, TorchModel) else None
        self._family = next(iter(architecture_to_json(self._own))) if self._own else ""

    def can(self) -> bool:
        """Whether the original has a family with a width, and data that it could learn."""
        subject = self._bench.subject
        return (
            self._family in FAMILIES
            and bool(self._widths())
            and subject.data.is_split
            and isinstance(subject.data.task, Classification)
        )

    def widest(self, most: Mapping[str, float]) -> Architecture | None:
        """Return the widest network that costs no more in anything; None if none is so small.

        Args:
            most: Figures, keys of ``optim.search.figures.FIGURES``; what is not known before
                training is not looked at.
        """
        for width in self._widths():
            assert self._own is not None
            found = self._own.model_copy(update={"width": width})
            try:
                costs = self._networks.costs(found, self._goals)
            except OptimError:
                continue
            if all(costs[name].value <= most[name] for name in most if name in costs):
                return found
        return None

    def epochs(self, architecture: Architecture, seconds: float) -> int:
        """Return for how many epochs a network can be trained in a time; 0 if not for one."""
        networks = self._networks
        each = _SURE * networks.steps * networks.seconds_per_step(architecture)
        return min(_MOST_EPOCHS, int(seconds / each))

    def measured(
        self, architecture: Architecture, epochs: int, check: Callable[[], None]
    ) -> tuple[Candidate, ModelBundle]:
        """Train a network, and measure it in 8 bits on the samples of the search.

        Raises:
            OptimError: If it cannot be trained or deployed.
        """
        began = time.monotonic()
        networks, bench = self._networks, self._bench
        trained, seconds = networks.train(architecture, epochs, check=check)
        bundle = networks.deployed(trained)
        predictions = predict(bundle, bench.bench.samples, check=check)
        judged = quality(predictions, bench.baseline, bench.subject.bundle.task, every=False)
        recipe = networks.recipe(f"nas-{'0' * 16}")
        figures = {
            **bench.costs_of(bundle, recipe, self._goals),
            "loss": loss_of(judged),
            "training": Quantity.exact(seconds, "s"),
        }
        candidate = Candidate(
            {},
            {"architecture": architecture_to_json(architecture), "epochs": epochs},
            figures,
            "measured",
            _STAGE,
            self._title(architecture, epochs),
            quality=judged.main,
            seconds=time.monotonic() - began,
        )
        return candidate, bundle

    # --- inside -----------------------------------------------------------------------------

    def _title(self, architecture: Architecture, epochs: int) -> str:
        [fields] = architecture_to_json(architecture).values()
        each = f"{epochs} epoch{'s' if epochs != 1 else ''}"
        return f"{architecture.title} of width {fields['width']} from scratch, {each}, in 8 bits"

    @cached_property
    def _networks(self) -> Networks:
        base, engine = self._bench.base, self._bench.engine
        asked = Asked(self._family, base.data, precision="int8", seed=base.seed)
        return Networks(asked, folder=engine.base, registered_only=engine.registered_only)

    def _widths(self) -> list[int]:
        """Return the widths below the original's, widest first."""
        if self._own is None:
            return []
        kinds = [c.kind for c in controls(type(self._own)) if c.name == "width"]
        own = vars(self._own).get("width", 0)
        stops = kinds[0].stops() if kinds and isinstance(kinds[0], Range) else []
        return [int(stop) for stop in reversed(stops) if stop < own]
