"""Samples as pictures that a page can show."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from optim.data.dataset import Samples

__all__ = ["picture_of"]


def picture_of(samples: Samples, index: int) -> str | None:
    """Return an image as base64 PNG; None if samples are no images."""
    pixels = samples.inputs[index]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        return None
    array = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, 2)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
