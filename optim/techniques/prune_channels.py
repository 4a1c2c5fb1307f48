"""Remove whole channels: what remains is a dense, smaller model that runs faster everywhere.

What must go together (residual streams, concatenations, depthwise and grouped layers) is found by
torch-pruning's dependency graph; the classes are protected, and attention heads go whole. Needs no
data, except for the Taylor and Hessian importances and for refitting the weights that stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from optim.errors import ConfigError
from optim.fields import Choice, Method, PerLayer, Range
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.importances import IMPORTANCES, ImportanceMethod, Magnitude
from optim.techniques.pruning import REFIT, REFIT_SAMPLES, refitted_to

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle

__all__ = ["PruneChannels", "channel_macs"]

_COSTLY = 0.5
"""Power of a channel's MACs that its importance is divided by. To first order the best choice for
a budget of MACs divides by all of them, a power of 1; but importance says little of what many
channels are worth together, and the first layers, whose channels cost the most, would starve."""


class PruneChannels(Step):
    """Structured channel pruning."""

    title: ClassVar[str] = "Prune channels"
    about: ClassVar[str] = "Removes whole channels: fewer MACs, smaller and faster everywhere."
    paper: ClassVar[str] = (
        "Li et al., Pruning Filters for Efficient ConvNets, 2016, arXiv:1608.08710; Fang et al., "
        "DepGraph: Towards Any Structural Pruning, 2023, arXiv:2301.12900; attention heads: Michel "
        "et al., Are Sixteen Heads Really Better than One?, 2019, arXiv:1905.10650; refitting: "
        "He et al., Channel Pruning for Accelerating Very Deep Neural Networks, 2017, "
        "arXiv:1707.06168; by MACs: Molchanov et al., Pruning Convolutional Neural Networks for "
        "Resource Efficient Inference, 2017, arXiv:1611.06440"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    removes: ClassVar[frozenset[str]] = frozenset({"bn_measured", "recovered", "bias_corrected"})
    sketches: ClassVar[bool] = True
    formerly: ClassVar[Mapping[str, Any]] = {"round_to": 1}

    pruning_ratio: Annotated[
        float,
        Range(
            low=0.0,
            high=0.95,
            step=0.05,
            scale="percent",
            label="Channels removed",
            help="Share of the channels removed. Both sides of a layer shrink, so that half the "
            "channels leave about a quarter of the weights.",
        ),
    ] = 0.3
    importance: Annotated[
        ImportanceMethod,
        Method(family=IMPORTANCES, label="Importance", help="Which channels go first."),
    ] = Magnitude()
    scope: Annotated[
        Literal["global", "local", "macs"],
        Choice(
            options={"global": "Global", "local": "Per group", "macs": "By MACs"},
            label="Scope",
            help="Global compares channels of all groups; per group gives each the same ratio; by "
            "MACs goes first for channels that multiply much and matter little, which is best "
            "where the model is trained afterwards.",
        ),
    ] = "local"
    round_to: Annotated[
        Literal["auto", 1, 4, 8, 16],
        Choice(
            options={"auto": "Auto", 1: "1", 4: "4", 8: "8", 16: "16"},
            label="Round to",
            unit="channels",
            help="Keep a multiple of this many channels. Kernels of bytes take several at a time, "
            "and a width between can be slower than a wider layer. Auto: 8 in layers of 24 "
            "channels or more, 4 in those of 16 or more, 1 in narrower ones.",
        ),
    ] = "auto"
    reconstruct: Annotated[bool, REFIT] = False
    layers: Annotated[
        dict[str, float],
        PerLayer(
            overrides="pruning_ratio",
            label="Layers",
            help="Ratio of single groups, named by the layer that makes them; 0 leaves one alone.",
            alone={"pruning_ratio": 0.0},
            tried=(0.25, 0.5, 0.75),
        ),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether no channel would go."""
        return self.pruning_ratio == 0 and not any(self.layers.values())

    @property
    def samples(self) -> int:
        """Samples that weights are refitted on."""
        return REFIT_SAMPLES if self.reconstruct else 0

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return a smaller model; masks in the compression table are sliced with it."""
        from optim.layers.channels import find_channels
        from optim.layers.slicing import keep_channels, kept_positions, slice_masks

        channels = context.memo(
            f"channels:{bundle.hash}", lambda: find_channels(bundle.module, bundle.spec.shape)
        )
        by_cost = self.scope == "macs"
        scores = context.memo(
            f"scores:{bundle.hash}:{self.importance!r}:{by_cost}:{context.key}",
            lambda: self.importance.score(bundle, channels, context, total=by_cost),
        )
        if by_cost:
            costs = context.memo(
                f"channel_macs:{bundle.hash}", lambda: channel_macs(bundle, channels)
            )
            scores = {name: s / max(1.0, costs[name]) ** _COSTLY for name, s in scores.items()}
        ratios = self._ratios_by_group(channels)
        keep = self._kept(channels, scores, ratios)
        module = keep_channels(bundle.module, channels.groups, keep)
        masks = slice_masks(bundle.module, bundle.table.masks, channels.groups, keep)
        report = self._report(bundle, channels, scores, keep)
        kept = kept_positions(bundle.module, channels.groups, keep)
        if self.reconstruct:
            module, note = refitted_to(bundle, module, context, kept, masks)
            report = replace(report, notes=(*report.notes, note))
        return Applied(bundle.with_module(module, replace(bundle.table, masks=masks)), report, kept)

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return a model with as many channels, the largest ones, and nothing refitted."""
        from optim.layers.sketch import is_sketch

        importance = _OfOriginal() if is_sketch(bundle.module) else Magnitude()
        quick = self.model_copy(update={"importance": importance, "reconstruct": False})
        return quick.apply(bundle, context).bundle

    def _ratios_by_group(self, channels: Channels) -> dict[str, float]:
        """Return the per-layer ratios by group name; any maker of a group may name it."""
        by_maker = {maker: g.name for g in channels.groups for maker in g.makers}
        for layer in self.layers:
            if layer in channels.protected:
                raise ConfigError(
                    f"{layer} cannot lose channels: {channels.protected[layer]}.", field="layers"
                )
            if layer not in by_maker:
                raise ConfigError(
                    f"The model has no prunable layer {layer!r}.",
                    hint=f"Prunable groups are: {', '.join(g.name for g in channels.groups)}.",
                    field="layers",
                )
        return {by_maker[layer]: ratio for layer, ratio in self.layers.items()}

    def _kept(
        self, channels: Channels, scores: dict[str, Tensor], ratios: dict[str, float]
    ) -> dict[str, Tensor]:
        """Return ``{group: sorted channels that stay}``."""
        from optim.layers.widths import channels_left, global_shares

        common = {
            g.name: scores[g.name]
            for g in channels.groups
            if g.name in scores and g.name not in ratios
        }
        if self.scope != "local" and common:
            shares = global_shares(common, self.pruning_ratio)
        else:
            shares = dict.fromkeys(common, self.pruning_ratio)
        shares |= {name: ratio for name, ratio in ratios.items() if name in scores}
        return {
            group.name: channels_left(group, scores[group.name], shares[group.name], self.round_to)
            for group in channels.groups
            if group.name in shares
        }

    def _report(
        self,
        bundle: ModelBundle,
        channels: Channels,
        scores: dict[str, Tensor],
        keep: dict[str, Tensor],
    ) -> StepReport:
        from optim.layers.rewrite import untreated_layers, weights_of

        entries: dict[str, LayerReport] = {}
        for group in channels.groups:
            kept = len(keep[group.name]) if group.name in keep else group.size
            share = 1 - kept / group.size
            others = len(group.makers) - 1
            together = f", together with {others} other layer{'s' * (others > 1)}" * (others > 0)
            for maker in group.makers:
                if group.name not in scores:
                    detail = f"{type(self.importance).title} cannot judge it"
                elif kept == group.size:
                    detail = f"keeps all {group.size} channels{together}"
                else:
                    what = f"{group.size // group.together} to {kept // group.together}"
                    unit = "channels" if group.together == 1 else "attention heads"
                    detail = f"{what} {unit}{together}"
                entries[maker] = LayerReport(maker, kept < group.size, detail, share)
        removed = sum(g.size - len(keep[g.name]) for g in channels.groups if g.name in keep)
        total = sum(g.size for g in channels.groups)
        layers = tuple(
            entries.get(name) or LayerReport(name, False, channels.protected.get(name, ""), 0.0)
            for name in weights_of(bundle.module)
        )
        said = "keeps all channels that it makes: only convolutions and dense layers lose theirs"
        layers += tuple(LayerReport(n, False, said, 0.0) for n in untreated_layers(bundle.module))
        share = removed / total if total else 0.0
        return StepReport(f"{removed} of {total} channels removed ({share:.0%}).", layers)


