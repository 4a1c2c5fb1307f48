"""How the range of a quantizer is chosen from observed values.

===========  =====================================================================
minmax       the exact ends: nothing is clipped, outliers stretch the steps
percentile   all but a small share of the values: cheap and robust
mse          the range with the smallest squared error
entropy      the range that changes the distribution least (TensorRT's method)
hqq          for weights: the bulk counts, outliers may err
===========  =====================================================================
"""

from optim.techniques.calibrations.entropy import Entropy
from optim.techniques.calibrations.hqq import HQQ
from optim.techniques.calibrations.method import CalibrationMethod
from optim.techniques.calibrations.minmax import MinMax
from optim.techniques.calibrations.mse import MSE
from optim.techniques.calibrations.percentile import Percentile

__all__ = ["CALIBRATIONS", "MSE", "WEIGHT_CALIBRATIONS", "CalibrationMethod", "MinMax"]

CALIBRATIONS: dict[str, type[CalibrationMethod]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": MSE,
    "entropy": Entropy,
}
"""For activations."""

WEIGHT_CALIBRATIONS: dict[str, type[CalibrationMethod]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": MSE,
    "hqq": HQQ,
}
"""For weights: a channel has too few values for a distribution."""
