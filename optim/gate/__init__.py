"""The gate for pipelines: has a model regressed against a baseline, beyond what chance explains?

A baseline remembers which samples a model classified correctly, the bytes of its ONNX file, and
the file itself, so that a later model can be compared sample by sample and timed in turns with it.
Each criterion has three outcomes, because a small sample often cannot tell:

* accuracy, or mAP of a detector, a paired test of non-inferiority: with the 95 % interval of the
  difference in points, it *holds* if the whole interval lies above ``-margin``, has *regressed* if
  the whole interval lies below, and is *inconclusive* otherwise;
* squared error, where labels are quantities: the same with the interval of the ratio of both mean
  squared errors, paired by sample. The baseline's ONNX file is run for it;
* agreement, where samples have no labels and outputs are classes: the same with the interval of the
  share of samples on which both choose the same class; SQNR where outputs are no classes. Both are
  measured against the baseline's ONNX file, which therefore has to lie beside it;
* latency, the same with the interval of the ratio of times measured in turns;
* bytes, which are exact.

The gate holds only if every criterion holds, so that no correction for several criteria is needed
(an intersection-union test).

References:
    Piaggio et al., Reporting of Noninferiority and Equivalence Randomized Trials, JAMA 2012,
    doi:10.1001/jama.2012.87802 (the three outcomes by interval). The interval is that of
    :func:`optim.measure.intervals.paired_difference`.
    Berger, Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics 1982,
    doi:10.1080/00401706.1982.10487790 (intersection-union tests).
"""

from optim.gate.baseline import Baseline
from optim.gate.check import check_model
from optim.gate.criteria import (
    Criterion,
    GateResult,
    Outcome,
    accuracy_criterion,
    agreement_criterion,
    bytes_criterion,
    error_criterion,
    latency_criterion,
    samples_needed,
    sqnr_criterion,
)

__all__ = [
    "Baseline",
    "Criterion",
    "GateResult",
    "Outcome",
    "accuracy_criterion",
    "agreement_criterion",
    "bytes_criterion",
    "check_model",
    "error_criterion",
    "latency_criterion",
    "samples_needed",
    "sqnr_criterion",
]
