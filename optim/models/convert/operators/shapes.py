"""What moves, cuts and repeats values."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from optim.layers.token import Token
from optim.models.convert.builder import Builder, Constant, Handler, Traced, Value
from optim.models.convert.operators.layers import embedding
from optim.models.convert.reader import Operation

__all__ = ["SHAPES"]

Shapes = list[list[int]]


def _identity(to: Builder, op: Operation) -> Value:
    value = to.value(op, 0)
    assert value is not None
    return value


# --- changes of shape ---------------------------------------------------------------------------


def _reshape(to: Builder, op: Operation) -> Value:
    x, target = to.traced(op), to.value(op, 1)
    if target is None:
        target = Constant.of(np.array(op.attributes["shape"], dtype=np.int64))
    if isinstance(target, Traced):
        raise op.refuse("takes its sizes from values of the input")
    asked = [[int(n) for n in array.reshape(-1)] for array in target.arrays]
    shapes = [
        _resolved(op, sizes, list(sample.shape))
        for sizes, sample in zip(asked, x.samples, strict=True)
    ]
    if to.fixed_batch is not None and not target.depends_on_batch:
        shapes[1], outer = _for_more_samples(to, op, x, shapes[0])
        made = to.reshape(op, x, shapes)
        made = Traced(made.node, made.samples, outer)
        made.node.meta["value"] = made
        return made
    return to.reshape(op, x, shapes)


def _resolved(op: Operation, asked: list[int], shape: list[int]) -> list[int]:
    """Return the sizes a reshape asks for, its 0 and -1 replaced."""
    zero_is_zero = bool(op.get("allowzero", 0))
    if any(n == 0 and not zero_is_zero and i >= len(shape) for i, n in enumerate(asked)):
        raise op.refuse("keeps a dimension that is not there")
    sizes = [shape[i] if n == 0 and not zero_is_zero else n for i, n in enumerate(asked)]
    known = prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or known <= 0 or prod(shape) % known:
        raise op.refuse(f"makes {asked} of {shape}, which does not fit")
    return [prod(shape) // known if n == -1 else n for n in sizes]


def _for_more_samples(
    to: Builder, op: Operation, x: Traced, sizes: list[int]
) -> tuple[list[int], int]:
    """Return what a file written for a fixed batch would ask of one sample more.

    What lies before the samples in memory stays before them, so that only few dimensions can be the
    one that grows: best one of samples alone, else one that ends with them, else one that has more
    behind them.

    Returns:
        The sizes, and how many runs of samples lie behind one another in the one that grew.
    """
    if not x.batch_axes:
        return sizes, 1
    samples, more = to.batches
    before = prod(x.shape[: x.batch_axes[0]]) * x.outer
    found = []
    for i, size in enumerate(sizes):
        ahead = prod(sizes[:i])
        outer = before // ahead
        if before % ahead == 0 and size % (outer * samples) == 0:
            inner = size // (outer * samples)
            found.append((inner > 1, outer > 1, i, outer))
    if not found:
        raise op.refuse("mixes the samples of a batch")
    _, _, i, outer = min(found)
    return [*sizes[:i], sizes[i] // samples * more, *sizes[i + 1 :]], outer


def _flatten(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    axis = int(op.get("axis", 1))
    axis = axis if axis >= 0 else axis + x.rank
    shapes = [[prod(s.shape[:axis]), prod(s.shape[axis:])] for s in x.samples]
    return to.reshape(op, x, shapes)


def _squeeze(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    axes = to.integers(op, 1, "axes")
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if size == 1 and i not in x.batch_axes]
    dropped = {axis % x.rank for axis in axes}
    if dropped & set(x.batch_axes):
        raise op.refuse("drops the dimension of the samples")
    shapes = [[n for i, n in enumerate(s.shape) if i not in dropped] for s in x.samples]
    return to.reshape(op, x, shapes)


def _unsqueeze(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    axes = to.integers(op, 1, "axes") or []
    rank = x.rank + len(axes)
    added = {axis % rank for axis in axes}
    shapes: Shapes = []
    for sample in x.samples:
        sizes = iter(sample.shape)
        shapes.append([1 if i in added else next(sizes) for i in range(rank)])
    return to.reshape(op, x, shapes)


def _transpose(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    order = tuple(op.get("perm", tuple(reversed(range(x.rank)))))
    return x if order == tuple(range(x.rank)) else to.call("permute", x, order)


# --- cutting ------------------------------------------------------------------------------------


def _cut(to: Builder, op: Operation, x: Traced, cuts: dict[int, slice]) -> Traced:
    """Add a slice, unless it keeps everything."""
    real = {}
    for axis, cut in cuts.items():
        whole = [cut.indices(sample.shape[axis]) for sample in x.samples]
        sizes = [sample.shape[axis] for sample in x.samples]
        if all(w == (0, size, 1) for w, size in zip(whole, sizes, strict=True)):
            continue
        if axis in x.batch_axes:
            raise op.refuse("picks some of the samples")
        real[axis] = slice(*whole[0])
    if not real:
        return x
    parts = [real.get(axis, slice(None)) for axis in range(max(real) + 1)]
    return to.call("slice", x, tuple(parts))


def _slice(to: Builder, op: Operation) -> Value:
    x = to.traced(op)
    starts, ends = to.integers(op, 1, "starts"), to.integers(op, 2, "ends")
    if starts is None or ends is None:
        raise op.refuse("lacks where it starts and ends")
    axes = to.integers(op, 3, "axes", range(len(starts)))
    steps = to.integers(op, 4, "steps", [1] * len(starts))
    assert axes is not None
    assert steps is not None
    cuts = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            return _reversed(to, op)
        cuts[axis % x.rank] = slice(start, end, step)
    return _cut(to, op, x, cuts)


def _reversed(to: Builder, op: Operation) -> Value:
    raise op.refuse("reverses a dimension")


def _split(to: Builder, op: Operation) -> tuple[Value, ...]:
    x = to.traced(op)
    axis = int(op.get("axis", 0)) % x.rank
    total, count = x.shape[axis], len(op.outputs)
    if axis in x.batch_axes:
        raise op.refuse("divides the samples of a batch")
    sizes = to.integers(op, 1, "split")
    if sizes is None:
        size = -(-total // count)
        sizes = [min(size, total - size * i) for i in range(count)]
    if sum(sizes) != total or min(sizes) < 1:
        raise op.refuse(f"divides {total} into {sizes}, which does not fit")
    ends = np.cumsum(sizes).tolist()
    return tuple(
        _cut(to, op, x, {axis: slice(end - size, end)})
        for size, end in zip(sizes, ends, strict=True)
    )


def _gather(to: Builder, op: Operation) -> Value:
    table, index = to.value(op, 0), to.value(op, 1)
    axis = int(op.get("axis", 0))
    if isinstance(index, Traced):
        if isinstance(table, Constant) and axis == 0 and table.array.ndim == 2:
            return embedding(to, op, table.array, index)
        raise op.refuse("picks by whole numbers that are computed from the input")
    x = to.traced(op)
    axis, picked = axis % x.rank, to.needed(op, 1, "what it picks")
    if axis in x.batch_axes:
        raise op.refuse("picks some of the samples")
    size = x.shape[axis]
    picked = np.where(picked < 0, picked + size, picked).astype(np.int64)
    if picked.size and not 0 <= picked.min() <= picked.max() < size:
        raise op.refuse(f"picks {int(picked.max())} of {size}")
    if picked.ndim == 0:
        return to.call("select", x, axis, int(picked))
    rows = to.call("gather", x, axis, to.constant_node(op, Constant.of(picked.reshape(-1))))
    if picked.ndim == 1:
        return rows
    shapes = [[*s.shape[:axis], *picked.shape, *s.shape[axis + 1 :]] for s in x.samples]
    return to.reshape(op, rows, shapes)


# --- putting together and repeating -------------------------------------------------------------


def _concat(to: Builder, op: Operation) -> Value:
    values = [to.value(op, i) for i in range(len(op.inputs))]
    beside = next((v for v in values if isinstance(v, Traced) and v.batch_axes == (0,)), None)
    parts = []
    for i, value in enumerate(values):
        part = to.traced(op, i)
        is_token = isinstance(value, Constant) or not part.batch_axes
        if is_token and beside is not None and part.rank > 1 and part.shape[0] == 1:
            assert isinstance(value, Constant)
            parts.append(_token(to, op, value, beside))
        else:
            parts.append(part)
    axis = int(op.get("axis", 1))
    axis = axis if axis >= 0 else axis + parts[0].rank
    if any(axis in part.batch_axes for part in parts):
        raise op.refuse("puts more samples into a batch")
    return to.call("concat", parts, axis)


def _token(to: Builder, op: Operation, value: Constant, beside: Traced) -> Traced:
    array = np.array(value.array, dtype=np.float32)
    path = to.new_layer(value.name.replace("/", "."), "token", Token(torch.from_numpy(array)))
    return to.call_layer(path, beside)


def _expand(to: Builder, op: Operation) -> Value:
    value, target = to.value(op, 0), to.value(op, 1)
    if not isinstance(target, Constant):
        raise op.refuse("takes its sizes from values of the input")
    if isinstance(value, Constant):
        return _expand_constant(to, op, value, target)
    x = to.traced(op)
    sizes = [
        np.broadcast_shapes(tuple(s.shape), tuple(int(n) for n in a.reshape(-1)))
        for s, a in zip(x.samples, target.arrays, strict=True)
    ]
    if to.fixed_batch is not None and not target.depends_on_batch:
        sizes[1] = tuple(
            x.samples[1].shape[i - len(sizes[0]) + x.rank]
            if i - len(sizes[0]) + x.rank in x.batch_axes
            else n
            for i, n in enumerate(sizes[0])
        )
    grown = [
        (-1 if i - len(sizes[0]) + x.rank in x.batch_axes else a)
        for i, (a, _) in enumerate(zip(*sizes, strict=True))
    ]
    differs = [i for i, (a, b) in enumerate(zip(*sizes, strict=True)) if a != b]
    if any(grown[i] != -1 for i in differs):
        raise op.refuse("repeats values for every sample")
    return x if sizes[0] == x.shape else to.call("expand", x, tuple(grown))


def _expand_constant(to: Builder, op: Operation, value: Constant, target: Constant) -> Value:
    """Repeat a constant for every sample: it is put beside the model's input."""
    first, second = (tuple(int(n) for n in a.reshape(-1)) for a in target.arrays)
    if first[1:] != second[1:] or (first[0], second[0]) != to.batches:
        raise op.refuse("repeats a constant by something else than the number of samples")
    array = value.array
    shape = np.broadcast_shapes(array.shape, (1, *first[1:]))
    if shape[0] != 1 or array.dtype != np.float32:
        raise op.refuse("repeats a constant by something else than the number of samples")
    repeated = Constant.of(np.broadcast_to(array, shape), value.name, value.is_learned)
    beside = next(v for v in to.values.values() if isinstance(v, Traced) and v.batch_axes == (0,))
    return _token(to, op, repeated, beside)


