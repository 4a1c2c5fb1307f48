"""Devices a model may run on: what is known of them."""

from optim.devices.profile import DEVICE_CLASSES, DeviceProfile, Runtime, catalogue, device

__all__ = ["DEVICE_CLASSES", "DeviceProfile", "Runtime", "catalogue", "device"]
