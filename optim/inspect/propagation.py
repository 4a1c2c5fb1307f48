"""Values inside two models: how far each layer is off, and which channels tell nothing apart.

The same samples run through the original, through the result as it is deployed, and, where weights
or activations lie on grids, through the result before it is rounded. A layer's error has then two
parts: what everything together changed (against the original), and what rounding alone did (against
the same weights in floating point). Both grow and shrink along the network: a layer takes over the
errors of those before it, and averages some of them out.

Values are compared where a layer gives them, before the activation function, batch norm folded in.
Of a layer that lost channels those that are left are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.errors import MeasurementError
from optim.inspect.kept import SAMPLES
from optim.inspect.pair import Pair
from optim.inspect.sides import Sides
from optim.layers.statistics import Observer, Statistics
from optim.layers.table import QuantizedEdge
from optim.measure.costs import model_costs
from optim.measure.evaluate import how_of
from optim.measure.fidelity import sqnr_of
from optim.quantity import How, Quantity

__all__ = ["Given", "Inside", "LayerError", "look_inside"]

_MOST_MACS = 6e11
"""Work in all samples together: about half a minute on one core of today."""
_FEWEST = 8
_NUMBERS = 2**24
"""Values of one batch that are held at once."""
_FEWER = 4
"""A histogram needs a quarter of the values that calibration remembers."""
_STILL = 1e-6
"""A channel that varies by less, in units of the largest value, varies by rounding alone."""


@dataclass(frozen=True)
class LayerError:
    """One layer of the result.

    Attributes:
        layer: Its name.
        sqnr: Energy of the original's values over that of the difference; None where there is none,
            or where they cannot be compared.
        missing: Why values cannot be compared with the original's; empty where they can.
        rounding: The same for rounding alone; None where nothing is rounded before or in the layer.
        channels: Channels that it gives.
        still: Channels whose value is the same for all samples and places, after the activation
            function: they tell nothing apart.
        still_before: Of the original; None where it has no such layer.
    """

    layer: str
    sqnr: Quantity | None
    missing: str
    rounding: Quantity | None
    channels: int
    still: int
    still_before: int | None

    @property
    def is_same(self) -> bool:
        """Whether the layer gives what it gave in the original."""
        return self.sqnr is None and not self.missing

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **vars(self),
            "sqnr": self.sqnr.to_json() if self.sqnr else None,
            "rounding": self.rounding.to_json() if self.rounding else None,
        }


@dataclass(frozen=True, eq=False)
class Given:
    """What a layer is given.

    Attributes:
        before: In the original; None where it has no such layer.
        after: In the result, before it is rounded.
        edge: The grid on which it is rounded; None in floating point.
    """

    before: Statistics | None
    after: Statistics
    edge: QuantizedEdge | None


@dataclass(frozen=True, eq=False)
class Inside:
    """What runs through two models.

    Attributes:
        errors: By layer, in order of execution.
        inputs: By layer.
        n: Samples.
    """

    errors: Mapping[str, LayerError]
    inputs: Mapping[str, Given]
    n: int


def look_inside(
    pair: Pair,
    *,
    samples: int = SAMPLES["layers"],
    told: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Inside:
    """Run samples through both models and compare what their layers give.

    Args:
        pair: Both models and their data; samples that may select are looked at.
        samples: How many, at most; fewer of large models.
        told: Called with a share in 0..1 and what is being done.
        check: Called between batches; raises to stop.

    Raises:
        OptimError: If a model does not run, or a value is not finite.
    """
    costs = model_costs(pair.original)
    macs = sum(cost.macs for cost in costs)
    able = max(_FEWEST, int(_MOST_MACS // (3 * macs or 1)))
    looked_at = pair.samples(min(samples, able))
    raw = np.asarray(looked_at.inputs)
    given = [bundle.spec.normalise(raw) for bundle in (pair.original, pair.result)]
    sides = Sides.of(pair)
    numbers = sum(cost.activations for cost in costs) + raw[0].size
    size = sides.batch or max(1, min(64, _NUMBERS // (3 * numbers)))
    steps = -(-len(raw) // size)
    records = {name: _Record(steps) for name in sides.deployed.spots}
    twins = _twins(sides.original.spots, sides.deployed.spots)
    for name in records.keys() - twins.keys():
        is_factor = name.rpartition(".")[0] in sides.original.spots
        records[name].missing = _FACTOR if is_factor else "the original has no layer of this name"
    for i, (x, own) in enumerate(zip(*(one.split(size) for one in given), strict=True)):
        check()
        told(i / steps, f"{i * size:,} of {len(raw):,} samples")
        with torch.inference_mode():
            _compare(x, own, sides, records, twins, pair.kept)
    how = how_of(pair.result)
    errors = {name: record.error(name, how) for name, record in records.items() if record.channels}
    inputs = {
        name: found
        for name, record in records.items()
        if (found := record.given(name, sides.deployed.spots[name].edge))
    }
    if not errors:
        raise MeasurementError(f"No layer of {pair.result.name} has weights that can be read.")
    return Inside(errors, inputs, len(raw))


_FACTOR = "it is an inner factor of a layer that was taken apart"


def _twins(original: Collection[str], result: Collection[str]) -> dict[str, str]:
    """Return layers of the original by those of the result that give the same.

    Of a layer that was taken apart into ``layer.0``, ``layer.1`` and so on, that is the last one.
    """
    found = {name: name for name in result if name in original}
    for name in original:
        factors = [other for other in result if other.rpartition(".")[0] == name]
        if name not in result and factors:
            found[factors[-1]] = name
    return found


# --- what is found --------------------------------------------------------------------------------


@dataclass(eq=False)
class _Record:
    """What is known of one layer so far.

    Attributes:
        batches: How many will come.
        signal: Energies of the original's values, a number a sample.
        noise: Energies of the differences.
    """

    batches: int
    signal: list[np.ndarray] = field(default_factory=list)
    noise: list[np.ndarray] = field(default_factory=list)
    rounded_signal: list[np.ndarray] = field(default_factory=list)
    rounded_noise: list[np.ndarray] = field(default_factory=list)
    ends: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    observers: dict[str, Observer] = field(default_factory=dict)
    missing: str = ""
    channels: int = 0

    def compare(self, exact: Tensor, deployed: Tensor, n: int) -> None:
        """Add what the original and the result give."""
        if exact.shape != deployed.shape:
            self.missing = "it gives other channels than in the original"
            return
        for to, energy in zip(
            (self.signal, self.noise), _energies(exact, deployed, n), strict=True
        ):
            to.append(energy)

    def round(self, exact: Tensor, deployed: Tensor, n: int) -> None:
        """Add what the result gives before and after rounding."""
        for to, energy in zip(
            (self.rounded_signal, self.rounded_noise), _energies(exact, deployed, n), strict=True
        ):
            to.append(energy)

    def see(self, side: str, seen: Tensor, axis: int) -> None:
        """Add what a side gives behind the activation function."""
        flat = seen.movedim(axis, 0).flatten(1)
        low, high = flat.amin(dim=1), flat.amax(dim=1)
        if side in self.ends:
            low = torch.minimum(low, self.ends[side][0])
            high = torch.maximum(high, self.ends[side][1])
        self.ends[side] = low, high
        if side == "after":
            self.channels = len(low)

    def give(self, side: str, given: Tensor) -> None:
        """Add what a side gives the layer."""
        self.observers.setdefault(side, Observer(_FEWER * self.batches))(given)

    def still(self, side: str) -> int | None:
        """Return how many channels do not vary; None where nothing was seen."""
        if side not in self.ends:
            return None
        low, high = self.ends[side]
        reach = max(float(low.abs().max()), float(high.abs().max()))
        return int((high - low <= _STILL * reach).sum())

    def error(self, name: str, how: How) -> LayerError:
        """Return the layer's part of the result."""
        compared = self.signal and not self.missing
        return LayerError(
            layer=name,
            sqnr=sqnr_of(np.concatenate(self.signal), np.concatenate(self.noise), how)
            if compared
            else None,
            missing=self.missing,
            rounding=sqnr_of(
                np.concatenate(self.rounded_signal), np.concatenate(self.rounded_noise), how
            )
            if self.rounded_signal
            else None,
            channels=self.channels,
            still=self.still("after") or 0,
            still_before=self.still("before"),
        )

    def given(self, name: str, edge: QuantizedEdge | None) -> Given | None:
        """Return what the layer was given; None if that could not be read."""
        if "after" not in self.observers:
            return None
        before = self.observers.get("before")
        return Given(
            before.statistics(name) if before else None,
            self.observers["after"].statistics(name),
            edge,
        )


