"""Load what was exported in its real runtime and measure it there, before anybody gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from optim.data.dataset import Samples
from optim.data.task import NO_LABEL, Classification, Detection, ModelTask
from optim.errors import ParityError
from optim.measure.detection import detection_figures, precision_change
from optim.measure.evaluate import predict, predict_in_runtime, runner_of
from optim.measure.latency import latency_of
from optim.measure.predictions import Predictions
from optim.measure.quality import fidelity_to
from optim.models.bundle import ModelBundle
from optim.quantity import Comparison, Quantity
from optim.runtime.session import InferenceSession, Opener, Session

__all__ = [
    "MAX_POINTS",
    "MIN_AGREEMENT",
    "MIN_SQNR_DB",
    "Verification",
    "further_inputs",
    "verify_file",
]

MIN_AGREEMENT = 0.99
"""Least lower bound of the share of inputs on which file and simulation choose the same class."""
MIN_SQNR_DB = 20.0
"""Least lower bound of the SQNR of the file to the simulation where outputs are no classes: the
difference carries at most a hundredth of the energy."""
MAX_POINTS = 0.5
"""Largest difference of accuracy, in points, that the interval must not exclude."""
_MIN_INPUTS = 1000
"""Inputs compared at least: fewer could not show that 99 % agree."""


@dataclass(frozen=True)
class Verification:
    """What an exported file does in its runtime, beside the simulation it came from.

    Attributes:
        runtime: Name and version.
        accuracy: Of the file, in the runtime; None where samples have no labels.
        change: The file's accuracy, or mAP, minus the simulation's, paired; None where there is
            none.
        agreement: Share of inputs on which both choose the same class; None where outputs are no
            classes.
        largest_difference: Largest absolute difference between outputs.
        size: Bytes of the file.
        latency: One inference of one sample on one thread.
        sqnr: Of the file's outputs to the simulation's; None if there is no difference at all.
        precision: mAP@0.5:0.95 of the file, in the runtime; None where samples have no boxes.
    """

    runtime: str
    accuracy: Quantity | None
    change: Comparison | None
    agreement: Quantity | None
    largest_difference: float
    size: Quantity
    latency: Quantity
    sqnr: Quantity | None = None
    precision: Quantity | None = None

    @property
    def problem(self) -> str:
        """Why the file must be refused; empty if it may be used."""
        if self.agreement is None and self.sqnr is not None and self.sqnr.low < MIN_SQNR_DB:
            return (
                f"The file's outputs follow the simulation's at {self.sqnr} SQNR; at least "
                f"{MIN_SQNR_DB:g} dB must be certain."
            )
        if self.agreement is not None and self.agreement.low < MIN_AGREEMENT:
            return (
                f"File and simulation choose the same class for {self.agreement} of the inputs; "
                f"at least {MIN_AGREEMENT:.0%} must be certain."
            )
        if self.change is None:
            return ""
        low, high = self.change.difference.low, self.change.difference.high
        if low > MAX_POINTS or high < -MAX_POINTS:
            return (
                f"In the runtime the file's {'mAP' if self.precision else 'accuracy'} differs by "
                f"{self.change.difference}; at most {MAX_POINTS} points are allowed."
            )
        return ""

    @property
    def found(self) -> str:
        """What the file does beside the simulation, in words."""
        own = [f"accuracy {self.accuracy}"] if self.accuracy else []
        own += [f"mAP {self.precision}"] if self.precision else []
        if self.agreement is not None:
            return ", ".join([*own, f"same class as simulated for {self.agreement} of the inputs"])
        how = f"at {self.sqnr} SQNR" if self.sqnr else "without any difference"
        return ", ".join([*own, f"outputs as simulated {how}"])

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys."""
        return {
            "runtime": self.runtime,
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            **({"map": self.precision.to_json()} if self.precision else {}),
            "change": self.change.to_json() if self.change else None,
            "agreement": self.agreement.to_json() if self.agreement else None,
            "sqnr": self.sqnr.to_json() if self.sqnr else None,
            "largest_difference": self.largest_difference,
            "bytes": self.size.to_json(),
            "latency": self.latency.to_json(),
            "passed": not self.problem,
            "problem": self.problem,
        }

    def require(self) -> None:
        """Refuse a file that does not do what was simulated.

        Raises:
            ParityError: With the reason.
        """
        if self.problem:
            raise ParityError(self.problem, hint="Choose more bits or another target.")


