"""How much each single weight matters.

===========  =====================================================================
magnitude    its size: free, and hard to beat
lamp         its size among the larger ones of its layer: free, sets layers apart by itself
wanda        its size times that of its input: needs samples, no labels
obs          what the layer's outputs lose by it after all that went before: the same
snip         how much the loss would rise to first order: needs labelled samples
random       nothing: the honest control that every other one has to beat
===========  =====================================================================
"""

from optim.techniques.criteria.lamp import LAMP
from optim.techniques.criteria.magnitude import Magnitude
from optim.techniques.criteria.method import CriterionMethod
from optim.techniques.criteria.obs import OBS
from optim.techniques.criteria.random import Random
from optim.techniques.criteria.snip import SNIP
from optim.techniques.criteria.wanda import Wanda

__all__ = ["CRITERIA", "CriterionMethod", "Magnitude"]

CRITERIA: dict[str, type[CriterionMethod]] = {
    "magnitude": Magnitude,
    "lamp": LAMP,
    "wanda": Wanda,
    "obs": OBS,
    "snip": SNIP,
    "random": Random,
}
