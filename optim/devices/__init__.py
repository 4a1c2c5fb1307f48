"""Devices a model may run on: what is known of them, and how long a network takes there.

===========  ===================================================================================
profile      what a device is: rates, memories, runtimes; the catalogue of those that ship
probe        one file that measures single operators on any board with ONNX Runtime
own          probed devices that are kept: of users, and this machine
calibration  from such measurements to the latency of a network
parts        what the time of an operator consists of on a device of the catalogue
operators    what a runtime executes for one inference: plain data
===========  ===================================================================================
"""

from optim.devices.profile import DEVICE_CLASSES, DeviceProfile, Runtime, catalogue, device

__all__ = ["DEVICE_CLASSES", "DeviceProfile", "Runtime", "catalogue", "device"]
