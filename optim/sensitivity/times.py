"""What changes of single layers gain in time: their files against the original's, on this machine.

Multiply-accumulates say little about it. In 8 bits the wide pictures and few channels of early
layers take the most time for their work, and some narrower layers are no faster at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from optim.errors import OptimError
from optim.export.deploy import onnx_bytes
from optim.measure.latency import compare_files
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.sensitivity.profile import Cell, Profile
from optim.sensitivity.trials import on_layers, remembering, techniques
from optim.step import Context, apply_step
from optim.subject import Subject
from optim.techniques.calibrations import MinMax
from optim.techniques.quantize import Quantize

__all__ = ["Clock", "timed"]

_QUANTIZE = Quantize(samples=32, calibration=MinMax(), weight_calibration=MinMax())
"""Ranges do not matter to how long integers take, and should not take long either."""
_ROUNDS = 15

Told = Callable[[float, str], None]


class Clock:
    """Measures how long models take beside the original, one sample on one thread.

    Both are files of 8 bits in ONNX Runtime, which take turns; files in floating point where the
    original cannot be quantized.

    Args:
        subject: The original and its data.
        check: Called between pieces; raises to stop.
    """

    def __init__(self, subject: Subject, check: Callable[[], None] = lambda: None) -> None:
        self._context = Context(subject.data, subject.bundle, subject.seed, "quantize", check=check)
        self._check = check
        self._interface = subject.bundle.interface
        inputs = subject.samples().inputs[:1]
        self._sample: np.ndarray = subject.bundle.spec.normalise(inputs).numpy()
        try:
            self._original = self._file(subject.bundle, is_quantized=True)
            self._is_quantized = True
        except OptimError:
            self._original = self._file(subject.bundle, is_quantized=False)
            self._is_quantized = False

    def __call__(self, bundle: ModelBundle) -> Quantity:
        """Return the latency of a model over that of the original, below 1 if it is faster.

        Raises:
            OptimError: If there is no file of it that the runtime takes.
        """
        file = self._file(bundle, is_quantized=self._is_quantized)
        found = compare_files(
            self._original,
            file,
            self._sample,
            1,
            interface=self._interface,
            rounds=_ROUNDS,
            check=self._check,
        )
        return found.change.difference

    def _file(self, bundle: ModelBundle, *, is_quantized: bool) -> bytes:
        self._check()
        if is_quantized:
            bundle = apply_step(_QUANTIZE, bundle, self._context).bundle
        return onnx_bytes(bundle)


def timed(
    profile: Profile,
    subject: Subject,
    told: Told = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Profile]:
    """Yield a profile with the times of more and more of its cells, technique by technique.

    Only techniques that take work away are looked at: in fewer bits, or with zeros among them, a
    layer runs on the same kernels.

    Args:
        profile: What layers can spare.
        subject: Its model and data.
        told: Called with a share in 0..1 and what is being done.
        check: Called between pieces; raises to stop.
    """
    left = [c for c in profile.cells if c.technique in profile.structural and c.time is None]
    if not left:
        return
    clock = Clock(subject, check)
    found: dict[Cell, Cell] = {}
    for name in dict.fromkeys(cell.technique for cell in left):
        context = Context(
            subject.data, subject.bundle, subject.seed, name, check=check, memo=remembering()
        )
        step = techniques()[name]()
        for cell in (c for c in left if c.technique == name):
            told(len(found) / len(left), f"timing {len(found) + 1} of {len(left)} variants")
            one = on_layers(step, {cell.layer: cell.level})
            bundle = apply_step(one, subject.bundle, context).bundle
            found[cell] = replace(cell, time=clock(bundle))
        yield replace(profile, cells=tuple(found.get(cell, cell) for cell in profile.cells))
