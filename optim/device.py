"""Which processor computes: a GPU where there is one, unless ``OPTIM_DEVICE`` says otherwise."""

from __future__ import annotations

import os

import torch

from optim.errors import ConfigError

__all__ = ["compute_device"]


def compute_device() -> torch.device:
    """Return the device for training and evaluation.

    Raises:
        ConfigError: If ``OPTIM_DEVICE`` names a device torch does not have here.
    """
    wanted = os.environ.get("OPTIM_DEVICE")
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"OPTIM_DEVICE={wanted!r} is not a device torch can use here.",
            hint="Leave it empty, or use cpu or cuda.",
        ) from error
    return device
