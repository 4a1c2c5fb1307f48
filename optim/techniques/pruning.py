"""What the techniques that prune have in common: fields, losses on labels, and a warning.

Not a technique itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from optim.errors import CalibrationError
from optim.fields import Choice, PerLayer, Range

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = [
    "LAYERS",
    "REFIT",
    "REFIT_SAMPLES",
    "SCOPE",
    "SPARSITY",
    "emptied",
    "losses_on_labels",
    "refitted_to",
]

SPARSITY = Range(
    low=0.0,
    high=0.99,
    step=0.01,
    scale="percent",
    label="Sparsity",
    help="Share of the weights that are zero in the end.",
)
SCOPE = Choice(
    options={"global": "Global", "local": "Per layer"},
    label="Scope",
    help="Global compares weights of all layers; per layer gives each the same sparsity.",
)
REFIT = Choice(
    options={False: "No", True: "Yes"},
    label="Refit weights",
    help="Fits the weights that stay, layer by layer, so that each gives what it gave before. "
    "Takes seconds, and wins back much of what is lost without training. Channels that are trained "
    "afterwards come out better without.",
)
REFIT_SAMPLES = 256
"""Samples that the weights of a smaller network are refitted on."""
LAYERS = PerLayer(
    overrides="sparsity",
    label="Layers",
    help="Sparsity of single layers; 0 leaves a layer alone.",
)


def losses_on_labels(
    module: nn.Module, bundle: ModelBundle, context: Context, count: int, at_once: int, title: str
) -> Iterator[Tensor]:
    """Yield the losses of a module on labelled samples, which add up to the mean over all.

    Args:
        module: A copy of the bundle's, which gradients may be left in.
        bundle: Its task says which loss.
        context: Samples.
        count: How many.
        at_once: Samples of one loss.
        title: Who asks, for the error.

    Raises:
        CalibrationError: If samples have no labels.
    """
    from optim.train import label_loss

    x, targets = context.calibration(count)
    if targets.ndim == 1 and bool((targets < 0).any()):
        raise CalibrationError(
            f"{title} needs labels, and the data have none.",
            hint="Choose magnitude, or another way that needs none.",
        )
    objective = label_loss(bundle.task)
    for start in range(0, len(x), at_once):
        context.check()
        batch = slice(start, start + at_once)
        loss = objective(module(x[batch]), targets[batch], x[batch])
        yield loss * len(x[batch]) / len(x)


def refitted_to(
    bundle: ModelBundle,
    pruned: nn.Module,
    context: Context,
    kept: Mapping[tuple[str, str], Tensor],
    masks: Mapping[str, Tensor],
    behind: Iterable[str] = (),
) -> tuple[nn.Module, str]:
    """Return a smaller module with weights fitted to what a model gave, and a note.

    Args:
        bundle: The model before it was pruned.
        pruned: What is left of its module.
        context: Samples.
        kept: ``{(layer, side): positions}`` of the layers that lost some.
        masks: ``{layer: mask}`` of weights that must stay zero.
        behind: Further layers whose inputs are others than before.
    """
    from optim.layers.graph import fork
    from optim.layers.reconstruction import most_samples, original_outputs, refitted
    from optim.layers.rewrite import weights_of

    most = context.memo(
        f"most:{bundle.hash}", lambda: most_samples(bundle.module, bundle.spec.shape)
    )
    x, _ = context.calibration(min(REFIT_SAMPLES, most))
    wanted = context.memo(
        f"outputs:{bundle.hash}:{context.key}:{len(x)}",
        lambda: original_outputs(bundle.module, x),
    )
    layers = refitted(pruned, x, wanted, kept, masks, context.check, behind)
    module = fork(pruned)
    for name, layer in layers.items():
        module.set_submodule(name, layer)
    count = len(weights_of(module).keys() & layers.keys())
    return module, f"The weights of {count} layers were refitted on {len(x)} samples."


def emptied(masks: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Say which layers have no weight left: what comes before them no longer matters."""
    empty = [name for name, mask in masks.items() if not mask.any()]
    if not empty:
        return ()
    return (
        f"No weight is left in {', '.join(empty)}: give single layers a sparsity of their own, "
        "or all the same with the scope per layer.",
    )
