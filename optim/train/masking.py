"""Weights that must stay zero while training: always the same ones, or more and more.

Gradually more weights are removed, so that the others take over what they did. With re-growth, some
of the smallest weights are exchanged for those missing ones that the loss pulls most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from optim.errors import ConfigError
from optim.hashing import digest, digest_arrays
from optim.layers.masks import global_masks, lowest_mask

__all__ = ["Criterion", "Gradual", "GradualMasks", "MaskScope", "Masks", "Removal"]

Removal = Literal["one_shot", "linear", "cubic"]
MaskScope = Literal["global", "local"]
Criterion = Literal["magnitude", "movement"]

_POWERS: dict[str, int] = {"linear": 1, "cubic": 3}


class Masks:
    """Masks that never change.

    Args:
        masks: ``{layer: mask}``, False where the layer's weight must be zero.

    Attributes:
        current: The masks as they are now.
        movement: ``{layer: score}`` of weights that are judged by how they move; empty otherwise.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self.current: dict[str, Tensor] = dict(masks)
        self.movement: dict[str, Tensor] = {}
        self._weights: dict[str, nn.Parameter] = {}

    @property
    def key(self) -> str:
        """Identity of all that decides the masks besides the weights."""
        return _hash_of(self.current)

    def attach(self, module: nn.Module, device: torch.device) -> None:
        """Find the weights in a module, and move the masks to them."""
        self._weights = {n: module.get_parameter(f"{n}.weight") for n in self.current}
        self.current = {name: mask.to(device) for name, mask in self.current.items()}
        self.movement = {name: score.to(device) for name, score in self.movement.items()}
        self.zero_weights_()

    def detach(self) -> None:
        """Move the masks back to the CPU, and forget the module."""
        self._weights = {}
        self.current = {name: mask.cpu() for name, mask in self.current.items()}
        self.movement = {name: score.cpu() for name, score in self.movement.items()}

    def update(self, step: int, steps: int) -> tuple[str, ...]:
        """Change the masks, after the gradients of a step are known; return layers concerned."""
        return ()

    def is_final(self, step: int, steps: int) -> bool:
        """Whether masks no longer change in or after a step."""
        return True

    @torch.no_grad()
    def zero_gradients_(self) -> None:
        """Let masked weights have no part in the gradient, its norm and its momentum."""
        for name, weight in self._weights.items():
            if weight.grad is not None:
                weight.grad.mul_(self.current[name])

    @torch.no_grad()
    def zero_weights_(self) -> None:
        """Set masked weights to zero."""
        for name, weight in self._weights.items():
            weight.mul_(self.current[name])

    def load(self, masks: Mapping[str, Tensor], movement: Mapping[str, Tensor]) -> None:
        """Go on with the masks and scores of a state."""
        self.current = {name: masks[name].to(mask.device) for name, mask in self.current.items()}
        self.movement = {n: movement[n].to(score.device) for n, score in self.movement.items()}


@dataclass(frozen=True)
class Gradual:
    """When how many weights are removed.

    Attributes:
        sparsity: Share of the weights that are zero in the end, in 0..1.
        removal: ``one_shot`` removes all at the start; ``linear`` evenly; ``cubic`` many at first,
            when there are many to spare, and few in the end.
        start: Share of the steps before the first removal.
        end: Share of the steps after the last one; the rest trains what is left.
        updates: Removals from start to end, evenly spaced.
        scope: ``global`` compares weights of all layers, ``local`` gives each the same sparsity.
        regrow: Share of a layer's weights that are exchanged at first; falls to zero along a cosine
            until the end. 0 never brings a weight back.
        criterion: ``magnitude`` removes the smallest weights; ``movement`` those that training has
            moved most towards zero, by the sum of ``-weight * gradient`` over all steps so far.

    References:
        cubic: Zhu and Gupta, To Prune, or Not to Prune, 2017, arXiv:1710.01878
        re-growth: Evci et al., Rigging the Lottery (RigL), 2020, arXiv:1911.11134
        movement: Sanh et al., Movement Pruning, 2020, arXiv:2005.07683; here weights that are gone
            collect no score
    """

    sparsity: float
    removal: Removal = "cubic"
    start: float = 0.0
    end: float = 0.75
    updates: int = 20
    scope: MaskScope = "global"
    regrow: float = 0.0
    criterion: Criterion = "magnitude"

    def __post_init__(self) -> None:
        options_of = {"removal": Removal, "scope": MaskScope, "criterion": Criterion}
        for name, options in options_of.items():
            value = getattr(self, name)
            if value not in get_args(options):
                raise ConfigError(
                    f"{name} must be one of {', '.join(get_args(options))}: got {value!r}.",
                    field=name,
                )
        if not 0 <= self.start <= self.end <= 1:
            raise ConfigError(
                f"start and end must lie in 0..1 in this order: got {self.start} and {self.end}.",
                field="end",
            )

    def sparsity_at(self, update: int, initial: float = 0.0) -> float:
        """Return the sparsity after an update, counted from 0 to :attr:`updates`."""
        left = 0.0
        if self.removal != "one_shot":
            left = (1 - update / self.updates) ** _POWERS[self.removal]
        return self.sparsity + (initial - self.sparsity) * left

    def exchanged_at(self, update: int) -> float:
        """Return the share of a layer's weights that an update exchanges."""
        return self.regrow * 0.5 * (1 + math.cos(math.pi * update / self.updates))

    def update_at(self, step: int, steps: int) -> int | None:
        """Return which update a step makes; None if none. The last of several in one step."""
        first, last = self._ends(steps)
        if not first <= step <= last:
            return None
        if step == last:
            return self.updates
        # Update k is due at first + k * spacing, rounded to a whole step.
        spacing = (last - first) / self.updates
        update = math.ceil((step - first + 0.5) / spacing) - 1
        return update if math.floor(first + update * spacing + 0.5) == step else None

    def is_over(self, step: int, steps: int) -> bool:
        """Whether the last update comes before a step."""
        return step > self._ends(steps)[1]

    def _ends(self, steps: int) -> tuple[int, int]:
        last = min(steps - 1, round(self.end * steps))
        return min(last, round(self.start * steps)), last