def channel_macs(bundle: ModelBundle, channels: Channels) -> dict[str, float]:
    """Return ``{group: MACs}`` that leave with one channel of a group, while the others stay."""
    from optim.layers.groups import Conv, is_depthwise, width_of
    from optim.measure.macs import layer_costs

    macs = {cost.name: cost.macs for cost in layer_costs(bundle.module, bundle.spec.shape)}
    found = {}
    for group in channels.groups:
        found[group.name] = 0.0
        for member in group.members:
            layer = bundle.module.get_submodule(member.layer)
            is_seen = isinstance(layer, Conv) and is_depthwise(layer) and member.side == "in"
            if member.layer in macs and not is_seen:  # its sides are the same channels
                found[group.name] += macs[member.layer] / width_of(layer, member.side)
    return found


class _OfOriginal(ImportanceMethod):
    """Judges the channels of a sketch by the weights of the model that it was made from."""

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return the magnitudes of groups that are as large as they were; all alike of others."""
        import torch

        from optim.layers.channels import find_channels

        original = context.reference
        found = context.memo(
            f"channels:{original.hash}", lambda: find_channels(original.module, original.spec.shape)
        )
        known = Magnitude().score(original, found, context, total=total)
        return {
            group.name: known[group.name]
            if len(known.get(group.name, ())) == group.size
            else torch.ones(group.size)
            for group in channels.groups
        }
