"""How the integers of quantized weights are chosen.

===========  =====================================================================
nearest      each weight by itself: free
gptq         one input after the other, the next make up for it: seconds, no labels
adaround     up or down, learned for each layer: a minute, no labels
block        up or down and the steps of activations, learned for each block: minutes, no labels
===========  =====================================================================
"""

from optim.techniques.roundings.adaround import AdaRound
from optim.techniques.roundings.block import Block
from optim.techniques.roundings.gptq import GPTQ
from optim.techniques.roundings.method import RoundingMethod
from optim.techniques.roundings.nearest import Nearest

__all__ = ["ROUNDINGS", "Nearest", "RoundingMethod"]

ROUNDINGS: dict[str, type[RoundingMethod]] = {
    "nearest": Nearest,
    "gptq": GPTQ,
    "adaround": AdaRound,
    "block": Block,
}