def _tile(to: Builder, op: Operation) -> Value:
    x, repeats = to.traced(op), to.needed(op, 1, "how often it repeats")
    times = tuple(int(n) for n in repeats.reshape(-1))
    if any(times[axis] != 1 for axis in x.batch_axes):
        raise op.refuse("repeats the samples of a batch")
    return x if all(n == 1 for n in times) else to.call("tile", x, times)


def _pad(to: Builder, op: Operation) -> Value:
    x, mode = to.traced(op), op.get("mode", "constant")
    pads = to.integers(op, 1, "pads")
    if pads is None:
        pads = [int(n) for n in op.attributes["paddings"]]
    fill = to.array(op, 2, "the value it pads with")
    value = float(op.get("value", 0.0)) if fill is None else float(fill.reshape(()))
    axes = to.integers(op, 3, "axes", range(x.rank))
    assert axes is not None
    before, after = [0] * x.rank, [0] * x.rank
    for i, axis in enumerate(axes):
        before[axis % x.rank], after[axis % x.rank] = pads[i], pads[i + len(axes)]
    if any(before[axis] or after[axis] for axis in x.batch_axes):
        raise op.refuse("adds samples to a batch")
    widths = [n for pair in zip(reversed(after), reversed(before), strict=True) for n in pair[::-1]]
    while widths and widths[-2:] == [0, 0]:
        widths = widths[:-2]
    if not widths:
        return x
    names = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    if mode not in names or (mode != "constant" and len(widths) > 2 * (x.rank - 2)):
        raise op.refuse(f"pads with {mode!r} in dimensions where torch does not")
    if mode != "constant":
        return to.call("pad", x, tuple(widths), names[mode])
    return to.call("pad", x, tuple(widths), "constant", value)


