"""The tour of the first page: what happens to the default model, one step after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.devices import device_with, footprint, latency
from optim.lessons.for_a_device import CHIP
from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.measure.scorecard import ratio
from optim.presets import DEFAULT_PRESET, preset_recipe

if TYPE_CHECKING:
    from optim.lessons.bench import Bench
    from optim.recipe import Recipe

__all__ = ["TOUR"]


def _show(bench: Bench) -> Shown:
    profile = device_with(CHIP)
    stages = _stages(bench)
    accuracies = [bench.accuracy(recipe) for _, recipe, _ in stages]
    files = [bench.file(recipe) for _, recipe, _ in stages]
    kilobytes = tuple(round(file.value / 1e3, 2) for file in files)
    percent = tuple(round(100 * a.value, 2) for a in accuracies)
    frames = []
    for i, (label, recipe, caption) in enumerate(stages):
        readouts = [
            Readout("Accuracy", accuracies[i]),
            Readout(
                "File", files[i], ratio(files[0], files[i]).verdict() if i else "as it was trained"
            ),
        ]
        if time := latency(footprint(bench, recipe), profile):
            readouts.append(Readout("Time of an answer", time, profile.title))
        frames.append(
            Frame(
                label,
                (
                    Panel(
                        "Accuracy against file size, so far",
                        "ONNX file, kB",
                        "Accuracy, %",
                        (
                            Series("Way", kilobytes[: i + 1], percent[: i + 1], "line", "faint"),
                            Series(
                                "Before",
                                kilobytes[:i],
                                percent[:i],
                                "dots",
                                "before",
                                text=tuple(stage[0] for stage in stages[:i]),
                            ),
                            Series(
                                label,
                                (kilobytes[i],),
                                (percent[i],),
                                "dots",
                                "after",
                                (100 * accuracies[i].low,),
                                (100 * accuracies[i].high,),
                                is_labelled=True,
                            ),
                        ),
                        log="x",
                        x_range=(0.6 * min(kilobytes), 2.2 * max(kilobytes)),
                        y_range=(0, 104),
                    ),
                ),
                tuple(readouts),
                recipe.to_link(),
                caption,
            )
        )
    return Shown(tuple(frames), 0, _question(bench, stages), bench.basis)


def _stages(bench: Bench) -> list[tuple[str, Recipe, str]]:
    """Return the recipes of the tour, what each is called, and what is to be seen."""
    whole = preset_recipe(DEFAULT_PRESET, bench.original.model, bench.original.data)
    off = {entry.id: whole.with_enabled(entry.id, False) for entry in whole.entries}

    def only(*names: str) -> Recipe:
        recipe = whole
        for entry_id in off:
            if entry_id not in names:
                recipe = recipe.with_enabled(entry_id, False)
        return recipe

    return [
        (
            "Original",
            bench.original,
            "A small network that reads digits among clutter, trained in 32-bit numbers.",
        ),
        (
            "Eight bits",
            only("quantize", "correct_bias"),
            "Every weight is rounded to one of 256 values: a quarter of the bytes, and the answers "
            "hardly change.",
        ),
        (
            "Half the channels",
            only("prune_channels", "reestimate_batchnorm"),
            "Half of all channels removed: far less work, and accuracy falls, because nobody told "
            "the rest.",
        ),
        (
            "Taught again",
            only("prune_channels", "reestimate_batchnorm", "distill"),
            "The original teaches what is left of it, for a few epochs. Most of the loss comes "
            "back.",
        ),
        (
            "All together",
            whole,
            "Fewer channels, taught again, in eight bits: this file runs on a microcontroller. "
            "Open it in the Lab and move the sliders.",
        ),
    ]


def _question(bench: Bench, stages: list[tuple[str, Recipe, str]]) -> Question:
    pruned, taught = stages[2][1], stages[3][1]
    change = bench.change(taught, bench.original)
    fall = bench.change(pruned, bench.original)
    right = 0 if change.direction == "same" else 1 if change.direction == "worse" else 2
    return Question(
        "After removing half the channels and teaching again, how close is it to the original?",
        ("No difference beyond noise", "Somewhat worse", "Better"),
        right,
        f"Before teaching: {fall.verdict()}. Afterwards: {change.verdict()}. On the same samples.",
    )


TOUR = Lesson(
    title="A network becomes small, in a minute",
    idea="Step through it, or let it play. Every number was measured or estimated on this machine, "
    "and says which.",
    control="Step",
    kind="choice",
    paper="Han et al., Deep Compression, 2016, arXiv:1510.00149",
    link="https://arxiv.org/abs/1510.00149",
    source="optim/presets.py",
    show=_show,
)
