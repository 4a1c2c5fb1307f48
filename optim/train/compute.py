"""Precision, layout and compilation of the arithmetic: faster or not, and by how much."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from optim.errors import RunError
from optim.train.state import copied, overwrite_, tensors_of

__all__ = ["Compute", "Precision", "compiled"]

Precision = Literal["float32", "bfloat16"]

_TIMED = 3
"""Steps timed before and after compilation."""


@dataclass(frozen=True)
class Compute:
    """How the arithmetic of a training is done.

    Attributes:
        precision: ``bfloat16`` multiplies in half the bits where that is safe; weights, sums and
            the loss stay in float32. It has the range of float32, so the loss needs no scaling.
        channels_last: Whether images and convolutions keep channels together in memory.
        compile: Whether the model is compiled; what that cost and gained is told.
    """

    precision: Precision = "float32"
    channels_last: bool = True
    compile: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context in which outputs and loss are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def place(self, x: Tensor) -> Tensor:
        """Return a batch in the layout of the convolutions."""
        if x.ndim != 4:
            return x
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return x.contiguous(memory_format=layout)

    def place_module(self, module: nn.Module, device: torch.device, images: bool) -> None:
        """Move a module, with its convolutions in the layout that was chosen for images."""
        module.to(device)
        last = images and self.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        for parameter in module.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)


def compiled(
    module: nn.Module,
    loss_of: Callable[[Callable[[Tensor], Tensor]], Tensor],
    steps: int,
    note: Callable[[str], None],
) -> Callable[[Tensor], Tensor]:
    """Compile a module in training mode, and tell what that costs and gains.

    The module and the global generator are afterwards as they were.

    Args:
        module: What is trained.
        loss_of: Returns the loss of one batch for a forward function.
        steps: Of the whole training.
        note: Called with one sentence.

    Raises:
        RunError: If the compiler does not work here.
    """
    before = copied(tensors_of(module))
    fast: Callable[[Tensor], Tensor] = torch.compile(module)

    def timed(forward: Callable[[Tensor], Tensor]) -> float:
        start = time.perf_counter()
        loss_of(forward).backward()
        for parameter in module.parameters():
            parameter.grad = None
        overwrite_(module, before)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        timed(module)
        plain = min(timed(module) for _ in range(_TIMED))
        try:
            # Statistics that change in a step can make the compiler start again in the second.
            cost = timed(fast) + timed(fast)
        except (RuntimeError, ImportError, OSError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise RunError(
                f"torch.compile does not work here: {reason}.",
                hint="Train without it, or install a C++ compiler.",
            ) from error
        quick = min(timed(fast) for _ in range(_TIMED))
    note(_verdict(cost, plain, quick, steps))
    return fast


def _verdict(cost: float, plain: float, quick: float, steps: int) -> str:
    """Return what compilation cost and gained, in one sentence."""
    told = (
        f"Compiling took {cost:.1f} s; a step then took {1000 * quick:.1f} ms instead of "
        f"{1000 * plain:.1f} ms"
    )
    if quick >= plain:
        return f"{told}: it gained nothing."
    needed = cost / (plain - quick)
    worth = "paid off" if needed < steps else "did not pay off"
    return f"{told}, so it {worth}: it takes {needed:,.0f} steps to win that back, of {steps:,}."
