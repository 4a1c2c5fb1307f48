"""Energy of a run: what its meters counted; without any, its time times the watts of its threads.

A busy core draws about its share of the package's rated power. How much that is differs by
processor, and which one a run had is not recorded: the processors of the catalogue give the middle
and both ends. Memory, power supply and a run that leaves its threads idle are not in it.

Reference:
    Henderson et al., Towards the Systematic Reporting of the Energy and Carbon Footprints of
    Machine Learning, 2020, arXiv:2002.05651 (power attributed by the share of a processor in use).
"""

from __future__ import annotations

import statistics

from optim.devices.profile import catalogue
from optim.quantity import How, Quantity
from optim.runs.run import Run

__all__ = ["energy_of_run"]


def energy_of_run(run: Run) -> Quantity | None:
    """Return the energy of a run in joules, measured or estimated.

    None before anything was done, and where a GPU may have computed: its time is not known.
    """
    if run.energy_j is not None:
        return Quantity.exact(run.energy_j, "j")
    threads = run.environment.get("threads")
    if not (threads and run.seconds > 0 and _is_on_cpu(run)):
        return None
    watts = sorted(
        one.power_w / one.cores
        for one in catalogue().values()
        if one.power_w and one.cores and one.device_class.endswith("_cpu")
    )
    joules = run.seconds * int(threads)
    middle = statistics.median(watts)
    ends = (joules * middle, "j", joules * watts[0], joules * watts[-1])
    return Quantity(*ends, how=How.ESTIMATED)


def _is_on_cpu(run: Run) -> bool:
    """Whether it is certain that no accelerator took part."""
    device = run.environment.get("device")
    torch = (run.environment.get("versions") or {}).get("torch") or ""
    return device == "cpu" or (device == "auto" and torch.endswith("+cpu"))
