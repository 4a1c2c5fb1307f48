"""Devices a model may run on: what is known of them, and how long a network takes there.

===========  ===================================================================================
profile      what a device is: rates, memories, runtimes; the catalogue of those that ship
probe        one file that measures single operators on any board with ONNX Runtime
own          probed devices that are kept: of users, and this machine
checked      predicted against measured on this machine, as it was kept
calibration  from such measurements to the latency of a network
parts        what the time of an operator consists of on a device of the catalogue
predict      latency on a device from what others measured there
fitting      how the constants behind it are found: fit_roofline, fit_shared, folds
law          what such a prediction is computed from
workload     what is asked of a device, as a table of measurements would say it
tables       files of such questions and answers
roofline     what data sheets promise
fabric       rates of programmable logic at any bit-width
operators    what a runtime executes for one inference: plain data
===========  ===================================================================================
"""

from optim.devices.profile import DEVICE_CLASSES, DeviceProfile, Runtime, catalogue, device

__all__ = ["DEVICE_CLASSES", "DeviceProfile", "Runtime", "catalogue", "device"]
