"""Which channels must be removed together, and removing them.

A *group* is a set of channels that share a fate: the outputs of every convolution that is added
into one residual stream, the batch norms behind them and the inputs of everything that reads the
stream. Finding groups is torch-pruning's work (Fang et al., DepGraph: Towards Any Structural
Pruning, 2023, arXiv:2301.12900). For any choice of channels the layers are then sliced directly,
which takes milliseconds, so that a slider can follow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.layers.graph import COMPUTE, attribute_of, fork, kind_of, nodes_of, with_parameters
from optim.layers.heads import Attention, find_attention
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.sketch import filled, is_sketch

__all__ = [
    "ChannelGroup",
    "Channels",
    "Member",
    "best_channels",
    "channels_left",
    "find_channels",
    "global_shares",
    "keep_channels",
    "kept_positions",
    "resized_layer",
    "shortcut_pruners",
    "slice_masks",
]

RoundTo = int | Literal["auto"]
"""Of how many channels a multiple stays; ``"auto"`` follows from the width: :func:`_multiple`."""

_Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d
_Conv = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d


@dataclass(frozen=True, eq=False)
class Member:
    """One side of one layer in a group.

    Attributes:
        layer: Name of the layer.
        side: ``"out"`` if its output channels belong to the group, ``"in"`` if its inputs do.
        index: ``(n,)``; positions on that side of the layer.
        channel: ``(n,)``; the channel of the group each position belongs to.
    """

    layer: str
    side: Literal["out", "in"]
    index: Tensor
    channel: Tensor


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that must be kept or removed together.

    Attributes:
        name: Name of the first layer that makes them.
        size: Number of channels.
        members: Every layer side the channels pass through.
        makers: Layers whose outputs are these channels.
        blocks: Equal runs of channels that must stay equally large because a grouped convolution
            divides them; 1 otherwise.
        source: torch-pruning's own group, for its importance measures.
        together: Neighbours that stay or go as one: the numbers of an attention head; 1 otherwise.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    makers: tuple[str, ...]
    blocks: int
    source: Any = field(repr=False)
    together: int = 1


@dataclass(frozen=True, eq=False)
class Channels:
    """The channel structure of one module.

    Attributes:
        groups: What can be pruned.
        protected: ``{layer: reason}`` for the layers whose outputs cannot.
    """

    groups: tuple[ChannelGroup, ...]
    protected: Mapping[str, str]


def find_channels(module: nn.Module, input_shape: tuple[int, ...]) -> Channels:
    """Find the channel groups of a module.

    Args:
        module: A traceable module in evaluation mode; unchanged.
        input_shape: Shape of one sample.

    Raises:
        UnsupportedModelError: If the dependencies between layers cannot be followed.
    """
    if is_sketch(module):
        module = filled(module)
    names = {layer: name for name, layer in module.named_modules()}
    protected = _protected_layers(module)
    groups = [_heads_of(module, attention) for attention in find_attention(module)]
    n_heads = len(groups)
    for source in _dependency_groups(module, input_shape, protected):
        group, reason = _read_group(source, names)
        reason = reason or next((protected[m] for m in group.makers if m in protected), "")
        if reason:
            protected.update(dict.fromkeys(group.makers, reason))
        else:
            groups.append(group)
    for group in _impossible(module, groups[n_heads:], input_shape):
        groups.remove(group)
        reason = "without some of its channels the layers behind it do not fit"
        protected.update(dict.fromkeys(group.makers, reason))
    found = {maker for group in groups for maker in group.makers}
    protected = {name: reason for name, reason in protected.items() if name not in found}
    for name, layer in module.named_modules():
        if isinstance(layer, _ROOTS) and name not in found:
            protected.setdefault(name, "its channels are those of a layer that cannot lose any")
    return Channels(tuple(groups), protected)


def _impossible(
    module: nn.Module, groups: Sequence[ChannelGroup], input_shape: tuple[int, ...]
) -> list[ChannelGroup]:
    """Return the groups of which half cannot be removed; each is tried only if all cannot."""

    def fits(some: Sequence[ChannelGroup]) -> bool:
        keep = {group.name: channels_left(group, torch.ones(group.size), 0.5) for group in some}
        try:
            with torch.no_grad():
                keep_channels(module, some, keep)(torch.zeros(1, *input_shape))
        except (RuntimeError, IndexError, ValueError):
            return False
        return True

    return [] if fits(groups) else [group for group in groups if not fits([group])]


def _heads_of(module: nn.Module, attention: Attention) -> ChannelGroup:
    """Return the channels of all heads of an attention as a group."""
    from torch_pruning.dependency import Dependency, Group, Node
    from torch_pruning.pruner import function

    outwards, inwards = function.prune_linear_out_channels, function.prune_linear_in_channels
    size = module.get_submodule(attention.project).in_features
    assert isinstance(size, int)
    every, source, members = torch.arange(size), Group(), []
    for name, prune in (*((n, outwards) for n in attention.makers), (attention.project, inwards)):
        node = Node(module.get_submodule(name), None, name)
        source.add_dep(Dependency(prune, prune, node, node), every.tolist())
        source.items[-1].root_idxs = every.tolist()
        members.append(Member(name, "out" if prune is outwards else "in", every, every))
    makers = attention.makers
    return ChannelGroup(makers[0], size, tuple(members), makers, 1, source, attention.head)


_ROOTS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def shortcut_pruners() -> dict[type[nn.Module], Any]:
    """Return what torch-pruning has to be told of layers that it does not know.

    The sides of a parameter-free shortcut are independent; nothing is pruned by what is returned.
    """
    import torch_pruning as tp

    class ShortcutSides(tp.BasePruningFunc):
        """Tells torch-pruning that the sides of a parameter-free shortcut are independent."""

        def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            raise AssertionError("torch-pruning finds the groups here; it never prunes")

        def prune_in_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
            raise AssertionError("torch-pruning finds the groups here; it never prunes")

        def get_out_channels(self, layer: ChannelPadShortcut) -> int:
            return layer.out_channels

        def get_in_channels(self, layer: ChannelPadShortcut) -> int:
            return layer.in_channels

    return {ChannelPadShortcut: ShortcutSides()}


def _dependency_groups(
    module: nn.Module, input_shape: tuple[int, ...], protected: Iterable[str]
) -> list[Any]:
    """Return torch-pruning's groups without those that pass through protected layers.

    Where channels are shuffled, following them could take minutes and would lead nowhere.
    """
    import torch_pruning as tp

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
            graph = tp.DependencyGraph().build_dependency(
                module,
                example_inputs=(torch.zeros(1, *input_shape),),
                customized_pruners=shortcut_pruners(),
            )
            ignored = [module.get_submodule(name) for name in protected]
            groups = graph.get_all_groups(ignored_layers=ignored, root_module_types=list(_ROOTS))
            return list(groups)
    except Exception as error:
        raise UnsupportedModelError(
            f"The dependencies between the channels of {type(module).__name__} cannot be "
            f"followed: {error}.",
            hint="Prune single weights instead; that needs no dependencies.",
        ) from error


def _read_group(source: Any, names: Mapping[nn.Module, str]) -> tuple[ChannelGroup, str]:
    """Translate one of torch-pruning's groups; the second value says why it cannot be pruned."""
    from torch_pruning.ops import OPTYPE

    members, makers, blocks, reason = [], [], 1, ""
    size = len(source[0].idxs)
    for item in source:
        target = item.dep.target
        if target.type == OPTYPE.PARAMETER:
            reason = "a parameter outside any layer has these channels"
        if target.module not in names or not isinstance(target.module, nn.Module):
            continue
        side: Literal["out", "in"] = (
            "in" if item.dep.handler.__name__ == "prune_in_channels" else "out"
        )
        index, channel = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
        width = _width(target.module, side)
        if int(index.max()) >= width or int(channel.max()) >= size:
            reason = "its channels cannot be followed through all layers that read them"
        members.append(Member(names[target.module], side, index, channel))
        if side == "out" and isinstance(target.module, nn.Conv1d | nn.Conv2d | nn.Linear):
            makers.append(names[target.module])
        if side == "in" and _multiplies(target.module):
            reason = "a layer with several filters for each of these channels reads them"
        divisions = _divisions(target.module)
        if divisions > 1:
            blocks = lcm(blocks, divisions)
            if not torch.equal(index, channel) or not len(index) == size == width:
                reason = "a grouped layer reads these channels together with others"
    name = members[0].layer
    return ChannelGroup(name, size, tuple(members), tuple(makers), blocks, source), reason


