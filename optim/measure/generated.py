"""Make inputs for a model where there are no data: fidelity can then still be measured.

A batch norm remembers mean and variance of what it saw in training. Noise is moved by gradient
descent until its activations have the same in every batch norm; the inputs then drive the network
as its own data would, and quantization ranges taken from them fit. They lie nearer to the borders
between classes than real samples do, so that agreement on them is rather too low than too high. A
model without batch norms, and an ONNX graph that is kept as it is, get normal noise: agreement on
that says little about agreement on data.

The work is bounded by multiply-accumulates, not by a clock: the same model gets the same inputs
everywhere. They are kept on disk.

References:
    Cai et al., ZeroQ: A Novel Zero Shot Quantization Framework, 2020, arXiv:2001.00281.
Differs from the paper: the distance is the divergence between normal distributions, which weighs
layers of any range alike, in place of squared differences; a batch is at most 64 inputs.
"""

from __future__ import annotations

import copy
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from optim.data.dataset import Dataset, Samples, cached_part
from optim.data.generated import Generated
from optim.data.task import NO_LABEL, Unlabelled
from optim.device import compute_device
from optim.hashing import digest
from optim.layers.rewrite import norm_layers
from optim.measure.macs import layer_costs
from optim.models.bundle import ModelBundle, TorchModel
from optim.models.input_spec import InputSpec

__all__ = ["divergence", "generated_data", "matched_inputs"]

_VERSION = 1
"""Raised whenever the same model and fields give other inputs."""
_BUDGET_MACS = 6e10
"""Work for all inputs of a model together: some 10 s on two cores of today."""
_NUMBERS = 2**26
"""Numbers of all inputs together, 256 MB: of large ones fewer are made, but ``_FEW`` at least."""
_FEW = 16
_BATCH = 64
_BATCH_BYTES = 500_000_000
"""Activations of one batch, kept for the gradient."""
_STEPS = range(8, 25)
"""Fewer steps than the first do not get near the statistics; more than the last gain nothing."""
_RATE = 0.3
_PASSES = 3
"""A forward pass and the gradient with respect to the input, in forward passes."""
_TINY = 1e-8


