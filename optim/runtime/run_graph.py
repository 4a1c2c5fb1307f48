"""What has to run a graph that stays as it is: folding it safely, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from optim.errors import UnsupportedModelError
from optim.graph.fold import fold
from optim.graph.observe import exposed, observe_values
from optim.graph.plan import GraphPlan
from optim.layers.statistics import Statistics
from optim.models.bundle import GraphModel, ModelBundle
from optim.models.convert.parity import random_inputs
from optim.runtime.session import InferenceSession

__all__ = ["editable", "graph_statistics", "observing"]

_MAX_DIFFERENCE = 1e-3
"""Largest difference between the folded graph and the file, in units of the largest output."""
_SMALLEST = 1e-3
"""Outputs that are all smaller are compared in units of this."""


def editable(bundle: ModelBundle, memo: Callable[[str, _Fold], GraphModel]) -> ModelBundle:
    """Return a model as techniques change it: a graph folded, a module as it is.

    The folded graph and the file run on four random inputs: what computes something else is not
    taken.

    Args:
        bundle: Of either lane.
        memo: Remembers the folded graph by the hash of the file.

    Raises:
        UnsupportedModelError: If a graph cannot be folded, or computes something else then.
    """
    content = bundle.content
    if not isinstance(content, GraphModel) or content.is_folded:
        return bundle
    shape = bundle.spec.shape
    key = f"folded:{content.hash}:{content.interface}:{shape}"
    return bundle.with_graph(memo(key, lambda: _folded(content, shape)))


_Fold = Callable[[], GraphModel]


def _folded(given: GraphModel, shape: tuple[int, ...]) -> GraphModel:
    interface = given.interface
    model = fold(given.read(), interface.inside if interface else ())
    folded = replace(given, onnx=model.SerializeToString(), is_folded=True)
    x = interface.draw(shape, 4) if interface else random_inputs(shape).numpy()
    expected, found = (_run(graph, x) for graph in (given, folded))
    largest = max(float(np.abs(expected).max(initial=0)), _SMALLEST)
    difference = float(np.abs(found - expected).max(initial=0)) / largest
    if not difference <= _MAX_DIFFERENCE:
        raise UnsupportedModelError(
            "With its batch norms folded, the graph computes something else: outputs differ by "
            f"{difference:.1e} of the largest.",
            hint="It can still be measured and verified as it is.",
        )
    return folded


def _run(graph: GraphModel, x: np.ndarray) -> np.ndarray:
    session = InferenceSession.open(graph.onnx, torch.get_num_threads(), graph.interface)
    return session.run(x).astype(np.float64)


def graph_statistics(
    folded: ModelBundle, plan: GraphPlan, inputs: Tensor, check: Callable[[], None]
) -> dict[str, Statistics]:
    """Return what the values of a plan are on calibration samples.

    Args:
        folded: A folded graph.
        plan: The values to observe.
        inputs: ``(N, ...)`` normalised samples.
        check: Called between batches; raises to stop.

    Raises:
        CalibrationError: If there is no sample or a value is not finite.
    """
    if not plan.edges:
        return {}
    session = observing(folded, plan.edges)
    return observe_values(session.values, plan.edges, inputs, batch=session.batch, check=check)


def observing(folded: ModelBundle, names: Sequence[str]) -> InferenceSession:
    """Return a session whose :meth:`~InferenceSession.values` are these of a folded graph."""
    file = exposed(folded.graph(), names).SerializeToString()
    interface = folded.interface.unread() if folded.interface else None
    opened = InferenceSession.open(file, torch.get_num_threads(), interface)
    return replace(opened, interface=opened.interface.unread())