def _divisions(layer: nn.Module) -> int:
    """Return into how many equal runs a layer divides its channels; 1 if it does not."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | _Transposed) and not _is_depthwise(layer):
        return layer.groups
    return layer.num_groups if isinstance(layer, nn.GroupNorm) else 1


def _is_depthwise(layer: _Conv) -> bool:
    return layer.groups == layer.in_channels == layer.out_channels and layer.groups > 1


def _multiplies(layer: nn.Module) -> bool:
    """Whether a layer has several filters of its own for each of its inputs."""
    return (
        isinstance(layer, nn.Conv1d | nn.Conv2d)
        and layer.groups == layer.in_channels > 1
        and layer.out_channels > layer.groups
    )


_REARRANGING = frozenset(
    {
        *("argmax", "cumsum", "einsum", "expand", "gather", "local_response_norm", "log_softmax"),
        *("other", "permute", "reshape", "select", "tile", "token", "unflatten"),
    }
)
"""Kinds of operations behind which a channel is no longer what it was, or where sizes are fixed."""


def _protected_layers(module: nn.Module) -> dict[str, str]:
    """Return the layers whose outputs have a fixed meaning: classes, attention heads."""
    protected: dict[str, str] = {}
    for node in nodes_of(module):
        if node.op == "output":
            reason = "its outputs are the model's outputs"
        elif node.op == "placeholder":
            continue
        elif _rearranges(node):
            reason = "its outputs are divided into attention heads or rearranged"
        elif kind_of(node) == "flatten" and _is_behind_linear(module, node):
            reason = "its outputs are flattened together with others of their kind"
        elif any(_has_channels(module, source) for source in node.all_input_nodes):
            reason = "a constant outside any layer has these channels"
        else:
            continue
        for name in _nearest_makers(node):
            protected.setdefault(name, reason)
        if node.op != "output":
            for name in _depthwise_behind(module, node):
                protected.setdefault(name, "its inputs are rearranged channels")
    return protected


def _depthwise_behind(module: nn.Module, node: fx.Node) -> set[str]:
    """Return the depthwise layers whose channels are those of a node's result."""
    found, queue = set(), list(node.users)
    while queue:
        user = queue.pop()
        if kind_of(user) in COMPUTE:
            name = str(user.target)
            layer = module.get_submodule(name)
            if name in found or not isinstance(layer, _Conv) or not _is_depthwise(layer):
                continue
            found.add(name)
        elif _rearranges(user):
            continue
        queue.extend(user.users)
    return found


