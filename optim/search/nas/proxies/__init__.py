"""Zero-cost proxies: what is told of a network by a pass or two, before it is trained.

None is right for every space: :mod:`optim.search.nas.trust` tells how right each of them was among
the networks that a search has trained. A new one is one file and one line below.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from copy import deepcopy
from typing import TYPE_CHECKING

from optim.search.nas.proxies.fisher import FISHER
from optim.search.nas.proxies.grad_norm import GRAD_NORM
from optim.search.nas.proxies.grasp import GRASP
from optim.search.nas.proxies.jacob_cov import JACOB_COV
from optim.search.nas.proxies.macs import MACS
from optim.search.nas.proxies.naswot import NASWOT
from optim.search.nas.proxies.params import PARAMS
from optim.search.nas.proxies.proxy import Probe, Proxy
from optim.search.nas.proxies.snip import SNIP
from optim.search.nas.proxies.synflow import SYNFLOW

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PROXIES", "Probe", "Proxy", "scores_of"]

PROXIES: dict[str, Proxy] = {
    "params": PARAMS,
    "macs": MACS,
    "synflow": SYNFLOW,
    "naswot": NASWOT,
    "jacob_cov": JACOB_COV,
    "snip": SNIP,
    "grasp": GRASP,
    "fisher": FISHER,
    "grad_norm": GRAD_NORM,
}
"""Proxies by name; the counts that every other one has to beat come first."""


def scores_of(
    module: nn.Module, probe: Probe, names: Collection[str] = tuple(PROXIES)
) -> dict[str, float]:
    """Return what proxies say of a network; one without a finite answer is left out.

    Args:
        module: Freshly initialised; it stays as it is.
        probe: What may be looked at.
        names: Of the proxies that are asked.
    """
    found = {name: PROXIES[name].score(deepcopy(module), probe) for name in names}
    return {name: value for name, value in found.items() if math.isfinite(value)}
