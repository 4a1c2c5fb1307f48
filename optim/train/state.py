"""What a stopped training needs to go on as if nothing had happened: tensors and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "States",
    "copied",
    "is_finite",
    "overwrite_",
    "random_state",
    "restore_random",
    "tensors_of",
]

T = TypeVar("T")


class States(Protocol):
    """Where states are kept; see :class:`optim.step.Resume`."""

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last; None at first."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state."""
        ...

    def due(self) -> bool:
        """Whether a state in mid-epoch should be saved as well."""
        ...


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers by name, counters included."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    return {**parameters, **dict(module.named_buffers())}


@torch.no_grad()
def overwrite_(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Write values into parameters and buffers of the same names."""
    for name, tensor in tensors_of(module).items():
        tensor.copy_(values[name])


def is_finite(module: nn.Module) -> bool:
    """Whether all parameters and buffers are numbers."""
    floats = [t for t in tensors_of(module).values() if t.is_floating_point()]
    return bool(torch.stack([t.isfinite().all() for t in floats]).all())


def copied(value: T, device: torch.device | None = None) -> T:
    """Return a copy of nested plain values in which every tensor is one of its own.

    Args:
        value: Mappings, lists, tuples, tensors, plain values.
        device: Where the copies of tensors lie; by default where they were.
    """
    found: Any = value
    if isinstance(value, Tensor):
        found = value.detach().clone() if device is None else value.detach().to(device, copy=True)
    elif isinstance(value, Mapping):
        found = {key: copied(item, device) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(copied(item, device) for item in value)
    return found


def random_state(generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """Return the states of a generator and of the global ones, from which dropout draws."""
    state = {"own": generator.get_state(), "global": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random(
    state: Mapping[str, Tensor], generator: torch.Generator, device: torch.device
) -> None:
    """Set the generators to the states that :func:`random_state` returned."""
    generator.set_state(state["own"])
    torch.set_rng_state(state["global"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
