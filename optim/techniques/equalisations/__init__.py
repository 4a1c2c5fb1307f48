"""By how much channels are scaled.

============  =====================================================================
cross_layer   weights on both sides of a channel reach equally far: free
smooth        activations hand a share of their outliers to the weights: needs samples
============  =====================================================================
"""

from optim.techniques.equalisations.cross_layer import CrossLayer
from optim.techniques.equalisations.method import EqualisationMethod
from optim.techniques.equalisations.smooth import Smooth

__all__ = ["EQUALISATIONS", "CrossLayer", "EqualisationMethod"]

EQUALISATIONS: dict[str, type[EqualisationMethod]] = {
    "cross_layer": CrossLayer,
    "smooth": Smooth,
}
