"""Energy of moving a byte, beside that of multiplying."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.devices.energy import nodes, operation_energies
from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.quantity import How, Quantity

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = ["MOVING_BYTES"]

_START = 45
_MAC, _NEAR, _FAR = (
    "MAC, int8",
    "Byte from a small memory on the chip",
    "Byte from memory outside",
)


def _show(bench: Bench) -> Shown:
    every = {node: operation_energies(node) for node in nodes()}
    lowest = min(q.value for found in every.values() for q in found.values())
    highest = max(q.value for found in every.values() for q in found.values())
    frames = []
    for node, found in every.items():
        names = tuple(sorted(found, key=lambda name: found[name].value))
        frames.append(
            Frame(
                f"{node} nm",
                (
                    Panel(
                        "Energy of one operation",
                        "Picojoules",
                        "",
                        tuple(
                            Series(
                                kind,
                                tuple(float(f"{1e12 * found[n].value:.4g}") for n in chosen),
                                chosen,  # type: ignore[arg-type]
                                "bars",
                                role,  # type: ignore[arg-type]
                                text=tuple(f"{n}: {found[n]}" for n in chosen),
                            )
                            for kind, role, chosen in (
                                ("Computing", "before", _of(names, "MAC", "One")),
                                ("Moving", "after", _of(names, "Byte")),
                            )
                        ),
                        log="x",
                        x_range=(0.5e12 * lowest, 2e12 * highest),
                    ),
                ),
                (
                    Readout(_MAC, found[_MAC]),
                    Readout("Byte from outside", found[_FAR], "does not follow the node"),
                    Readout(
                        "MACs for one such byte",
                        Quantity.exact(found[_FAR].value / found[_MAC].value, "x", How.ESTIMATED),
                    ),
                ),
                caption="The scale is logarithmic: each step to the right is ten times as much.",
            )
        )
    published = every[_START]
    times = published[_FAR].value / published[_MAC].value
    weights = int(bench.static(bench.original).params.value)
    macs = int(bench.static(bench.original).macs.value)
    reuse = macs / weights
    question = Question(
        f"At {_START} nm, how many multiplications with 8 bits cost as much as fetching one byte "
        "from memory outside of the chip?",
        ("About ten", "About a hundred", "Close to a thousand, or more"),
        0 if times < 30 else 1 if times < 300 else 2,
        f"{times:,.0f}. {bench.bundle.name} does {reuse:.0f} MACs with each of its weights, so "
        "fetching them costs more than all its multiplications. Fewer bits save energy twice: the "
        "multiplication is cheaper, and there are fewer bytes to fetch.",
    )
    return Shown(
        tuple(frames),
        list(every).index(_START),
        question,
        "Published at 45 nm and 0.9 V; other nodes by capacitance and voltage.",
    )


def _of(names: tuple[str, ...], *starts: str) -> tuple[str, ...]:
    return tuple(name for name in names if name.startswith(starts))


MOVING_BYTES = Lesson(
    title="Energy of moving a byte",
    idea="Multiplying is cheap. Fetching a number from far away costs hundreds of times as much, "
    "and newer chips make the difference larger.",
    control="Process of the chip",
    kind="slider",
    paper="Horowitz, Computing's Energy Problem, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323",
    link="https://doi.org/10.1109/ISSCC.2014.6757323",
    source="optim/devices/energy.py",
    show=_show,
)
