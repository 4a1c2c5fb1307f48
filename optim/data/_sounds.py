"""Bytes of a WAV file -> samples, without trusting the file.

Only plain PCM is read: 8, 16 or 32 bits, one or two channels. Amplitudes become -1 to 1.
"""

from __future__ import annotations

import io
import wave
from pathlib import PurePosixPath

import numpy as np

from optim.errors import DataError

__all__ = ["MAX_FRAMES", "decode_sound", "is_sound"]

MAX_FRAMES = 60 * 48_000
"""Length of one clip: a minute."""

_DTYPES = {1: "u1", 2: "<i2", 4: "<i4"}


def is_sound(name: str) -> bool:
    """Whether a file is a sound by its name."""
    return PurePosixPath(name).suffix.lower() == ".wav"


def decode_sound(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Return ``(C, L)`` float32 amplitudes and the rate in samples a second.

    Args:
        data: The file's bytes.
        name: Its relative name, for messages.

    Raises:
        DataError: If it is damaged, too long, or no plain PCM.
    """
    try:
        with wave.open(io.BytesIO(data)) as sound:
            channels, width, frames = sound.getnchannels(), sound.getsampwidth(), sound.getnframes()
            if frames > MAX_FRAMES:
                raise DataError(f"{name!r} is longer than {MAX_FRAMES:,} samples.")
            if width not in _DTYPES or channels not in (1, 2):
                raise DataError(
                    f"{name!r} has {channels} channels of {8 * width} bits.",
                    hint="Save it as 16-bit PCM with one channel.",
                )
            rate, raw = sound.getframerate(), sound.readframes(frames)
    except (wave.Error, EOFError, ValueError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name!r} is not a plain WAV file, or it is damaged.",
            hint="Save it as 16-bit PCM with one channel.",
        ) from error
    raw = raw[: len(raw) // (channels * width) * channels * width]
    if not raw:
        raise DataError(f"{name!r} holds no sound.")
    values = np.frombuffer(raw, _DTYPES[width]).astype(np.float32)
    middle, top = (128.0, 128.0) if width == 1 else (0.0, 2.0 ** (8 * width - 1))
    return np.ascontiguousarray(((values - middle) / top).reshape(-1, channels).T), rate
