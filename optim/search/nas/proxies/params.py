"""The number of parameters: what every proxy has to beat."""

from optim.search.nas.proxies.proxy import Proxy

__all__ = ["PARAMS"]

PARAMS = Proxy(
    "Parameters", "The number of parameters.", "", lambda module, probe: float(probe.params)
)