def generated_data(bundle: ModelBundle, config: Generated, ref: str) -> Dataset:
    """Return inputs made for a model as a data set without labels and without parts.

    Args:
        bundle: The model, with the input it is used with.
        config: How many, and the seed.
        ref: How they were asked for.
    """
    identity = digest("generated", _VERSION, config.model_dump(mode="json"), bundle.hash)
    count = min(config.samples, max(_FEW, _NUMBERS // prod(bundle.spec.shape)))
    steps, note = _plan(bundle, count)

    def make() -> Samples:
        noise = _noise(bundle, count, config.seed)
        x = matched_inputs(bundle.module, noise, steps) if steps else noise
        return Samples(_raw(bundle, x), np.full(count, NO_LABEL, np.int64), np.arange(count))

    return Dataset(
        ref=ref,
        title=f"{config.title} ({'matched' if steps else 'random'})",
        task=Unlabelled(),
        hash=identity,
        parts={"all": count},
        input_shape=bundle.spec.shape,
        load=lambda part: cached_part(identity, part, make),
        notes=(note,),
        is_generated=True,
    )


def _plan(bundle: ModelBundle, samples: int) -> tuple[int, str]:
    """Return how many steps are affordable, 0 for noise, and what a reader should know."""
    if bundle.interface is not None and bundle.interface.takes_whole_numbers:
        return 0, f"Inputs are whole numbers, drawn evenly from those the model takes. {_LITTLE}"
    noise = "Inputs are normal noise"
    if not isinstance(bundle.content, TorchModel):
        return 0, f"{noise}: the model is kept as an ONNX graph. {_LITTLE}"
    norms = norm_layers(bundle.module)
    if not norms:
        return 0, f"{noise}: the model has no batch norm to match them to. {_LITTLE}"
    macs = sum(cost.macs for cost in layer_costs(bundle.module, bundle.spec.shape))
    steps = int(_BUDGET_MACS / max(1, _PASSES * macs * samples))
    if steps < _STEPS[0]:
        return 0, f"{noise}: the model is too large to match {samples} inputs to it. {_LITTLE}"
    note = (
        f"Inputs are matched to the statistics of the model's {len(norms)} batch norms. Real "
        "samples are mostly easier: agreement on them is rather higher."
    )
    return min(steps, _STEPS[-1]), note


_LITTLE = "Fidelity on them says little about fidelity on data."


def matched_inputs(module: nn.Module, noise: Tensor, steps: int) -> Tensor:
    """Move noise until its activations have the mean and variance that batch norms remember.

    Args:
        module: A module with batch norms, in evaluation mode; it is unchanged.
        noise: ``(N, ...)`` normal noise, normalised as the module takes it.
        steps: Steps of gradient descent.

    Returns:
        ``(N, ...)`` normalised inputs.
    """
    own = copy.deepcopy(module).eval().requires_grad_(False).to(compute_device())
    apart: list[Tensor] = []
    for norm in norm_layers(own).values():
        norm.register_forward_pre_hook(lambda layer, args: apart.append(divergence(args[0], layer)))
    size = _batch_size(module, tuple(noise.shape[1:]))
    return torch.cat([_descend(own, apart, part, steps) for part in noise.split(size)])


def _batch_size(module: nn.Module, shape: tuple[int, ...]) -> int:
    numbers = sum(cost.activations for cost in layer_costs(module, shape))
    return max(8, min(_BATCH, int(_BATCH_BYTES / (4 * _PASSES * max(1, numbers)))))


def _descend(own: nn.Module, apart: list[Tensor], noise: Tensor, steps: int) -> Tensor:
    """Move one batch; what its activations lack in each layer is found in ``apart``."""
    start = noise.to(compute_device())
    mean, variance = _statistics(start)
    x = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([x], lr=_RATE * float(variance.mean().sqrt()))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        apart.clear()
        own(x)
        # The inputs themselves stay as widely spread as the noise they come from.
        loss = torch.stack([_apart(x, mean, variance), *apart]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return x.detach().cpu()


def divergence(x: Tensor, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
    """Return how far activations are from what a batch norm remembers, mean over channels.

    The Kullback-Leibler divergence between two normal distributions, in nats:
    ``(log(v'/v) + (v + (m - m')^2) / v' - 1) / 2`` with ``m, v`` of the activations and ``m', v'``
    of the layer.

    Args:
        x: ``(N, C, ...)`` what the layer is given.
        layer: With running statistics.
    """
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return _apart(x, layer.running_mean, layer.running_var + layer.eps)


def _apart(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    own_mean, own = _statistics(x)
    found: Tensor = (variance / own).log() + (own + (own_mean - mean) ** 2) / variance - 1
    return found.mean() / 2


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of ``(N, C, ...)``."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    return x.mean(axes), x.var(axes, unbiased=False) + _TINY


def _noise(bundle: ModelBundle, count: int, seed: int) -> Tensor:
    """Return normalised noise, or whole numbers where the model takes nothing else."""
    if bundle.interface is not None and bundle.interface.takes_whole_numbers:
        return torch.from_numpy(bundle.interface.draw(bundle.spec.shape, count, seed))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, *bundle.spec.shape, generator=generator)
    if bundle.spec.scale != 1 and not bundle.spec.mean:
        # It takes bytes as 0..1, and nobody says how they are spread there: evenly.
        return noise / 12**0.5 + 0.5
    return noise


def _raw(bundle: ModelBundle, x: Tensor) -> np.ndarray:
    """Return normalised inputs as raw samples, which the model's input normalises again."""
    return bundle.spec.to(InputSpec(bundle.spec.shape))(x).numpy()
