"""From a model to a file that was verified: made, loaded in its runtime, measured, packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from optim.data.dataset import Samples
from optim.export.targets import Order, refusal, target_of
from optim.export.verify import Verification, further_inputs, verify_file
from optim.measure.chance import Check
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe

__all__ = ["Delivery", "deliver", "order_of"]

_SAMPLES = 16
"""Samples that go into a file which holds some."""


@dataclass(frozen=True, eq=False)
class Delivery:
    """A file that may be handed over.

    Attributes:
        data: Its bytes.
        suffix: End of its name.
        deployed: The model it holds.
        verification: What it does in its runtime.
        checks: What to check between model and data, where the original was near chance already.
    """

    data: bytes
    suffix: str
    deployed: ModelBundle
    verification: Verification
    checks: tuple[Check, ...] = ()


def order_of(
    bundle: ModelBundle, recipe: Recipe, target: str, samples: Samples | None = None
) -> Order:
    """Return what a file of one kind is made of.

    Args:
        bundle: The model, compressed.
        recipe: How it was made.
        target: A key of ``TARGETS``.
        samples: Raw samples; random inputs stand in where there are none.

    Raises:
        ConfigError: If there is no such kind.
        OptimError: If the model cannot be written as one, with the nearest thing that works.
    """
    kind = target_of(target)
    why = refusal(bundle, kind)
    if why is not None:
        raise why
    inputs = further_inputs(bundle, samples, _SAMPLES)
    return Order(kind.deployed(bundle), recipe, inputs.numpy())


def deliver(
    bundle: ModelBundle,
    recipe: Recipe,
    target: str,
    samples: Samples,
    *,
    more: Samples | None = None,
    progress: Callable[[float, str], None] = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Delivery:
    """Write a model as a file of one kind and verify it in its runtime.

    Args:
        bundle: The model, compressed.
        recipe: How it was made.
        target: A key of ``TARGETS``.
        samples: What file and simulation are compared on.
        more: Further samples where these are few.
        progress: Called with a share in 0..1 and what is being done.
        check: Called between batches; raises to stop.

    Raises:
        OptimError: If the model cannot be written so.
        ParityError: If the file does not do what was simulated.
    """
    progress(0.0, "writing the file")
    order, kind = order_of(bundle, recipe, target, samples), target_of(target)
    file = kind.make(order)
    verification = verify_file(
        file,
        order.bundle,
        samples,
        more=more,
        open_file=partial(kind.open, order),
        most=kind.most,
        progress=progress,
        check=check,
    )
    verification.require()
    data = kind.pack(order, file, verification) if kind.pack else file
    progress(1.0, "done")
    return Delivery(data, kind.suffix, order.bundle, verification)