class GradualMasks(Masks):
    """Masks that grow while training.

    Args:
        settings: When how many.
        shapes: ``{layer: shape}`` of the weights that are removed.
        fixed: ``{layer: mask}`` of earlier steps; what is zero there never comes back.
        sparsities: ``{layer: sparsity}`` of layers that have one of their own.
    """

    def __init__(
        self,
        settings: Gradual,
        shapes: Mapping[str, Sequence[int]],
        fixed: Mapping[str, Tensor] | None = None,
        sparsities: Mapping[str, float] | None = None,
    ) -> None:
        free = {name: torch.ones(tuple(shape), dtype=torch.bool) for name, shape in shapes.items()}
        self._fixed = {**free, **{n: m.cpu() for n, m in (fixed or {}).items()}}
        super().__init__({name: mask.clone() for name, mask in self._fixed.items()})
        self._layers = tuple(shapes)
        own = dict(sparsities or {})
        alone = [n for n in shapes if n in own or settings.scope == "local"]
        self._groups = [
            (replace(settings, sparsity=own.get(n, settings.sparsity)), [n]) for n in alone
        ]
        if together := [n for n in shapes if n not in alone]:
            self._groups.append((settings, together))
        self.settings = settings
        if settings.criterion == "movement":
            self.movement = {name: torch.zeros(mask.shape) for name, mask in free.items()}

    @property
    def key(self) -> str:
        """Identity of all that decides the masks besides the weights."""
        groups = [[asdict(settings), names] for settings, names in self._groups]
        return digest(groups, _hash_of(self._fixed))

    def attach(self, module: nn.Module, device: torch.device) -> None:
        """Find the weights in a module, and move the masks to them."""
        super().attach(module, device)
        self._fixed = {name: mask.to(device) for name, mask in self._fixed.items()}

    def is_final(self, step: int, steps: int) -> bool:
        """Whether masks no longer change in or after a step."""
        return self.settings.is_over(step, steps)

    @torch.no_grad()
    def update(self, step: int, steps: int) -> tuple[str, ...]:
        """Change the masks, after the gradients of a step are known; return layers concerned."""
        if self.movement and not self.settings.is_over(step, steps):
            self._watch()
        update = self.settings.update_at(step, steps)
        if update is None:
            return ()
        self._remove(update)
        if share := self.settings.exchanged_at(update):
            for name in self._layers:
                self._exchange(name, share)
        self.zero_weights_()
        return self._layers

    def _watch(self) -> None:
        """Add to each weight's score how far this step moves it away from zero, to first order."""
        for name, score in self.movement.items():
            weight = self._weights[name]
            if weight.grad is not None:
                score.sub_(weight * weight.grad)

    def _remove(self, update: int) -> None:
        """Remove the weights of the lowest scores; what was removed before stays so."""
        for settings, names in self._groups:
            scores = {
                name: torch.where(
                    self._fixed[name], torch.where(self.current[name], score, -1.0), -2.0
                )
                for name, score in self._scores(names).items()
            }
            total = sum(score.numel() for score in scores.values())
            removed = sum(int((~self._fixed[name]).sum()) for name in names)
            wanted = round(settings.sparsity_at(update, removed / total) * total)
            self.current.update(global_masks(scores, max(removed, wanted)))

    def _scores(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return what each weight is worth, 0 or more."""
        if not self.movement:
            return {name: self._weights[name].abs() for name in names}
        lowest = min(float(self.movement[name].min()) for name in names)
        return {name: self.movement[name] - lowest for name in names}

    def _exchange(self, name: str, share: float) -> None:
        """Drop the smallest weights of a layer and grow as many where the loss pulls most."""
        weight, mask, fixed = self._weights[name], self.current[name], self._fixed[name]
        count = int(share * int(mask.sum()))
        if weight.grad is None or not count:
            return
        size = torch.where(mask, weight.abs(), torch.inf)
        kept = mask & lowest_mask(size, count)
        pull = torch.where(fixed & ~kept, weight.grad.abs(), -1.0)
        self.current[name] = kept | lowest_mask(pull, pull.numel() - count)


def _hash_of(masks: Mapping[str, Tensor]) -> str:
    return digest_arrays({name: mask.cpu().numpy() for name, mask in masks.items()})