def _rearranges(node: fx.Node) -> bool:
    """Whether a node does more than pass channels on, each for itself."""
    kind = kind_of(node)
    if kind == "pad":
        widths = node.args[1]
        return not isinstance(widths, tuple) or len(widths) > 4
    if kind == "slice":
        parts = node.args[1]
        cuts_channels = not isinstance(parts, tuple) or slice(None) not in parts[1:2]
        return cuts_channels and parts != slice(None)
    if kind == "unsqueeze":
        return not isinstance(node.args[1], int) or node.args[1] < 2
    if kind in ("sum", "amax", "amin"):
        axes = node.args[1]
        return not isinstance(axes, tuple) or any(axis < 2 for axis in axes)  # type: ignore[operator]
    return kind in _REARRANGING


def _has_channels(module: nn.Module, source: fx.Node) -> bool:
    """Whether a node reads a constant that may have one value a channel."""
    if source.op != "get_attr":
        return False
    constant = attribute_of(module, str(source.target))
    return isinstance(constant, Tensor) and constant.numel() > 1 and constant.shape[:2] != (1, 1)


def _is_behind_linear(module: nn.Module, node: fx.Node) -> bool:
    """Whether the channels of what a node takes lie last, as those of tokens do."""
    makers = map(module.get_submodule, _nearest_makers(node))
    return any(isinstance(maker, nn.Linear) for maker in makers)


