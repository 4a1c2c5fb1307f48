"""How much each channel matters.

===========  =====================================================================
magnitude    size of its weights: free, a good default
bn_scale     size of its batch norm factor: free, needs batch norm
fpgm         distance from the other filters: removes what is redundant
hessian      how much the loss would rise to second order: needs labelled samples
taylor       how much the loss would rise to first order: needs labelled samples
random       nothing: the honest control that every other one has to beat
===========  =====================================================================
"""

from optim.techniques.importances.bn_scale import BNScale
from optim.techniques.importances.fpgm import FPGM
from optim.techniques.importances.hessian import Hessian
from optim.techniques.importances.magnitude import Magnitude
from optim.techniques.importances.method import ImportanceMethod
from optim.techniques.importances.random import Random
from optim.techniques.importances.taylor import Taylor

__all__ = ["IMPORTANCES", "ImportanceMethod", "Magnitude"]

IMPORTANCES: dict[str, type[ImportanceMethod]] = {
    "magnitude": Magnitude,
    "bn_scale": BNScale,
    "fpgm": FPGM,
    "taylor": Taylor,
    "hessian": Hessian,
    "random": Random,
}
