"""The roofline, and why fewer MACs is not faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.devices.parts import Roofline, precision_of
from optim.devices.profile import DeviceProfile, Precision, catalogue
from optim.lessons.devices import footprint, latency
from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.quantity import How, Quantity

if TYPE_CHECKING:
    from optim.ladder.footprint import Footprint
    from optim.lessons.bench import Bench

__all__ = ["ROOFLINE"]

_RATIO = 0.5
_PRECISION: Precision = "fp32"
_LEAST, _MOST = 0.03, 3000.0
"""Ends of the axis of intensity, in MACs a byte."""
_FLAT, _HALFWAY = 1.15, 0.6
"""A speed-up below the first is hardly any; below the second share of the MACs' it is less."""


def _devices() -> list[DeviceProfile]:
    """Return one device of each class whose rate and bandwidth are known, the slowest first."""
    found: dict[str, DeviceProfile] = {}
    for profile in catalogue().values():
        if _PRECISION in profile.peak_tops and profile.bandwidth_gb_s:
            found.setdefault(profile.device_class, profile)
    return sorted(found.values(), key=lambda p: p.peak_tops[_PRECISION])


def _show(bench: Bench) -> Shown:
    from optim.ladder.rungs import CONSTRAINTS, limit_of, runtime_for
    from optim.techniques.prune_channels import PruneChannels

    recipe = bench.recipe(PruneChannels(pruning_ratio=_RATIO))
    whole, pruned = footprint(bench, bench.original), footprint(bench, recipe)
    frames, speed_ups, names = [], [], []
    for profile in _devices():
        before, after = latency(whole, profile), latency(pruned, profile)
        if before is None or after is None:
            continue
        limit, parts = limit_of(whole, profile, runtime_for(whole, profile))
        waits = (parts.overhead + parts.memory) / parts.total
        speed_ups.append(before.value / after.value)
        names.append(profile.title)
        frames.append(
            Frame(
                profile.title,
                (_panel(profile, whole, pruned),),
                (
                    Readout("Original", before, "time of one inference"),
                    Readout("Half the channels", after, f"{_fewer(whole, pruned)} fewer MACs"),
                    Readout(
                        "Not multiplying",
                        Quantity.exact(waits, "fraction", How.ESTIMATED),
                        f"of the time; the limit is {CONSTRAINTS[limit].lower()}",
                    ),
                ),
                recipe.to_link(),
                "The line is what the device can do at most. A dot is a layer: far below the line, "
                "it waits for bytes, or for being started.",
            )
        )
    asked = len(frames) - 1
    fewer = whole.macs / pruned.macs
    gained = speed_ups[asked]
    question = Question(
        f"Half the channels are {fewer:.1f} times fewer MACs. How much faster is that on "
        f"{names[asked]}, one sample at a time?",
        ("As much as the MACs say", "Faster, but less than that", "Hardly at all"),
        2 if gained < _FLAT else 1 if gained < _HALFWAY * fewer else 0,
        f"{frames[asked].readouts[0].figure.value:.3g} ms become "
        f"{frames[asked].readouts[1].figure.value:.3g} ms, {gained:.2f} times as fast (estimated). "
        f"On {names[0]} it is {speed_ups[0]:.2f} times. A large processor has multiplied so small "
        "a layer before it is even started; MACs that were not the limit cannot save time.",
    )
    return Shown(
        tuple(frames),
        0,
        question,
        f"{bench.bundle.name} at {_PRECISION}, one sample; peaks from data sheets, times "
        f"estimated.",
    )


def _fewer(whole: Footprint, pruned: Footprint) -> str:
    return str(Quantity.exact(whole.macs / pruned.macs, "x"))


def _panel(profile: DeviceProfile, whole: Footprint, pruned: Footprint) -> Panel:
    peak = profile.peak_tops[_PRECISION] * 1e12 / 2
    bandwidth = (profile.bandwidth_gb_s or 0) * 1e9
    ridge = peak / bandwidth
    knees = (_LEAST, min(max(ridge, _LEAST), _MOST), _MOST)
    roof = Series(
        "Most it can do",
        tuple(round(x, 4) for x in knees),
        tuple(min(peak, bandwidth * x) / 1e9 for x in knees),
        "line",
        "faint",
    )
    return Panel(
        f"Layers under the roof of {profile.title}",
        "MACs for each byte that is moved",
        "Billions of MACs a second",
        (
            roof,
            _dots("Original", whole, profile, "before"),
            _dots("Half the channels", pruned, profile, "after"),
        ),
        log="xy",
        x_range=(_LEAST, _MOST),
        y_range=(1e-4, 1e5),
    )


def _dots(name: str, found: Footprint, profile: DeviceProfile, role: object) -> Series:
    from optim.ladder.rungs import runtime_for

    runtime = runtime_for(found, profile)
    roofline = Roofline(profile, runtime)
    rows = []
    for operator in found.operators:
        if not operator.macs or precision_of(operator, runtime) is None:
            continue
        moved = roofline.moved_bytes(operator)
        rate = operator.macs / (roofline.split(operator).total / 1e3)
        rows.append((operator.macs / moved, rate / 1e9, operator.layer or operator.name))
    return Series(
        name,
        tuple(round(row[0], 4) for row in rows),
        tuple(float(f"{row[1]:.4g}") for row in rows),
        "dots",
        role,  # type: ignore[arg-type]
        text=tuple(f"{row[2]}: {row[0]:.3g} MACs a byte" for row in rows),
    )


ROOFLINE = Lesson(
    title="The roofline",
    idea="A layer is as fast as the slowest of three: multiplying, moving its bytes, and being "
    "started. Fewer MACs help only where multiplying is the slowest.",
    control="Device",
    kind="choice",
    paper="Williams et al., Roofline: An Insightful Visual Performance Model for Multicore "
    "Architectures, 2009, doi:10.1145/1498765.1498785",
    link="https://doi.org/10.1145/1498765.1498785",
    source="optim/devices/parts.py",
    show=_show,
)