def _resize(to: Builder, op: Operation) -> Value:
    x, mode = to.traced(op), str(op.get("mode", "nearest"))
    size = _resized(to, op, x)
    if tuple(size) == x.shape[2:]:
        return x
    how = str(op.get("coordinate_transformation_mode", "half_pixel"))
    if op.op_type == "Upsample" or op.opset == 10:
        how = "asymmetric"
    if x.rank - 2 not in (1, 2):
        raise op.refuse(f"resizes {x.rank - 2} dimensions; 1 and 2 are read")
    factors = [new / old for new, old in zip(size, x.shape[2:], strict=True)]
    whole = all(factor == int(factor) for factor in factors)
    if mode == "nearest":
        rounding = str(op.get("nearest_mode", "round_prefer_floor"))
        plain = how == "asymmetric" and (op.opset < 11 or rounding == "floor" or whole)
        # Enlarged by a whole number, all ways to round and to place pixels agree.
        if not plain and not (whole and how in ("half_pixel", "pytorch_half_pixel")):
            raise op.refuse(f"chooses the nearest value by {how} and {rounding}")
        if plain and rounding == "ceil" and op.opset >= 11:
            raise op.refuse(f"chooses the nearest value by {how} and {rounding}")
        return to.call("resize", x, size=tuple(size), mode="nearest")
    names = {("linear", 1): "linear", ("linear", 2): "bilinear", ("cubic", 2): "bicubic"}
    name = names.get((mode, x.rank - 2))
    corners = how == "align_corners"
    if name is None or op.get("antialias", 0):
        raise op.refuse(f"interpolates by {mode!r}")
    if mode == "cubic" and op.get("cubic_coeff_a", -0.75) != -0.75:
        raise op.refuse("interpolates with other coefficients than torch")
    if not corners and how not in ("half_pixel", "pytorch_half_pixel"):
        raise op.refuse(f"interpolates at points placed by {how!r}")
    return to.call("resize", x, size=tuple(size), mode=name, align_corners=corners)