def _compare(
    x: Tensor,
    own: Tensor,
    sides: Sides,
    records: Mapping[str, _Record],
    twins: Mapping[str, str],
    kept: Mapping[str, Tensor],
) -> None:
    """Run one batch through all sides and add what is found.

    Args:
        x: As the original takes it.
        own: The same samples as the result takes them.
        sides: What runs.
        records: What is known so far.
        twins: Layers of the original by those of the result that do the same.
        kept: Channels of the original that are left, by layer.
    """
    after, before = sides.deployed.values(own), sides.original.values(x)
    exact = (
        before
        if sides.exact is sides.original
        else sides.exact.values(own)
        if sides.exact is not None
        else None
    )
    for name, record in records.items():
        spots = sides.deployed.spots[name]
        if spots.output not in after:
            continue
        output = after[spots.output]
        record.see("after", after[spots.seen], spots.axis)
        if spots.given in after:
            record.give("after", after[spots.given])
        if spot := sides.original.spots.get(twins.get(name, "")):
            exact_output = before[spot.output]
            if name in kept:
                exact_output = exact_output.index_select(spot.axis, kept[name])
            record.compare(exact_output, output, len(x))
            record.see("before", before[spot.seen], spot.axis)
            if spot.given in before and twins[name] == name:
                record.give("before", before[spot.given])
        if exact is not None and sides.exact is not None:
            record.round(exact[sides.exact.spots[name].output], output, len(x))


def _energies(exact: Tensor, deployed: Tensor, n: int) -> Iterator[np.ndarray]:
    """Yield the energy of the first and of the difference, a number a sample.

    Where the first axis counts no samples, a batch is one observation.
    """
    rows = n if exact.ndim > 1 and len(exact) == n else 1
    first = exact.reshape(rows, -1).double()
    yield first.square().sum(1).numpy()
    yield (first - deployed.reshape(rows, -1).double()).square().sum(1).numpy()
