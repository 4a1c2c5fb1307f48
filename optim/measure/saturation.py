"""What an 8-bit model loses on x86 processors without VNNI, and what 7-bit weights lose instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch

from optim.data.dataset import Samples
from optim.measure.evaluate import samples_at_once
from optim.measure.predictions import Predictions, batches
from optim.measure.quality import fidelity_to, quality, quality_of
from optim.models.bundle import ModelBundle
from optim.quantity import Comparison, How, Quantity
from optim.runtime.deployed import deployed_graph, deployed_sizes
from optim.runtime.saturation import saturating_graph
from optim.runtime.session import InferenceSession

__all__ = ["Saturation", "saturation_of"]

_NUMBERS = 2**24
"""Numbers of the largest value that is added to a graph, for all samples that run at once."""


@dataclass(frozen=True)
class Saturation:
    """One model with sums of 32 bits, with sums of 16 bits, and with weights that fit those.

    Every figure is simulated: the deployed graph is computed operator by operator, as ONNX defines
    it, less what sums of 16 bits lose.

    Attributes:
        metric: Which figure it is, a key of :data:`optim.measure.quality.METRICS`.
        exact: Where products are added in 32 bits; None where the figure is a comparison with that.
        saturated: Where pairs of them are added in 16 bits.
        change: Of that, paired; None where the figure is itself a comparison.
        agreement: Share of samples for which both choose the same class; None without classes.
        reduced: With weights of reduced range; None if that was not asked for.
        reduced_change: Of that against ``exact``.
        at_risk: ``{layer: share of its pairs of products that some input makes saturate}``.
    """

    metric: str
    exact: Quantity | None
    saturated: Quantity | None
    change: Comparison | None
    agreement: Quantity | None
    reduced: Quantity | None
    reduced_change: Comparison | None
    at_risk: Mapping[str, float]

    @property
    def may_saturate(self) -> bool:
        """Whether any input makes any sum saturate."""
        return any(self.at_risk.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys."""
        figures = ("exact", "saturated", "change", "agreement", "reduced", "reduced_change")
        values = {name: getattr(self, name) for name in figures}
        return {
            "metric": self.metric,
            **{name: value.to_json() if value else None for name, value in values.items()},
            "at_risk": dict(self.at_risk),
        }


def saturation_of(
    bundle: ModelBundle,
    samples: Samples,
    reduced: ModelBundle | None = None,
    *,
    check: Callable[[], None] = lambda: None,
) -> Saturation:
    """Measure what a model loses where products of bytes are added in 16 bits.

    Args:
        bundle: The model; one without integer layers loses nothing.
        samples: Raw samples; all versions answer for the same ones.
        reduced: The same model with weights of reduced range.
        check: Called between batches; raises to stop.

    Raises:
        UnsupportedModelError: If the size of a value is not known before it is computed.
    """
    graph = deployed_graph(bundle)
    found = saturating_graph(graph, deployed_sizes(bundle))
    exact = _answers(graph, bundle, samples, samples_at_once(bundle), check)
    saturated = exact
    if found.may_saturate:
        at_once = max(1, min(samples_at_once(bundle), _NUMBERS // found.numbers))
        saturated = _answers(found.model, bundle, samples, at_once, check)
    task = bundle.task
    alone, lost = quality_of(exact, task), quality(saturated, exact, task, every=False)
    after = None
    if reduced is not None:
        answers = _answers(
            deployed_graph(reduced), reduced, samples, samples_at_once(reduced), check
        )
        after = quality(answers, exact, task, every=False)
    return Saturation(
        lost.primary,
        alone.main,
        lost.main,
        lost.change,
        fidelity_to(exact, saturated, task).get("agreement"),
        after.main if after else None,
        after.change if after else None,
        found.at_risk,
    )


def _answers(
    graph: onnx.ModelProto,
    bundle: ModelBundle,
    samples: Samples,
    at_once: int,
    check: Callable[[], None],
) -> Predictions:
    """Return what a graph says, computed operator by operator."""
    threads = torch.get_num_threads()
    session = InferenceSession.open(graph, threads, bundle.interface, level="off")
    outputs = []
    for rows in batches(len(samples), at_once):
        check()
        outputs.append(session.run(bundle.spec.normalise(samples.inputs[rows]).numpy()))
    return Predictions(samples.ids, np.concatenate(outputs), samples.targets, How.SIMULATED)
