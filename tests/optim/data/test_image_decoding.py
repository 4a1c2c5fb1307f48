"""Which kinds of pictures become which pixels, and which are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from optim.data import _images
from optim.data._images import decode_image
from optim.errors import DataError


def encoded(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


KINDS = {
    "grey": ("L", 7, "PNG", [7]),
    "black and white": ("1", 1, "PNG", [255]),
    "colour": ("RGB", (1, 2, 3), "PNG", [1, 2, 3]),
    "opaque alpha": ("RGBA", (1, 2, 3, 255), "PNG", [1, 2, 3]),
    "grey with opaque alpha": ("LA", (7, 255), "PNG", [7]),
    "bitmap": ("RGB", (1, 2, 3), "BMP", [1, 2, 3]),
    "portable map": ("RGB", (1, 2, 3), "PPM", [1, 2, 3]),
    "tiff": ("RGB", (1, 2, 3), "TIFF", [1, 2, 3]),
    "cmyk": ("CMYK", (0, 0, 0, 255), "TIFF", [0, 0, 0]),
}


@pytest.mark.parametrize(("mode", "value", "form", "channels"), KINDS.values(), ids=KINDS)
def test_picture_becomes_its_channels(image, mode, value, form, channels):
    pixels = decode_image(image(value, mode=mode, form=form), "1.png")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(channels), 3, 4)
    assert pixels[:, 0, 0].tolist() == channels


def test_rows_are_height_and_columns_width():
    picture = Image.new("L", (4, 3))
    picture.putpixel((3, 1), 9)
    pixels = decode_image(encoded(picture), "1.png")
    assert np.argwhere(pixels == 9).tolist() == [[0, 1, 3]]


def test_palette_becomes_colour():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    pixels = decode_image(encoded(picture), "1.png")
    assert pixels[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize(
    ("mode", "value"), [("RGBA", (1, 2, 3, 254)), ("LA", (7, 0))], ids=["colour", "grey"]
)
def test_transparent_pixels_are_refused(image, mode, value):
    with pytest.raises(DataError, match=r"'1\.png' has transparent pixels"):
        decode_image(image(value, mode=mode), "1.png")


def test_transparent_palette_entry_that_is_used_is_refused():
    data = encoded(Image.new("P", (2, 2)), transparency=0)
    with pytest.raises(DataError, match="transparent pixels"):
        decode_image(data, "1.png")


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_eight_bits_are_refused(image, mode):
    with pytest.raises(DataError, match="pixels of an unusual kind"):
        decode_image(image(mode=mode, form="TIFF"), "1.tif")


def test_moving_picture_is_refused():
    frames = [Image.new("L", (2, 2), value) for value in (0, 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="is a moving picture"):
        decode_image(data, "1.gif")


def test_picture_with_too_many_pixels_is_refused_before_decoding(image, monkeypatch):
    monkeypatch.setattr(_images, "MAX_PIXELS", 11)
    monkeypatch.setattr(_images, "_plain", None)
    with pytest.raises(DataError, match="has more than 11 pixels"):
        decode_image(image(size=(4, 3)), "1.png")


def test_picture_cut_short_is_refused():
    data = encoded(Image.effect_noise((64, 64), 50), "PNG")
    with pytest.raises(DataError, match=r"'1\.png' is damaged"):
        decode_image(data[: len(data) // 2], "1.png")


def test_document_that_runs_programs_is_not_even_tried():
    with pytest.raises(DataError, match=r"'1\.png' is not an image"):
        decode_image(encoded(Image.new("L", (2, 2)), "EPS"), "1.png")