def _resized(to: Builder, op: Operation, x: Traced) -> list[int]:
    """Return the spatial sizes a resize asks for."""
    old = op.op_type == "Upsample" or op.opset == 10
    scales = to.array(op, 1 if old else 2, "its factors")
    if scales is None and op.get("scales") is not None:
        scales = np.array(op.get("scales"))
    sizes = None if old else to.value(op, 3)
    if op.get("axes") is not None or op.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise op.refuse("resizes only some dimensions, or keeps their ratio")
    if isinstance(sizes, Constant) and sizes.arrays[0].size:
        target = [int(n) for n in sizes.arrays[0].reshape(-1)]
    elif scales is not None and scales.size:
        target = [
            int(np.floor(size * float(scale)))
            for size, scale in zip(x.shape, scales.reshape(-1), strict=True)
        ]
    else:
        raise op.refuse("takes its sizes from values of the input")
    if target[:2] != list(x.shape[:2]):
        raise op.refuse("resizes samples or channels")
    return target[2:]


def _depth_to_space(to: Builder, op: Operation) -> Value:
    x, block = to.traced(op), int(op.attributes["blocksize"])
    _, channels, height, width = x.shape
    inner = channels // (block * block)
    if op.get("mode", "DCR") == "DCR":
        parts, order = (block, block, inner, height, width), (0, 3, 4, 1, 5, 2)
    else:
        parts, order = (inner, block, block, height, width), (0, 1, 4, 2, 5, 3)
    x = to.reshape(op, x, [[s.shape[0], *parts] for s in x.samples])
    x = to.call("permute", x, order)
    shape = (inner, height * block, width * block)
    return to.reshape(op, x, [[s.shape[0], *shape] for s in x.samples])


def _space_to_depth(to: Builder, op: Operation) -> Value:
    x, block = to.traced(op), int(op.attributes["blocksize"])
    _, channels, height, width = x.shape
    parts = (channels, height // block, block, width // block, block)
    x = to.reshape(op, x, [[s.shape[0], *parts] for s in x.samples])
    x = to.call("permute", x, (0, 3, 5, 1, 2, 4))
    shape = (channels * block * block, height // block, width // block)
    return to.reshape(op, x, [[s.shape[0], *shape] for s in x.samples])


SHAPES: dict[str, Handler] = {
    "Identity": _identity,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Concat": _concat,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
