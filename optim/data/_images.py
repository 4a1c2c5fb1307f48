"""Bytes of an image file -> pixels, without trusting the file.

The header is read first: a picture that would be too large is refused before any pixel is decoded.
Only the formats named here are tried. Pixels are taken as they are stored; a rotation noted in the
file's metadata is not applied.

What becomes of which kind of picture:

- grey and black-and-white: 1 channel;
- colour, palette, CMYK and YCbCr: 3 channels;
- with an alpha channel: the alpha is dropped where every pixel is opaque, otherwise refused, for
  nobody can say what lies behind;
- more than 8 bits a channel, moving pictures: refused.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from optim.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "SUFFIXES", "decode_image", "describe_shape", "resize_images"]

MAX_PIXELS = 4096 * 4096
"""Pixels of one picture: 48 MiB when decoded."""

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""How the names of image files end."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY = {"1", "L", "LA"}
_COLOUR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"}


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Return ``(C, H, W)`` uint8 pixels.

    Args:
        data: The file's bytes.
        name: Its relative name, for messages.

    Raises:
        DataError: If it is no image, damaged, too large or of a kind that is refused.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_header(image, name)
            pixels = np.asarray(_plain(image, name))
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name)) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name!r} is not an image, or it is damaged.",
            hint=f"Formats that can be read: {', '.join(_FORMATS)}.",
        ) from error
    except Exception as error:
        # Decoders fail on hostile bytes with whatever error they happen to meet.
        raise DataError(f"{name!r} is damaged and cannot be decoded.") from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resize_images(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``(N, C, height, width)`` images of the same type, scaled bilinearly.

    Shrinking averages over what falls together, as an image program does.
    """
    from PIL import Image

    scaled = np.empty((*images.shape[:2], height, width), images.dtype)
    for i, image in enumerate(images):
        for channel, plane in enumerate(image):
            picture = Image.fromarray(np.ascontiguousarray(plane))
            scaled[i, channel] = picture.resize((width, height), Image.Resampling.BILINEAR)
    return scaled


def describe_shape(shape: tuple[int, ...]) -> str:
    """Return ``"32x24 colour"`` (width x height) for ``(3, 24, 32)``."""
    channels, height, width = shape
    return f"{width}x{height} {'grey' if channels == 1 else 'colour'}"


def _check_header(image: Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_too_large(name))
    if getattr(image, "is_animated", False):
        raise DataError(f"{name!r} is a moving picture.", hint="Save single pictures.")
    if image.mode not in _GREY | _COLOUR:
        raise DataError(
            f"{name!r} has pixels of an unusual kind (mode {image.mode}).",
            hint="Save it with 8 bits a channel.",
        )


def _plain(image: Image, name: str) -> Image:
    """Return the picture as mode L or RGB."""
    mode = "L" if image.mode in _GREY else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise DataError(
                f"{name!r} has transparent pixels.", hint="Save it on a background, without alpha."
            )
    return image if image.mode == mode else image.convert(mode)


def _too_large(name: str) -> str:
    return f"{name!r} has more than {MAX_PIXELS:,} pixels."