def verify_file(
    file: bytes,
    bundle: ModelBundle,
    samples: Samples,
    *,
    more: Samples | None = None,
    open_file: Opener = InferenceSession.open,
    most: int | None = None,
    progress: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Verification:
    """Measure an exported file in its runtime and compare it with what was simulated.

    Args:
        file: The file's bytes.
        bundle: The model it was exported from.
        samples: What both are compared on; accuracy is measured where they have labels.
        more: Further samples for the agreement where ``samples`` are few; random inputs follow
            where these are few too.
        open_file: Loads the file in what executes it: ONNX Runtime, if nothing else is said.
        most: Samples that are run at most, where what executes the file is slow; all if None.
        progress: Called with a share in 0..1 and what is being done.
        check: Called between batches; raises to stop.

    Raises:
        ExportError: If the runtime refuses the file.
    """
    progress(0.1, "loading the file")
    threads = max(1, torch.get_num_threads())
    session = open_file(file, threads, bundle.interface)
    if most is not None and len(samples) > most:
        samples = samples.take(np.arange(most))
    progress(0.2, "measuring in the runtime")
    deployed = predict_in_runtime(session, bundle, samples, check=check)
    progress(0.6, "comparing with the simulation")
    simulated = predict(bundle, samples, as_defined=True, check=check)
    enough = min(_MIN_INPUTS, most or _MIN_INPUTS)
    first, second = _enough(session, bundle, deployed, simulated, more, enough)
    same = fidelity_to(second, first, bundle.task)
    progress(0.8, "measuring latency")
    one = bundle.spec.normalise(samples.inputs[:1]).numpy()
    latency = latency_of(file, one, 1, interface=bundle.interface, open_file=open_file, check=check)
    return Verification(
        runtime=session.runtime,
        accuracy=deployed.accuracy() if deployed.is_labelled else None,
        change=_change(deployed, simulated, bundle.task),
        agreement=same.get("agreement"),
        largest_difference=first.largest_difference(second),
        size=Quantity.exact(len(file), "bytes"),
        latency=latency,
        sqnr=same.get("sqnr"),
        precision=_precision(deployed, bundle.task),
    )


def _precision(deployed: Predictions, task: ModelTask) -> Quantity | None:
    """Return the mAP in the runtime; None where no objects are to be found."""
    if isinstance(task, Detection) and deployed.has_boxes:
        return detection_figures(deployed, task)["map"]
    return None


def _change(deployed: Predictions, simulated: Predictions, task: ModelTask) -> Comparison | None:
    """Return the difference in accuracy or mAP; None where there is neither."""
    if deployed.is_labelled:
        return deployed.against(simulated)
    if isinstance(task, Detection) and deployed.has_boxes:
        return precision_change(deployed, simulated, task)
    return None


def _enough(
    session: Session,
    bundle: ModelBundle,
    deployed: Predictions,
    simulated: Predictions,
    more: Samples | None,
    enough: int,
) -> tuple[Predictions, Predictions]:
    """Add further inputs to both, as many as certainty about classes needs; labels are left out."""
    blind = np.full(len(deployed), NO_LABEL)
    first, second = replace(deployed, targets=blind), replace(simulated, targets=blind)
    lacking = enough - len(deployed)
    if lacking <= 0 or not isinstance(bundle.task, Classification):
        return first, second
    x = further_inputs(bundle, more, lacking)
    expected = runner_of(bundle, as_defined=True)(x)
    ids, blind = np.arange(lacking) + 2**40, np.full(lacking, NO_LABEL)
    return (
        Predictions.joined([first, Predictions(ids, session.run(x.numpy()), blind)]),
        Predictions.joined([second, Predictions(ids, expected, blind)]),
    )


def further_inputs(bundle: ModelBundle, more: Samples | None, count: int) -> torch.Tensor:
    """Return ``count`` normalised samples, filled up with noise of the same size and spread."""
    known = bundle.spec.normalise(more.inputs[:count]) if more is not None else None
    missing = count - (len(known) if known is not None else 0)
    noise = torch.randn(missing, *bundle.spec.shape, generator=torch.Generator().manual_seed(0))
    if known is None:
        return noise
    return torch.cat([known, noise * known.std() + known.mean()]) if missing else known
