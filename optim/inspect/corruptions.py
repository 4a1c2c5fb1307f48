"""Samples as a worse sensor would have taken them, at five severities.

Compressed models often keep their accuracy on clean samples and lose it on worse ones. Three
corruptions of Hendrycks and Dietterich are applied here: noise of a sensor, a blurred picture, and
little contrast. Series and tables, which have no picture to blur, get noise in proportion to how
much their channels or features vary.

References:
    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations, 2019, arXiv:1903.12261

    Differs from the paper: three of the fifteen corruptions; any size of picture. Up to 32 pixels
    the strengths are those of CIFAR-10-C, from 224 pixels on those of ImageNet-C, and between them
    they go from one to the other with the logarithm of the shorter side; the blur grows further
    with larger pictures. A sample gets the same noise at every severity, only stronger, so that
    severities differ in nothing else. Nothing is stored as JPEG. The noise of series and tables is
    our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from optim.errors import ConfigError

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "Corruption",
    "Extent",
    "corrupted",
    "extent_of",
    "refusal",
]

SEVERITIES = (1, 2, 3, 4, 5)

_SMALL, _LARGE = 32, 224
_NOISE = ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
_BLUR = ((0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0))
_CONTRAST = ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
"""Strengths by severity, of CIFAR-10-C and of ImageNet-C."""
_SPREAD = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Noise of series and tables, in standard deviations of the channel or feature."""


@dataclass(frozen=True)
class Corruption:
    """One way in which samples get worse.

    Attributes:
        title: For a reader.
        about: What it does, in one sentence.
        only_pictures: Whether it needs samples that are pictures.
        apply: Changes ``(N, ...)`` float64 samples, given the severity, a generator, and the unit
            of an :class:`Extent`.
    """

    title: str
    about: str
    only_pictures: bool
    apply: Callable[[np.ndarray, int, np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Extent:
    """How far the values of samples reach.

    Attributes:
        low: Least value that pictures keep to; minus infinity for others.
        high: Largest one; infinity for others.
        unit: Of noise: the range of pictures, ``()``; the standard deviation of each channel of
            series, ``(C, 1)``, or feature of a table, ``(F,)``.
    """

    low: float
    high: float
    unit: np.ndarray


def _strength(table: tuple[tuple[float, ...], ...], severity: int, side: int) -> float:
    """Return a strength for pictures whose shorter side has so many pixels."""
    share = (math.log(side) - math.log(_SMALL)) / (math.log(_LARGE) - math.log(_SMALL))
    small, large = (row[severity - 1] for row in table)
    return small + (large - small) * min(1.0, max(0.0, share))


def _noise(
    x: np.ndarray, severity: int, generator: np.random.Generator, unit: np.ndarray
) -> np.ndarray:
    is_picture = x.ndim == 4
    share = _strength(_NOISE, severity, min(x.shape[2:])) if is_picture else _SPREAD[severity - 1]
    found: np.ndarray = x + share * unit * generator.standard_normal(x.shape, np.float32)
    return found


def _blur(
    x: np.ndarray, severity: int, generator: np.random.Generator, unit: np.ndarray
) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    side = min(x.shape[2:])
    pixels = _strength(_BLUR, severity, side) * max(1.0, side / _LARGE)
    found: np.ndarray = gaussian_filter(x, (0, 0, pixels, pixels), mode="nearest")
    return found


def _contrast(
    x: np.ndarray, severity: int, generator: np.random.Generator, unit: np.ndarray
) -> np.ndarray:
    middle = x.mean(axis=(2, 3), keepdims=True)
    found: np.ndarray = (x - middle) * _strength(_CONTRAST, severity, min(x.shape[2:])) + middle
    return found


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption("Noise", "Normal noise on every value.", False, _noise),
    "blur": Corruption("Blur", "A picture out of focus, by a Gaussian.", True, _blur),
    "contrast": Corruption("Contrast", "Every picture closer to its own mean.", True, _contrast),
}
"""Every corruption by name."""


def refusal(name: str, inputs: np.ndarray) -> str:
    """Say why samples cannot be corrupted in a way; empty where they can.

    Raises:
        ConfigError: If there is no such corruption.
    """
    is_picture = inputs.ndim == 4
    if _named(name).only_pictures and not is_picture:
        what = "series" if inputs.ndim == 3 else "rows of a table"
        return f"The samples are {what}, and only pictures can be changed in this way."
    return ""


def extent_of(inputs: np.ndarray) -> Extent:
    """Return how far the values of samples reach.

    Args:
        inputs: As :func:`corrupted` takes them.
    """
    if inputs.ndim == 4:
        is_bytes = inputs.dtype == np.uint8
        low, high = (0.0, 255.0) if is_bytes else (float(inputs.min()), float(inputs.max()))
        return Extent(low, high, np.array(high - low))
    spread = np.array([inputs[:, i].std(dtype=np.float64) for i in range(inputs.shape[1])])
    return Extent(-np.inf, np.inf, spread.reshape(-1, *[1] * (inputs.ndim - 2)))


def corrupted(
    inputs: np.ndarray,
    name: str,
    severity: int,
    seed: int | Sequence[int] = 0,
    extent: Extent | None = None,
) -> np.ndarray:
    """Return samples that are worse than they were.

    Args:
        inputs: ``(N, C, H, W)`` bytes in 0..255 or floats; ``(N, C, L)`` series; ``(N, F)`` tables.
        name: A key of :data:`CORRUPTIONS`.
        severity: 1 to 5.
        seed: Of the noise; the same for every severity.
        extent: Of all samples that are compared, where these are some of them; their own if None.

    Returns:
        Samples of the same shape and type. Pictures keep to the range of the extent: bytes to
        0..255, floats to the least and largest value.

    Raises:
        ConfigError: If there is no such corruption or severity, or these samples cannot be
            corrupted in that way.
    """
    corruption = _named(name)
    if severity not in SEVERITIES:
        raise ConfigError(
            f"severity must be one of {', '.join(map(str, SEVERITIES))}: got {severity}.",
            field="severity",
        )
    if why := refusal(name, inputs):
        raise ConfigError(why, field="corruption")
    generator = np.random.default_rng(seed)
    extent = extent or extent_of(inputs)
    x = corruption.apply(inputs.astype(np.float64), severity, generator, extent.unit)
    x = np.clip(x, extent.low, extent.high)
    return (np.rint(x) if inputs.dtype == np.uint8 else x).astype(inputs.dtype)


def _named(name: str) -> Corruption:
    if name not in CORRUPTIONS:
        raise ConfigError(
            f"corruption must be one of {', '.join(CORRUPTIONS)}: got {name!r}.", field="corruption"
        )
    return CORRUPTIONS[name]
