"""Every error this package raises on purpose.

::

    OptimError                      anything a caller may want to catch
    ├── ConfigError (ValueError)    an option, recipe, file name or field has an illegal value
    ├── UnsupportedModelError       the model as a whole cannot be treated
    ├── UnsupportedLayerError       one layer or operator cannot be treated
    ├── DataError (ValueError)      data are missing, broken or do not fit the model
    ├── CalibrationError            calibration data is missing or unusable
    ├── ExportError                 a file could not be written or was refused
    │   └── ParityError             an exported file does not compute what the model computes
    ├── MeasurementError            accuracy, latency or size could not be measured
    ├── MissingDependencyError (ImportError)   an optional package is needed
    ├── RunError                    a run or a worker process failed
    ├── AccessError                 who asks may not do this, or has reached a limit
    └── Cancelled                   the caller asked to stop; not a fault

A message names the value that is wrong and what is allowed; ``hint`` says what to do. Values come
from files of anybody: what is too long to read is cut, and what cannot be sent is escaped.
"""

from __future__ import annotations

import re

__all__ = [
    "AccessError",
    "CalibrationError",
    "Cancelled",
    "ConfigError",
    "DataError",
    "ExportError",
    "MeasurementError",
    "MissingDependencyError",
    "OptimError",
    "OptimWarning",
    "ParityError",
    "RunError",
    "UnsupportedLayerError",
    "UnsupportedModelError",
    "first_line",
]

_MAX_LENGTH = 900


class OptimError(Exception):
    """Base of all errors of this package.

    Args:
        message: What was wrong with which value, and what is allowed. One sentence.
        hint: What to do about it. One sentence, may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        message, hint = _legible(message), _legible(hint)
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class ConfigError(OptimError, ValueError):
    """An option has an illegal value.

    Args:
        message: See :class:`OptimError`.
        hint: See :class:`OptimError`.
        field: Dotted path of the offending field (``"quantize.weight_bits"``), so that a page
            can show the message at its control. Empty when no single field is at fault.
    """

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class UnsupportedModelError(OptimError):
    """The model as a whole cannot be treated: not traceable, no such architecture, wrong task."""


class UnsupportedLayerError(OptimError):
    """One layer or operator cannot be treated by what was asked."""


class DataError(OptimError, ValueError):
    """A data set or an encoded layer is missing, broken, empty, or does not fit the model."""


class CalibrationError(OptimError):
    """Calibration data is missing, of one class, or not finite."""


class ExportError(OptimError):
    """A file could not be written, or was refused after verification."""


class ParityError(ExportError):
    """An exported file does not compute what the model it came from computes."""


class MeasurementError(OptimError):
    """Accuracy, latency, size or energy could not be measured."""


class MissingDependencyError(OptimError, ImportError):
    """An optional package is needed and not installed; the hint says how to install it."""


class RunError(OptimError):
    """A run, or the worker process that executes it, failed."""


class AccessError(OptimError):
    """Who asks may not do this here, or has reached a limit the operator has set."""


class Cancelled(OptimError):
    """The caller asked to stop. Raised at the next safe point; nothing is half done."""

    def __init__(self, message: str = "Stopped as requested.") -> None:
        super().__init__(message)


class OptimWarning(UserWarning):
    """Category of every warning of this package."""


def first_line(error: BaseException, most: int = 200) -> str:
    """Return what another library's error says, as a part of a sentence."""
    lines = _ORIGIN.sub("", str(error).strip()).splitlines()
    return lines[0].rstrip(".")[:most] if lines else type(error).__name__


_ORIGIN = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
"""What ONNX Runtime puts before its sentences."""


def _legible(text: str) -> str:
    if len(text) > _MAX_LENGTH:
        text = f"{text[: _MAX_LENGTH - 3]}..."
    # Half a surrogate pair can be written in JSON and cannot be sent to a browser.
    return text.encode("utf-8", "backslashreplace").decode()