def _nearest_makers(node: fx.Node) -> set[str]:
    """Return the names of the first layers with weights met on the way back from a node."""
    found, seen, queue = set(), set(), list(node.all_input_nodes)
    while queue:
        source = queue.pop()
        if source in seen:
            continue
        seen.add(source)
        if kind_of(source) in COMPUTE:
            found.add(str(source.target))
        else:
            queue.extend(source.all_input_nodes)
    return found


def keep_channels(
    module: nn.Module, groups: Sequence[ChannelGroup], keep: Mapping[str, Tensor]
) -> nn.Module:
    """Return a copy of a module that has only some channels of some groups.

    Args:
        module: The module the groups were found in; unchanged.
        groups: Result of :func:`find_channels`.
        keep: ``{group name: (k,) sorted channels to keep}``; other groups stay whole.
    """
    kept = kept_positions(module, groups, keep)
    pruned = fork(module)
    for name in {layer for layer, _ in kept}:
        layer = pruned.get_submodule(name)
        pruned.set_submodule(name, _sliced(layer, kept.get((name, "out")), kept.get((name, "in"))))
    return pruned


def slice_masks(
    module: nn.Module,
    masks: Mapping[str, Tensor],
    groups: Sequence[ChannelGroup],
    keep: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Return weight masks ``{layer: (O, I, ...)}`` cut to the channels that stay."""
    kept = kept_positions(module, groups, keep)
    sliced = {}
    for name, mask in masks.items():
        out, inputs = kept.get((name, "out")), kept.get((name, "in"))
        layer = module.get_submodule(name)
        if out is not None:
            mask = mask[out]
        if inputs is not None:
            mask = _slice_inputs(layer, mask, out, inputs)
        sliced[name] = mask
    return sliced


def global_shares(scores: Mapping[str, Tensor], ratio: float) -> dict[str, float]:
    """Return the share each group loses if the lowest ``ratio`` of all channels go."""
    together = torch.cat(list(scores.values()))
    count = round(ratio * len(together))
    if not count:
        return dict.fromkeys(scores, 0.0)
    threshold = together.kthvalue(count).values
    return {name: float((s <= threshold).float().mean()) for name, s in scores.items()}


def best_channels(
    scores: Tensor, ratio: float, round_to: RoundTo, blocks: int, together: int = 1
) -> Tensor:
    """Return the sorted channels of one group that stay.

    Args:
        scores: ``(channels,)`` importance.
        ratio: Share to remove, in 0..1.
        round_to: Keep a multiple of this many, as far as there are as many.
        blocks: Equal runs of channels that must stay equally large; the same positions of every
            run stay.
        together: Neighbours that stay or go as one.

    Returns:
        At least one channel a run, or all that go together with one.
    """
    if ratio == 0:
        return torch.arange(len(scores))
    if round_to == "auto":
        round_to = _multiple(len(scores), len(scores) * (1 - ratio))
    if together > 1:
        wholes = scores.reshape(-1, together).mean(dim=1)
        stay = best_channels(wholes, ratio, max(1, round_to // together), blocks)
        return (stay[:, None] * together + torch.arange(together)).flatten()
    runs = scores.reshape(blocks, -1).mean(dim=0)
    size = len(runs)
    step = max(1, round_to // blocks)
    kept = round(size * (1 - ratio) / step) * step
    kept = min(size, max(kept, min(step, size)))
    # The lowest channels go; of equal ones the later go first, on every machine.
    order = torch.argsort(runs, descending=True, stable=True)
    positions = order[:kept].sort().values
    starts = torch.arange(blocks)[:, None] * size
    return (starts + positions).flatten()


def _multiple(size: int, left: float) -> int:
    """Return of how many channels a multiple should stay.

    Kernels of bytes like eights, and fours more than what lies between. Narrow groups would lose
    far more or less than was asked for.

    Args:
        size: Channels of the group.
        left: How many should be left.
    """
    if size < 16:
        return 1
    return 8 if size >= 24 and left >= 8 else 4


def channels_left(
    group: ChannelGroup, scores: Tensor, ratio: float, round_to: RoundTo = 1
) -> Tensor:
    """Return the sorted channels of a group that stay, one at least of every layer that makes some.

    The layers whose outputs are joined share a group, and one of them may have only low scores.

    Args:
        group: Of the channels.
        scores: ``(channels,)`` importance.
        ratio: See :func:`best_channels`.
        round_to: See :func:`best_channels`.
    """
    alive = torch.zeros(group.size, dtype=torch.bool)
    alive[best_channels(scores, ratio, round_to, group.blocks, group.together)] = True
    for member in group.members:
        if member.layer in group.makers and not alive[member.channel].any():
            alive[member.channel[scores[member.channel].argmax()]] = True
    return torch.nonzero(alive).flatten()


def kept_positions(
    module: nn.Module, groups: Sequence[ChannelGroup], keep: Mapping[str, Tensor]
) -> dict[tuple[str, str], Tensor]:
    """Return ``{(layer, side): positions kept}`` for every layer side that loses some."""
    live: dict[tuple[str, str], Tensor] = {}
    for group in groups:
        if group.name not in keep or len(keep[group.name]) == group.size:
            continue
        alive = torch.zeros(group.size, dtype=torch.bool)
        alive[keep[group.name]] = True
        for member in group.members:
            key = (member.layer, member.side)
            if key not in live:
                live[key] = torch.ones(
                    _width(module.get_submodule(member.layer), member.side), dtype=torch.bool
                )
            live[key][member.index[~alive[member.channel]]] = False
    return {key: torch.nonzero(mask).flatten() for key, mask in live.items()}


def _width(layer: nn.Module, side: str) -> int:
    """Return the number of channels on one side of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features if side == "in" else layer.out_features
    if isinstance(layer, nn.Conv1d | nn.Conv2d | _Transposed | ChannelPadShortcut):
        return layer.in_channels if side == "in" else layer.out_channels
    weight = layer._parameters.get("weight")
    if weight is not None:
        return weight.shape[-1]
    if isinstance(layer, nn.LayerNorm):
        return layer.normalized_shape[-1]
    wide: Any = layer  # another norm without weights
    return int(wide.num_channels if isinstance(layer, nn.GroupNorm) else wide.num_features)


def _sliced(layer: nn.Module, keep_out: Tensor | None, keep_in: Tensor | None) -> nn.Module:
    """Return a layer with only these channels; None keeps a whole side."""
    if isinstance(layer, ChannelPadShortcut):
        every_in, every_out = torch.arange(layer.in_channels), torch.arange(layer.out_channels)
        return layer.select(
            every_in if keep_in is None else keep_in, every_out if keep_out is None else keep_out
        )
    tensors = {**layer._parameters, **layer._buffers}
    if isinstance(layer, _Transposed):
        return _sliced_transposed(layer, keep_out, keep_in)
    if keep_out is not None:
        tensors = {
            # One number may serve all channels, as the slope of a PReLU does.
            name: t if t is None or t.ndim == 0 or len(t) == 1 else t.detach()[keep_out]
            for name, t in tensors.items()
        }
    weight = tensors["weight"]
    if keep_in is not None and isinstance(weight, Tensor) and weight.ndim > 1:
        tensors["weight"] = _slice_inputs(layer, weight.detach(), keep_out, keep_in)
    resized = resized_layer(layer, tensors["weight"], tensors.get("bias"))
    for name in layer._buffers:
        resized._buffers[name] = tensors[name]
    if tensors["weight"] is None and keep_out is not None:
        _set_width(resized, len(keep_out))
    return resized


def _set_width(norm: Any, width: int) -> None:
    """Tell a norm how wide its inputs are."""
    if isinstance(norm, nn.LayerNorm):
        norm.normalized_shape = (*norm.normalized_shape[:-1], width)
    elif isinstance(norm, nn.GroupNorm):
        norm.num_channels = width
    else:
        norm.num_features = width


def _sliced_transposed(
    layer: nn.ConvTranspose1d | nn.ConvTranspose2d, keep_out: Tensor | None, keep_in: Tensor | None
) -> nn.Module:
    """Return a transposed convolution with only these channels; its inputs come first."""
    weight = layer.weight.detach()
    bias = None if layer.bias is None else layer.bias.detach()
    if keep_in is not None:
        weight = weight[keep_in]
    elif keep_out is not None and _is_depthwise(layer):
        weight = weight[keep_out]  # the same channels leave on both sides
    if keep_out is not None:
        weight = weight if _is_depthwise(layer) else weight[:, keep_out]
        bias = None if bias is None else bias[keep_out]
    return resized_layer(layer, weight, bias)


def _slice_inputs(
    layer: nn.Module, weight: Tensor, keep_out: Tensor | None, keep_in: Tensor
) -> Tensor:
    groups = layer.groups if isinstance(layer, nn.Conv1d | nn.Conv2d) else 1
    if groups == 1:
        return weight[:, keep_in]
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if _is_depthwise(layer):
        return weight
    per_group = layer.in_channels // groups
    out_group = torch.arange(layer.out_channels) // (layer.out_channels // groups)
    if keep_out is not None:
        out_group = out_group[keep_out]
    columns = (keep_in % per_group).reshape(groups, -1)[out_group].to(weight.device)
    shape = (*columns.shape, *weight.shape[2:])
    return weight.gather(1, columns.reshape(*columns.shape, *[1] * (weight.ndim - 2)).expand(shape))


def resized_layer(layer: nn.Module, weight: Tensor | None, bias: Tensor | None) -> nn.Module:
    """Return a layer like ``layer`` whose sizes follow from another weight and bias.

    Normalisations get fresh statistics of the right size.
    """
    tensors = {"weight": weight, "bias": bias}
    clone = with_parameters(layer, **tensors)
    for parameter in clone.parameters(recurse=False):
        parameter.requires_grad_(True)
    if weight is None:
        return clone
    size = weight.shape[0]
    if isinstance(clone, nn.Linear):
        clone.out_features, clone.in_features = weight.shape
    elif isinstance(clone, nn.Conv1d | nn.Conv2d):
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        clone.groups = size if _is_depthwise(layer) else layer.groups
        clone.out_channels, clone.in_channels = size, weight.shape[1] * clone.groups
    elif isinstance(clone, _Transposed):
        assert isinstance(layer, _Transposed)
        clone.groups = size if _is_depthwise(layer) else layer.groups
        clone.in_channels, clone.out_channels = size, weight.shape[1] * clone.groups
    elif isinstance(clone, nn.PReLU):
        clone.num_parameters = size
    elif isinstance(clone, nn.BatchNorm1d | nn.BatchNorm2d):
        _set_width(clone, size)
        buffers = {"running_mean": torch.zeros(size), "running_var": torch.ones(size)}
        object.__setattr__(clone, "_buffers", {**layer._buffers, **buffers})
    elif isinstance(clone, nn.GroupNorm | nn.InstanceNorm1d | nn.InstanceNorm2d):
        _set_width(clone, size)
    elif isinstance(clone, nn.LayerNorm):
        clone.normalized_shape = tuple(weight.shape)
    return clone
