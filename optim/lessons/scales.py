"""One scale for a layer, or one for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from optim.lessons.drawn import curve
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Series, Shown

if TYPE_CHECKING:
    from optim.lessons.bench import Bench
    from optim.recipe import Recipe

__all__ = ["SCALES"]

_BITS: tuple[Literal[8, 7, 6, 5, 4, 3, 2], ...] = (8, 7, 6, 5, 4, 3, 2)
_START = 6
_MODEL = "clutter-dscnn"
"""Its depthwise layers have channels of very different size, as those of most small networks."""
_ASKED = 4


def _show(bench: Bench) -> Shown:
    from optim.layers.grid import Grid
    from optim.techniques.quantize import Quantize

    def recipe(bits: int, granularity: str) -> Recipe:
        step = Quantize(weight_bits=bits, activation_bits="float", granularity=granularity)
        return bench.recipe(step)

    bench = bench.of(_MODEL)
    layer, reach = _most_uneven(bench)
    channels = Series(
        "Largest weight of a channel",
        tuple(range(1, len(reach) + 1)),
        tuple(round(value, 5) for value in reach),
        "bars",
        "before",
    )
    shared = [bench.accuracy(recipe(bits, "per_tensor")) for bits in _BITS]
    own = [bench.accuracy(recipe(bits, "per_channel")) for bits in _BITS]
    frames = []
    for index, bits in enumerate(_BITS):
        grid = Grid.for_weights(bits, symmetric=True, granularity="per_tensor")
        step = max(reach) / ((grid.levels - 1) / 2)
        change = bench.change(recipe(bits, "per_channel"), recipe(bits, "per_tensor"))
        frames.append(
            Frame(
                f"{bits} bits",
                (
                    Panel(
                        f"Channels of {layer}: how large their weights are",
                        "Channel, the smallest first",
                        "Largest weight",
                        (channels,),
                        (Line("y", step / 2, "below half a step: rounded to 0", "warning"),),
                    ),
                    Panel(
                        "Accuracy along the bits",
                        "Bits of a weight",
                        "Accuracy, %",
                        (
                            curve("One scale", _BITS, shared, "before"),
                            curve("One a channel", _BITS, own, "after"),
                        ),
                        (Line("x", bits, "now"),),
                        x_range=(max(_BITS) + 0.4, min(_BITS) - 0.4),
                        y_range=(0, 102),
                    ),
                ),
                (
                    Readout("One scale", shared[index]),
                    Readout("One a channel", own[index]),
                    Readout("What it brings", change.difference, change.direction),
                ),
                recipe(bits, "per_channel").to_link(),
                "A channel whose weights all lie below the line is wiped out by a shared scale; "
                "with a scale of its own it keeps every value.",
            )
        )
    return Shown(tuple(frames), _BITS.index(_START), _question(bench, recipe), bench.basis)


def _most_uneven(bench: Bench) -> tuple[str, list[float]]:
    """Return the layer whose channels differ most, and the largest weight of each, sorted."""
    found = {}
    for layer in bench.work.layers:
        if layer.shape:
            weight = bench.weight(layer.name)
            found[layer.name] = sorted(weight.abs().reshape(len(weight), -1).amax(1).tolist())
    name = max(found, key=lambda n: found[n][-1] / max(found[n][len(found[n]) // 2], 1e-9))
    return name, found[name]


def _question(bench: Bench, recipe: object) -> Question:
    assert callable(recipe)
    change = bench.change(recipe(_ASKED, "per_channel"), recipe(_ASKED, "per_tensor"))
    right = {"same": 0, "better": 1, "worse": 2}[change.direction]
    return Question(
        f"At {_ASKED} bits, what does a scale for each channel bring?",
        (
            "Nothing that could be told from noise",
            "Clearly higher accuracy",
            "Clearly lower accuracy",
        ),
        right,
        f"Against one scale for all: {change.verdict()}. The file grows by one number a channel; "
        f"the "
        "arithmetic stays the same, because a channel's scale can be multiplied at the end.",
    )


SCALES = Lesson(
    title="A scale for each channel",
    idea="Channels of one layer differ in size. If all share one scale, the small ones lose their "
    "values first.",
    control="Bits of a weight",
    kind="slider",
    paper="Krishnamoorthi, Quantizing Deep Convolutional Networks for Efficient Inference, 2018, "
    "arXiv:1806.08342",
    link="https://arxiv.org/abs/1806.08342",
    source="optim/techniques/quantize.py",
    show=_show,
)
