"""Putting it together: the best network for a microcontroller, under a limit of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optim.lessons.devices import device_with, footprint, latency
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Series, Shown
from optim.presets import preset_recipe

if TYPE_CHECKING:
    from optim.lessons.bench import Bench
    from optim.quantity import Quantity
    from optim.recipe import Recipe

__all__ = ["CHIP", "FOR_A_DEVICE"]

CHIP = "Cortex-M4"
_LIMITS_KB = (20, 30, 40, 50, 60, 80, 100, 150, 200)
_ASKED_KB = 60
_TRIED: tuple[tuple[str, dict[str, int]], ...] = (
    ("gentle", {}),
    ("balanced", {}),
    ("balanced", {"weight_bits": 4}),
    ("tiny", {"weight_bits": 8}),
    ("tiny", {}),
    ("microcontroller", {}),
)
"""Presets, and what is changed of their quantization."""


@dataclass(frozen=True)
class _Tried:
    """One recipe that was looked at."""

    name: str
    recipe: Recipe
    accuracy: Quantity
    file: Quantity
    latency: Quantity | None


def _show(bench: Bench) -> Shown:
    profile = device_with(CHIP)
    tried = [_try(bench, name, fields) for name, fields in _TRIED]
    dots = Series(
        "Recipes",
        tuple(round(t.file.value / 1e3, 2) for t in tried),
        tuple(round(100 * t.accuracy.value, 2) for t in tried),
        "dots",
        "after",
        tuple(round(100 * t.accuracy.low, 2) for t in tried),
        tuple(round(100 * t.accuracy.high, 2) for t in tried),
        tuple(f"{t.name}: {t.accuracy}, {t.file}" for t in tried),
    )
    frames = []
    for limit in _LIMITS_KB:
        within = [t for t in tried if t.file.value <= 1e3 * limit]
        best = max(within, key=lambda t: t.accuracy.value, default=None)
        chosen = best or min(tried, key=lambda t: t.file.value)
        mark = Series(
            chosen.name if best else "too large",
            (round(chosen.file.value / 1e3, 2),),
            (round(100 * chosen.accuracy.value, 2),),
            "dots",
            "before" if best else "warning",
            is_labelled=True,
        )
        readouts = [
            Readout("Accuracy", chosen.accuracy, chosen.name),
            Readout("ONNX file", chosen.file, f"at most {limit} kB" if best else "over the limit"),
        ]
        if chosen.latency:
            readouts.append(Readout("Time of an answer", chosen.latency, profile.title))
        frames.append(
            Frame(
                f"{limit} kB",
                (
                    Panel(
                        "Accuracy against bytes, all steps together",
                        "ONNX file, kB",
                        "Accuracy, %",
                        (dots, mark),
                        (Line("x", limit, "limit", "warning"),),
                        log="x",
                        x_range=(15, 260),
                        y_range=(0, 102),
                    ),
                ),
                tuple(readouts),
                chosen.recipe.to_link(),
                "Each dot is a whole recipe: channels, training with the teacher, bits. Green is "
                "the best that keeps the limit.",
            )
        )
    return Shown(
        tuple(frames), _LIMITS_KB.index(150), _question(tried), f"{bench.basis} {profile.title}."
    )


def _try(bench: Bench, preset: str, fields: dict[str, int]) -> _Tried:
    from optim.presets import PRESETS

    recipe = preset_recipe(preset, bench.original.model, bench.original.data)
    if fields:
        recipe = recipe.with_fields("quantize", **fields)
    bits = f", {fields['weight_bits']}-bit weights" if fields else ""
    return _Tried(
        f"{PRESETS[preset].title}{bits}",
        recipe,
        bench.accuracy(recipe),
        bench.file(recipe),
        latency(footprint(bench, recipe), device_with(CHIP)),
    )


def _question(tried: list[_Tried]) -> Question:
    within = [t for t in tried if t.file.value <= 1e3 * _ASKED_KB]
    best = max(within, key=lambda t: t.accuracy.value)
    plain = [t for t in tried if "bit weights" not in t.name]
    quick = min((t for t in tried if t.latency), key=lambda t: t.latency.value if t.latency else 0)
    options = tuple(t.name for t in within[:4])
    if best.name not in options:
        options = (*options[:3], best.name)
    return Question(
        f"Which of these is most accurate within {_ASKED_KB} kB?",
        options,
        options.index(best.name),
        f"{best.name}, with {best.accuracy} in {best.file}. {len(plain)} of the {len(tried)} "
        f"recipes are presets as they are. The quickest on the device is {quick.name} "
        f"({quick.latency.with_ends() if quick.latency else ''}, estimated). Removing channels, "
        "teaching again and fewer bits work together; each alone is beaten.",
    )


FOR_A_DEVICE = Lesson(
    title="Putting it together for a device",
    idea="A device has so many bytes and so much time. The best network is no single trick: fewer "
    "channels, taught again, in fewer bits.",
    control="Limit of the file",
    kind="slider",
    paper="Han et al., Deep Compression, 2016, arXiv:1510.00149",
    link="https://arxiv.org/abs/1510.00149",
    source="optim/presets.py",
    show=_show,
)
