"""Which channels must be removed together.

A *group* is a set of channels that share a fate: the outputs of every convolution that is added
into one residual stream, the batch norms behind them and the inputs of everything that reads the
stream. Finding groups is torch-pruning's work (Fang et al., DepGraph: Towards Any Structural
Pruning, 2023, arXiv:2301.12900). How many of a group stay is said in :mod:`optim.layers.widths`,
and layers are cut to them by :mod:`optim.layers.slicing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.layers.graph import COMPUTE, attribute_of, kind_of, nodes_of
from optim.layers.groups import (
    ChannelGroup,
    Channels,
    Conv,
    Member,
    TransposedConv,
    is_depthwise,
    width_of,
)
from optim.layers.heads import Attention, find_attention
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.sketch import filled, is_sketch
from optim.layers.slicing import keep_channels
from optim.layers.widths import channels_left

__all__ = ["find_channels", "shortcut_pruners"]


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
        width = width_of(target.module, side)
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
    if isinstance(layer, nn.Conv1d | nn.Conv2d | TransposedConv) and not is_depthwise(layer):
        return layer.groups
    return layer.num_groups if isinstance(layer, nn.GroupNorm) else 1


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
            if name in found or not isinstance(layer, Conv) or not is_depthwise(layer):
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
