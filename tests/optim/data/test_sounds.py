"""Sounds in class folders: WAV files, their lengths, and such that lie."""

import io
import struct
import wave

import numpy as np
import pytest

from optim.data import _sounds, open_data
from optim.errors import DataError
from tests.damage import refusals


def wav(values, *, width=2, channels=1, rate=16_000):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        kind = {1: "u1", 2: "<i2", 3: "V3", 4: "<i4"}[width]
        sound.writeframes(np.asarray(values).astype(kind).tobytes())
    return file.getvalue()


def two_words(**options):
    return {
        f"{word}/{i}.wav": wav([i, -i, 2 * i], **options) for word in ("no", "yes") for i in (1, 2)
    }


def test_sounds_in_class_folders_are_series(pack):
    data = open_data(pack({**two_words(), "README.md": b"x"}))
    assert data.task.class_names == ("no", "yes")
    assert data.input_shape == (1, 3)
    samples = data.part("all")
    assert samples.inputs.dtype == np.float32
    np.testing.assert_allclose(samples.inputs[1, 0] * 2**15, [2, -2, 4])


@pytest.mark.parametrize(
    ("width", "values", "expected"),
    [(1, [0, 128, 255], [-1, 0, 127 / 128]), (2, [-32768, 0, 16384], [-1, 0, 0.5])],
)
def test_amplitudes_are_from_minus_one_to_one(width, values, expected):
    sound, rate = _sounds.decode_sound(wav(values, width=width), "a.wav")
    np.testing.assert_allclose(sound, [expected])
    assert rate == 16_000


def test_two_channels_are_two_rows():
    sound, _ = _sounds.decode_sound(wav([1, -1, 2, -2], channels=2), "a.wav")
    np.testing.assert_allclose(sound * 2**15, [[1, 2], [-1, -2]])


def test_different_lengths_are_refused_until_one_is_given(pack):
    path = pack(two_words() | {"yes/3.wav": wav([1, 2])})
    with pytest.raises(DataError, match=r"'no/1\.wav' is 3 samples long with 1 channel, 'yes") as e:
        open_data(path).part("all")
    assert e.value.hint == "Bring them to one length, as in resize=16000."
    samples = open_data(f"{path}?resize=4").part("all")
    assert samples.inputs.shape == (5, 1, 4)
    np.testing.assert_allclose(samples.inputs[4, 0] * 2**15, [1, 2, 0, 0])


def test_sounds_among_images_are_refused(pack, image):
    with pytest.raises(DataError, match="images and sounds together"):
        open_data(pack(two_words() | {"no/3.png": image()}))


def longer(content, frames):
    """Let a WAV state more frames than it holds."""
    raw = bytearray(content)
    struct.pack_into("<I", raw, raw.index(b"data") + 4, frames * 2)
    return bytes(raw)


REFUSED = {
    "nothing": (b"", "is not a plain WAV file"),
    "text": (b"RIFF____WAVE", "is not a plain WAV file"),
    "no sound": (wav([]), "holds no sound"),
    "24 bits": (wav(np.zeros(3, "V3"), width=3), "1 channels of 24 bits"),
    "four channels": (wav([1, 2, 3, 4], channels=4), "4 channels of 16 bits"),
    "longer than a minute": (longer(wav([1, 2, 3]), 10**9), "is longer than 2,880,000 samples"),
    "half a sample": (wav([1])[:-1], "holds no sound"),
    "another code": (wav([1, 2]).replace(b"fmt \x10\0\0\0\1", b"fmt \x10\0\0\0\3"), "not a plain"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_by_name(content, reason):
    with pytest.raises(DataError, match=f"'a.wav' .*{reason}|'a.wav' {reason}"):
        _sounds.decode_sound(content, "a.wav")


def test_no_damage_escapes_as_another_error():
    def read(content):
        _sounds.decode_sound(content, "a.wav")

    assert refusals(wav(range(50)), read, cases=500, bytes_=4) > 50
