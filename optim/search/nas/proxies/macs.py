"""The number of multiply-accumulates."""

from optim.search.nas.proxies.proxy import Proxy

__all__ = ["MACS"]

MACS = Proxy(
    "MACs",
    "Multiply-accumulates of one inference.",
    "",
    lambda module, probe: float(probe.macs),
)
