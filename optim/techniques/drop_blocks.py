"""Remove whole residual blocks: fewer layers, one behind the other, cost less on any runtime.

A network with residual connections goes on without a block: the stream passes it by. Narrow layers
keep what a kernel costs to start and to fill; layers that are gone cost nothing. Which blocks go
is decided on a few hundred samples without labels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.errors import ConfigError
from optim.fields import Choice, PerLayer, Range
from optim.hashing import digest
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.pruning import REFIT, REFIT_SAMPLES, refitted_to

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.residual import Block
    from optim.models.bundle import ModelBundle

__all__ = ["DropBlocks"]

_GOES = 0.5
"""From this share of a single block on, it goes: half a block cannot stay."""


class DropBlocks(Step):
    """Depth pruning of residual networks.

    **Differs from the papers**: attention and perceptron of a transformer's layer are two blocks,
    and by outputs blocks go one after the other, each judged without those that are gone.
    """

    title: ClassVar[str] = "Drop blocks"
    about: ClassVar[str] = "Removes residual blocks: fewer layers, faster on every runtime."
    paper: ClassVar[str] = (
        "Veit et al., Residual Networks Behave Like Ensembles of Relatively Shallow Networks, "
        "2016, arXiv:1605.06431; Men et al., ShortGPT: Layers in Large Language Models are More "
        "Redundant Than You Expect, 2024, arXiv:2403.03853"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    removes: ClassVar[frozenset[str]] = frozenset({"bn_measured", "recovered", "bias_corrected"})
    sketches: ClassVar[bool] = True

    ratio: Annotated[
        float,
        Range(
            low=0.0,
            high=0.9,
            step=0.05,
            scale="percent",
            label="Blocks removed",
            help="Share of the residual blocks that goes, rounded to whole blocks.",
        ),
    ] = 0.2
    criterion: Annotated[
        Literal["outputs", "influence", "random"],
        Choice(
            options={"outputs": "By outputs", "influence": "By influence", "random": "Random"},
            label="First goes",
            help="What changes the model's outputs least without it, what turns its stream least, "
            "or any block, to compare with.",
        ),
    ] = "outputs"
    samples: Annotated[
        int,
        Range(
            low=16,
            high=1024,
            step=16,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples the blocks are judged on; labels are not used.",
            when={"criterion": ("outputs", "influence")},
            expert=True,
        ),
    ] = 128
    reconstruct: Annotated[bool, REFIT] = False
    layers: Annotated[
        dict[str, float],
        PerLayer(
            overrides="ratio",
            label="Blocks",
            help="Single blocks, named by any of their layers: 0 % keeps one, from 50 % it goes.",
            alone={"ratio": 0.0},
            tried=(0.9,),
            between=False,
        ),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether every block stays."""
        return self.ratio == 0 and all(share < _GOES for share in self.layers.values())

    @property
    def looks_at_data(self) -> bool:
        """Whether samples decide which blocks go, or what weights become."""
        return self.criterion != "random" or self.reconstruct

    @property
    def calibration_passes(self) -> int:
        """Samples that are run: by outputs once for every block and every place."""
        judged = {"outputs": 16, "influence": 1, "random": 0}[self.criterion] * self.samples
        return judged + REFIT_SAMPLES * self.reconstruct

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return a model with fewer layers, as a traced graph without architecture."""
        return self._applied(bundle, context, looks=True)

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model without as many blocks: the last ones, where samples decide."""
        return self._applied(bundle, context, looks=False).bundle

    def _applied(self, bundle: ModelBundle, context: Context, *, looks: bool) -> Applied:
        from torch import fx

        from optim.layers.residual import find_blocks, layers_behind, without_blocks
        from optim.layers.rewrite import check_mentioned, untreated_layers, weights_of

        blocks = find_blocks(bundle.module, bundle.spec.shape)
        check_mentioned(self.layers, weights_of(bundle.module), untreated_layers(bundle.module))
        single = {self._block(layer, blocks): share for layer, share in self.layers.items()}
        gone = {name for name, share in single.items() if share >= _GOES}
        free = [block for block in blocks if block.name not in single]
        count = round(self.ratio * len(free))
        if looks or self.criterion == "random":
            gone |= set(self._first(bundle, context, blocks, single, gone, count))
        else:
            gone |= {block.name for block in free[len(free) - count :]}
        dropped = tuple(block for block in blocks if block.name in gone)
        of = {layer: block for block in blocks for layer in block.layers}
        layers = tuple(
            LayerReport(name, name in of and of[name].name in gone, _detail(of.get(name), gone))
            for name in weights_of(bundle.module)
        )
        notes = () if blocks else ("The model has no residual blocks: nothing passes a layer by.",)
        report = StepReport(f"{len(dropped)} of {len(blocks)} blocks removed.", layers, notes)
        if not dropped:
            return Applied(bundle, report)
        left = without_blocks(bundle.module, dropped)
        if not (looks and self.reconstruct):
            return Applied(bundle.with_program(left), report)
        behind = layers_behind(bundle.module, dropped)
        refitted, note = refitted_to(bundle, left, context, {}, bundle.table.masks, behind)
        assert isinstance(refitted, fx.GraphModule)
        report = replace(report, notes=(*notes, note))
        return Applied(bundle.with_program(refitted), report)

    def _block(self, layer: str, blocks: tuple[Block, ...]) -> str:
        """Return the name of the block that a layer is part of."""
        found = next((block.name for block in blocks if layer in block.layers), None)
        if found is None:
            known = ", ".join(block.name for block in blocks) or "none in this model"
            raise ConfigError(
                f"{layer} is part of no residual block.",
                hint=f"Blocks begin with these layers: {known}.",
                field="layers",
            )
        return found

    def _first(
        self,
        bundle: ModelBundle,
        context: Context,
        blocks: tuple[Block, ...],
        single: Collection[str],
        gone: set[str],
        count: int,
    ) -> list[str]:
        """Return the names of the blocks that go first, of those that are not spoken for."""
        import torch

        from optim.layers.residual import influence_of

        free = [block.name for block in blocks if block.name not in single]
        if count == 0:
            return []
        if self.criterion == "random":
            order = torch.randperm(len(free), generator=context.generator())
            return [free[i] for i in order[:count].tolist()]
        x, _ = context.calibration(self.samples)
        if self.criterion == "influence":
            influence = context.memo(
                f"influence:{bundle.hash}:{len(x)}:{context.key}",
                lambda: influence_of(bundle.module, blocks, x, context.check),
            )
            return sorted(free, key=lambda name: influence[name])[:count]
        chosen: list[str] = []
        while len(chosen) < count:
            errors = self._errors(bundle, context, blocks, gone | set(chosen), x)
            left = [name for name in free if name not in chosen]
            chosen.append(min(left, key=lambda name: errors[name]))
        return chosen

    def _errors(
        self,
        bundle: ModelBundle,
        context: Context,
        blocks: tuple[Block, ...],
        gone: set[str],
        x: Tensor,
    ) -> dict[str, float]:
        """Return what outputs lose without each block besides those that are gone."""
        from optim.layers.residual import output_errors

        own = digest(bundle.hash, sorted(gone), len(x), context.key)
        return context.memo(
            f"without:{own}",
            lambda: output_errors(bundle.module, blocks, gone, x, context.check),
        )


def _detail(block: Block | None, gone: Collection[str]) -> str:
    """Return what became of a layer."""
    if block is None:
        return "part of no residual block"
    return "removed with its block" if block.name in gone else "its block stays"
